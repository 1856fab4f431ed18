//! Fuzzing on stable Rust: what is common to all targets.
//!
//! A target is a unit test beside the code that it is about, since most of that code is nobody else's
//! business. It names a corpus (`tests/fuzz/<target>`: what is really sent, and every input that once
//! found a fault) and checks one input: not only that it does not panic, but what holds for whatever
//! comes. Each file is checked as it is and cut off at every place; then damaged inputs are made
//! of them, half from a seed that is always the same and half from a fresh one.
//!
//! There is no coverage to go by. In its place a check returns what the code made of the input (an
//! error, a count …), and an input of which something new was made joins those that are damaged.
//!
//! A failure prints the seed and the input, and leaves the input in `target/fuzz`: its place is in
//! the corpus, once it is mended. `RUTTER_FUZZ_SECONDS=600 cargo test --lib fuzz` runs every target
//! for so long, `RUTTER_FUZZ_SEED` with one seed.

use std::collections::HashSet;
use std::fs;
use std::hash::{BuildHasher, Hash, RandomState};
use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use crate::balance::Rng;

/// What a run is about.
pub(crate) struct Target<'t> {
    /// The folder of its corpus.
    pub(crate) name: &'t str,
    /// What its format has words for.
    pub(crate) words: &'t [&'t str],
    /// How many damaged inputs an ordinary run has: about a second's.
    pub(crate) inputs: u64,
}

impl Target<'_> {
    /// Checks the corpus and what damage makes of it. `check` returns what became of the input.
    pub(crate) fn fuzz<B: Hash>(&self, mut check: impl FnMut(&[u8], &mut Rng) -> B) {
        let files = files(self.name);
        for (file, bytes) in &files {
            // at every place, unless that were more inputs than all others
            let step = 1 + bytes.len() * files.len() / self.inputs as usize;
            for cut in (0..=bytes.len()).rev().step_by(step) {
                let input = bytes.get(..cut).unwrap_or_default();
                let shown = Shown { name: self.name, from: file, input };
                check(input, &mut Rng::new(0));
                drop(shown);
            }
        }
        let corpus: Vec<Vec<u8>> = files.into_iter().map(|(_, bytes)| bytes).collect();
        let damage = |input: &mut Vec<u8>, pool: &[Vec<u8>], rng: &mut Rng| {
            damage(input, pool, self.words, rng);
        };
        fuzz(self.name, &corpus, self.inputs, damage, check);
    }
}

/// Calls `check` with inputs of a corpus that `damage` was done to, so many or for
/// `RUTTER_FUZZ_SECONDS`.
pub(crate) fn fuzz<B: Hash>(
    name: &str,
    corpus: &[Vec<u8>],
    inputs: u64,
    damage: impl Fn(&mut Vec<u8>, &[Vec<u8>], &mut Rng),
    mut check: impl FnMut(&[u8], &mut Rng) -> B,
) {
    let seeds = seeds();
    let share = seeds.len() as u64;
    let duration =
        number("RUTTER_FUZZ_SECONDS").map(|it| Duration::from_secs(it) / seeds.len() as u32);
    for seed in seeds {
        let (mut pool, mut known, mut made) = (corpus.to_vec(), HashSet::new(), 0);
        let (started, hasher) = (Instant::now(), foldhash::fast::FixedState::default());
        let is_enough = |made| match duration {
            Some(duration) => started.elapsed() >= duration,
            None => made >= inputs / share,
        };
        while !is_enough(made) {
            let mut rng = Rng::new(seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(made));
            let mut input = pick(&pool, &mut rng).clone();
            for _ in 0..rng.below(16).saturating_sub(7) + usize::from(rng.below(16) != 0) {
                damage(&mut input, &pool, &mut rng);
            }
            input.truncate(LONGEST);
            let shown = Shown { name, from: &format!("seed {seed}"), input: &input };
            let before = Instant::now();
            let became = check(&input, &mut rng);
            assert!(before.elapsed() < TOO_LONG, "it took {:?}", before.elapsed());
            drop(shown);
            let is_new = known.insert(hasher.hash_one(became));
            if is_new && pool.len() < MOST && input.len() <= SHORT {
                pool.push(input);
            }
            made += 1;
        }
        let (elapsed, kinds) = (started.elapsed().as_secs_f64(), known.len());
        println!("{name}, seed {seed}: {made} inputs in {elapsed:.1} s, of {kinds} kinds");
    }
}

/// The files of a corpus, in order.
fn files(name: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz").join(name);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    let read = |path: &Path| fs::read(path).expect("a file");
    paths.iter().map(|path| (path.display().to_string(), read(path))).collect()
}

/// The seed of every run, and one that no run had before.
fn seeds() -> Vec<u64> {
    match number("RUTTER_FUZZ_SEED") {
        Some(seed) => vec![seed],
        None => vec![1, RandomState::new().hash_one(()) >> 32],
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} must be a number")))
}

/// Tells and keeps an input if the test fails at it.
struct Shown<'i> {
    name: &'i str,
    from: &'i str,
    input: &'i [u8],
}

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/fuzz");
        let hash = foldhash::fast::FixedState::default().hash_one(self.input);
        let path = folder.join(format!("{}-{hash:016x}", self.name));
        let kept = fs::create_dir_all(&folder).and_then(|()| fs::write(&path, self.input));
        eprintln!("from {}, kept as {path:?} ({kept:?}):", self.from);
        eprintln!("{}", self.input.escape_ascii());
    }
}

