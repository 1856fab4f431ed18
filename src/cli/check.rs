//! Placeholder of `rutter check`.

use std::process::ExitCode;

/// Options of `check`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs it.
pub fn run(_args: &Args) -> ExitCode {
    ExitCode::FAILURE
}
