//! `rutter run`: serve the manifests of files and directories until SIGTERM.

use std::process::ExitCode;

use crate::app::{App, Objects};
use crate::config::{Args, Config};
use crate::observe::log;

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
    serve(config, objects, |_| {})
}

/// Logs, builds and serves until a signal; `announce` says what is there once it is bound.
pub(super) fn serve(config: Config, objects: Objects, announce: impl FnOnce(&App)) -> ExitCode {
    if let Err(error) = log::init(&config.log) {
        return exit::usage(&error);
    }
    let served = App::build(config, objects).and_then(|app| {
        announce(&app);
        app.run_until_signal()
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit::failure(&error),
    }
}
