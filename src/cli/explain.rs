//! Placeholder of `rutter explain`.

use std::process::ExitCode;

/// Options of `explain`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs it.
pub fn run(_args: &Args) -> ExitCode {
    ExitCode::FAILURE
}
