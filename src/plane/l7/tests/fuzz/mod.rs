//! Heads, chunks and targets as anybody may send them: `crate::fuzz_tests` makes the inputs.

mod chunks;
mod head;
mod path;
