//! `rutter run`: serve the manifests of files and directories until SIGTERM.

use std::process::ExitCode;

use crate::app::{App, Objects};
use crate::config::{Args, Config};

use super::exit;

/// Serves until a signal ends it. Exits 64 for bad options, 1 if it cannot start.
pub fn run(args: &Args) -> ExitCode {
    let config = match Config::new(args) {
        Ok(config) => config,
        Err(error) => return exit::usage(&error),
    };
    if config.manifests.is_empty() {
        return exit::usage(&"nothing to serve: name manifests with -m PATH");
    }
    let objects = Objects::Directory(config.manifests.clone());
    match App::build(config, objects).and_then(App::run_until_signal) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit::failure(&error),
    }
}
