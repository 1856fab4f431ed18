//! Messages, damaged in the ways that parsers get wrong.

use std::time::Duration;

use tokio::time::Instant;

use crate::balance::Rng;

/// Calls `check` with damaged messages of a corpus: some thousands, or for `RUTTER_FUZZ_SECONDS`.
/// The same in every run; `RUTTER_FUZZ_SEED` gives others. On a panic the message is printed.
pub(in crate::plane::dns) fn fuzz(corpus: &[Vec<u8>], mut check: impl FnMut(&[u8], &mut Rng)) {
    let first = number("RUTTER_FUZZ_SEED").unwrap_or(1);
    let duration = number("RUTTER_FUZZ_SECONDS").map(Duration::from_secs);
    let started = Instant::now();
    let mut messages = 0;
    let is_enough = |messages: u64| match duration {
        Some(duration) => started.elapsed() >= duration,
        None => messages >= MESSAGES,
    };
    while !is_enough(messages) {
        let mut rng = Rng::new(first.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(messages));
        let message = damaged(corpus, &mut rng);
        let shown = Shown(&message);
        check(&message, &mut rng);
        drop(shown);
        messages += 1;
    }
    println!("{messages} messages in {:.1} s", started.elapsed().as_secs_f64());
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

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} must be a number")))
}

/// Prints a message if the test fails at it.
struct Shown<'m>(&'m [u8]);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the message: {}", data_encoding::HEXLOWER.encode(self.0));
        }
    }
}

/// A message of the corpus with up to eight damages; one in sixteen has none.
fn damaged(corpus: &[Vec<u8>], rng: &mut Rng) -> Vec<u8> {
    let mut message = pick(corpus, rng).clone();
    for _ in 0..rng.below(16).saturating_sub(7) + usize::from(rng.below(16) != 0) {
        damage(&mut message, corpus, rng);
    }
    message.truncate(LONGEST);
    message
}

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

fn flip(message: &mut [u8], at: usize, rng: &mut Rng) {
    if let Some(byte) = message.get_mut(at) {
        *byte ^= 1 << rng.below(8);
    }
}

/// Writes over what is there, as far as that reaches.
fn put(message: &mut [u8], at: usize, bytes: &[u8]) {
    for (place, byte) in message.iter_mut().skip(at).zip(bytes) {
        *place = *byte;
    }
}

fn pick<'c, T>(choices: &'c [T], rng: &mut Rng) -> &'c T {
    choices.get(rng.below(choices.len())).expect("there must be a choice")
}

/// How many messages an ordinary run of the tests has.
const MESSAGES: u64 = 20_000;
/// The longest message, in bytes.
const LONGEST: usize = 65_535;
/// Lengths of labels and of names at their borders, kinds of labels, and letters that names have.
const BYTES: [u8; 14] =
    [0, 1, 0x3f, 0x40, 0x41, 0x7f, 0x80, 0xbf, 0xc0, 0xfe, 0xff, b'.', b'*', b'_'];
/// Sizes at their borders, and types that are special.
const NUMBERS: [u16; 14] = [0, 1, 28, 33, 41, 250, 251, 252, 255, 256, 511, 512, 1233, u16::MAX];
