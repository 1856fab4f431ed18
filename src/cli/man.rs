//! `rutter man`: manual pages.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Command, CommandFactory};
use clap_mangen::Man;

use super::{Cli, exit};

/// Options of `man`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Write one page a command into this directory
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Prints the page of `rutter`, or writes all pages.
pub fn run(args: &Args) -> ExitCode {
    let command = with_examples(Cli::command());
    let mut page = Vec::new();
    let written = match &args.dir {
        Some(dir) => clap_mangen::generate_to(command, dir),
        None => Man::new(command).render(&mut page),
    };
    match written {
        Ok(()) => exit::output(&page),
        Err(error) => exit::failure(&error),
    }
}

/// Pages only show the text after the help, so the examples move there.
fn with_examples(command: Command) -> Command {
    let examples = command.get_before_help().map(ToString::to_string).unwrap_or_default();
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    command.after_help(format!("{examples}\n{after}")).mut_subcommands(with_examples)
}
