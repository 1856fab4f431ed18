//! `rutter completions`: the completion script of a shell.

use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Cli, exit};

/// Options of `completions`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which shell
    shell: Shell,
}

/// Prints the script.
pub fn run(args: &Args) -> ExitCode {
    // into memory first: `generate` panics when a pipe is closed
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "rutter", &mut script);
    exit::output(&script)
}
