//! `rutter run`: serve the manifests of files and directories until SIGTERM.

use std::process::ExitCode;

use crate::app::{App, AppError, Handle, Objects};
use crate::config::{Args, Config};
use crate::life::Phase;
use crate::observe::log;

use super::exit;

/// Serves until a signal ends it. Exits 64 for bad options, 78 if the machine does not have what they
/// ask for, 1 if it cannot start.
pub fn run(args: &Args) -> ExitCode {
    let config = match Config::to_serve(args) {
        Ok(config) => config,
        Err(error) => return exit::usage(&error),
    };
    let objects = Objects::Directory(config.manifests.clone());
    serve(config, objects, || {})
}

/// Logs, builds and serves until a signal; `announce` is called once everything is served.
pub(super) fn serve(
    config: Config,
    objects: Objects,
    announce: impl FnOnce() + Send + 'static,
) -> ExitCode {
    log::init(config.log.clone());
    let served = App::build(config, objects).and_then(|app| {
        when_serving(&app.handle(), announce)?;
        app.run_until_signal()
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error @ AppError::Start(_)) => exit::failure(&error),
        Err(error) => exit::configuration(&error),
    }
}

/// Waits on a thread of its own, because this one is about to serve.
fn when_serving(handle: &Handle, announce: impl FnOnce() + Send + 'static) -> Result<(), AppError> {
    let mut phase = handle.phase();
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let wait = move || {
        let serving = runtime.block_on(phase.wait_for(|phase| *phase >= Phase::Serving));
        if serving.is_ok_and(|phase| *phase == Phase::Serving) {
            announce();
        }
    };
    std::thread::Builder::new().name("announce".to_owned()).spawn(wait)?;
    Ok(())
}
