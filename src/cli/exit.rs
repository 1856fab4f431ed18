//! Exit codes, those of sysexits(3) where it has one, and the last words.

use std::error::Error;
use std::fmt::Display;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;

/// Something failed while running.
const FAILURE: u8 = 1;
/// The options are wrong (`EX_USAGE`).
const USAGE: u8 = 64;

/// The options do not fit this machine (`EX_CONFIG`).
const CONFIGURATION: u8 = 78;

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

/// Says which file or address of the options cannot be used here.
pub(super) fn configuration(error: &dyn Error) -> ExitCode {
    eprintln!("rutter: {}", chain(error));
    ExitCode::from(CONFIGURATION)
}

/// Prints a result. A reader that has seen enough is no error.
pub(super) fn output(text: &[u8]) -> ExitCode {
    match std::io::stdout().write_all(text) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => failure(&error),
        _ => ExitCode::SUCCESS,
    }
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