/// One damage to a text or message of whatever format.
fn damage(input: &mut Vec<u8>, pool: &[Vec<u8>], words: &[&str], rng: &mut Rng) {
    let (at, end) = range(input, rng);
    match rng.below(14) {
        0 => flip(input, at, rng),
        1 => put(input, at, &[rng.next_u64().to_be_bytes()[0]]),
        2 => put(input, at, &[*pick(&BYTES, rng)]),
        3 => drop(input.splice(at..at, [*pick(&BYTES, rng)])),
        4 => drop(input.drain(at..end)),
        5 => input.truncate(at),
        // a word that is in its place here, or is not
        6 => drop(input.splice(at..at, word(words, rng))),
        7 => drop(input.splice(at..end, word(words, rng))),
        8 => number_at(input, at, rng),
        // once more, there or elsewhere
        9 | 10 => {
            let copy = input.get(at..end).unwrap_or_default().to_vec();
            let to = if rng.below(2) == 0 { at } else { place(input, rng) };
            input.splice(to..to, copy);
        }
        // until a limit is reached
        11 => {
            let times = if rng.below(8) == 0 { 1 << rng.below(12) } else { 3 };
            let copy = input.get(at..end).unwrap_or_default();
            let copy = copy.repeat(times.min(LONGEST / copy.len().max(1)));
            input.splice(at..at, copy);
        }
        // a part of another, and the end of another
        12 => {
            let other = pick(pool, rng);
            let (from, to) = range(other, rng);
            input.splice(at..end, other.get(from..to).unwrap_or_default().iter().copied());
        }
        _ => {
            let other = pick(pool, rng);
            input.truncate(at);
            input.extend(other.iter().skip(place(other, rng)));
        }
    }
    input.truncate(LONGEST);
}

/// A place in an input: where a line begins, as often as not.
fn place(input: &[u8], rng: &mut Rng) -> usize {
    let at = rng.below(input.len() + 1);
    let line = || memchr::memchr(b'\n', input.get(at..)?).map(|feed| at + feed + 1);
    if rng.below(2) == 0 { line().unwrap_or(at) } else { at }
}

/// Two places, in order; they are near to each other as often as not.
fn range(input: &[u8], rng: &mut Rng) -> (usize, usize) {
    let from = place(input, rng);
    let to = if rng.below(2) == 0 { place(input, rng) } else { from + rng.below(9) };
    let to = to.min(input.len());
    (from.min(to), from.max(to))
}

fn word(words: &[&str], rng: &mut Rng) -> Vec<u8> {
    match words.is_empty() {
        true => Vec::new(),
        false => pick(words, rng).as_bytes().to_vec(),
    }
}

/// Makes another number of the next one: in digits, or of two bytes.
fn number_at(input: &mut Vec<u8>, at: usize, rng: &mut Rng) {
    let is_digit = |byte: &u8| byte.is_ascii_digit();
    let start = input.iter().skip(at).position(is_digit).map(|start| at + start);
    let number = *pick(&NUMBERS, rng);
    match start {
        Some(start) if rng.below(4) != 0 => {
            let rest = input.get(start..).unwrap_or_default();
            let end = start + rest.iter().take_while(|byte| is_digit(byte)).count();
            input.splice(start..end, number.to_string().into_bytes());
        }
        Some(_) | None => put(input, at, &(number as u16).to_be_bytes()),
    }
}

/// Turns one bit over.
pub(crate) fn flip(input: &mut [u8], at: usize, rng: &mut Rng) {
    if let Some(byte) = input.get_mut(at) {
        *byte ^= 1 << rng.below(8);
    }
}

/// Writes over what is there, as far as that reaches.
pub(crate) fn put(input: &mut [u8], at: usize, bytes: &[u8]) {
    for (place, byte) in input.iter_mut().skip(at).zip(bytes) {
        *place = *byte;
    }
}

/// One of them.
pub(crate) fn pick<'c, T>(choices: &'c [T], rng: &mut Rng) -> &'c T {
    choices.get(rng.below(choices.len())).expect("there must be a choice")
}

/// The pieces in which an input may arrive: all at once, byte by byte, or by chance.
pub(crate) fn pieces<'i>(input: &'i [u8], rng: &mut Rng) -> Vec<&'i [u8]> {
    let (way, most) = (rng.below(4), 1 + rng.below(64));
    let (mut rest, mut pieces) = (input, Vec::new());
    while !rest.is_empty() {
        let length = match way {
            0 => rest.len(),
            1 => 1,
            _ => 1 + rng.below(most),
        };
        let (piece, next) = rest.split_at(length.min(rest.len()));
        pieces.push(piece);
        rest = next;
    }
    pieces
}

/// The longest input, in bytes.
const LONGEST: usize = 65_535;
/// How many inputs are damaged further, and how long they may be: a long one takes its time, and
/// so do all that come of it.
const MOST: usize = 4_096;
const SHORT: usize = 4_096;
/// For one input, on a machine that has other things to do.
const TOO_LONG: Duration = Duration::from_secs(20);
/// What separates, ends, escapes or is none of it.
const BYTES: [u8; 43] = *b"\0\t\n\r !\"#%&'()*,-./0:;<=>?@[\\]^_`{|}~\x7f\x80\xff\xc0\xe2Az";
/// Numbers at their borders.
const NUMBERS: [u64; 24] = [
    0,
    1,
    2,
    7,
    9,
    10,
    16,
    99,
    100,
    127,
    255,
    256,
    1023,
    4096,
    16_384,
    32_768,
    65_535,
    65_536,
    2_147_483_648,
    4_294_967_295,
    4_294_967_296,
    9_223_372_036_854_775_807,
    9_223_372_036_854_775_808,
    18_446_744_073_709_551_615,
];
