//! Exit codes, those of sysexits(3) where it has one, and the last words.

use std::error::Error;
use std::fmt::Display;
use std::process::ExitCode;

/// Something failed while running.
const FAILURE: u8 = 1;
/// The options are wrong (`EX_USAGE`).
const USAGE: u8 = 64;

/// Says what is wrong with the options.
pub(super) fn usage(problem: &impl Display) -> ExitCode {
    eprintln!("rutter: {problem}");
    ExitCode::from(USAGE)
}

/// Says what failed, with its causes.
pub(super) fn failure(error: &dyn Error) -> ExitCode {
    eprintln!("rutter: {}", chain(error));
    ExitCode::from(FAILURE)
}

/// Prints what clap has to say: help and version are no errors.
pub(super) fn parsing(error: &clap::Error) -> ExitCode {
    // a closed standard output is no reason to say more
    let _ = error.print();
    if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS }
}

/// `message: cause: its cause`.
pub(super) fn chain(error: &dyn Error) -> String {
    std::iter::successors(error.source(), |error| (*error).source())
        .fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
