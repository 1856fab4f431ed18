//! Messages, damaged in the ways that parsers get wrong.

use crate::balance::Rng;
use crate::fuzz_tests::{self, flip, pick, put};

/// Calls `check` with damaged messages of a corpus.
pub(in crate::plane::dns) fn fuzz(corpus: &[Vec<u8>], check: impl FnMut(&[u8], &mut Rng)) {
    fuzz_tests::fuzz("dns", corpus, MESSAGES, damage, check);
}

/// The messages of a table in tests/data: a name and hexadecimal digits a line.
pub(in crate::plane::dns) fn corpus(table: &str) -> Vec<(String, Vec<u8>)> {
    let lines = table.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, digits) = line.split_once(' ').expect("a name and a message");
            let bytes = data_encoding::HEXLOWER.decode(digits.as_bytes()).expect("digits");
            (name.to_owned(), bytes)
        })
        .collect()
}

/// One damage.
fn damage(message: &mut Vec<u8>, corpus: &[Vec<u8>], rng: &mut Rng) {
    let at = rng.below(message.len());
    let end = at + rng.below(message.len() - at + 1);
    // to some place, also forwards and to itself
    let pointer = 0xc000 | rng.below(message.len() + 2) as u16;
    match rng.below(12) {
        0 => flip(message, at, rng),
        1 => put(message, at, &[rng.next_u64().to_be_bytes()[0]]),
        2 => put(message, at, &[*pick(&BYTES, rng)]),
        // a number that is next to a border
        3 => put(message, at, &pick(&NUMBERS, rng).to_be_bytes()),
        4 => put(message, at, &pointer.to_be_bytes()),
        // the counts of the sections
        5 => put(message, 4 + 2 * rng.below(4), &(rng.below(4) as u16).to_be_bytes()),
        6 => message.truncate(at),
        7 => drop(message.drain(at..end)),
        8 => message.extend_from_within(at..end),
        9 => {
            let copy = message.get(at..end).unwrap_or_default().to_vec();
            message.splice(at..at, copy);
        }
        // the end of another
        10 => {
            let other = pick(corpus, rng);
            message.truncate(at);
            message.extend(other.iter().skip(at));
        }
        // the case of every letter
        _ => message.iter_mut().skip(12).for_each(|byte| {
            if byte.is_ascii_alphabetic() && rng.below(2) == 0 {
                *byte ^= 0x20;
            }
        }),
    }
}

/// How many messages an ordinary run of the tests has.
const MESSAGES: u64 = 20_000;
/// Lengths of labels and of names at their borders, kinds of labels, and letters that names have.
const BYTES: [u8; 14] =
    [0, 1, 0x3f, 0x40, 0x41, 0x7f, 0x80, 0xbf, 0xc0, 0xfe, 0xff, b'.', b'*', b'_'];
/// Sizes at their borders, and types that are special.
const NUMBERS: [u16; 14] = [0, 1, 28, 33, 41, 250, 251, 252, 255, 256, 511, 512, 1233, u16::MAX];
