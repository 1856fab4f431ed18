//! `rutter man`: manual pages.

use std::io;
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
    let written = match &args.dir {
        Some(dir) => clap_mangen::generate_to(command, dir),
        None => Man::new(command).render(&mut io::stdout()),
    };
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit::failure(&error),
    }
}

/// Pages only show the text after the help, so the examples move there.
fn with_examples(command: Command) -> Command {
    let examples = command.get_before_help().cloned().unwrap_or_default();
    command.after_help(examples).mut_subcommands(with_examples)
}
