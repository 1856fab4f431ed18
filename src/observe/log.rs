//! The process log: fields, on standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// A filter that cannot be understood.
#[derive(Debug, thiserror::Error)]
#[error("--log: {0}")]
pub struct FilterError(#[from] tracing_subscriber::filter::ParseError);

/// Starts logging with a filter such as `info,rutter::source=debug`. Later calls change nothing.
pub fn init(filter: &str) -> Result<(), FilterError> {
    let filter: EnvFilter = filter.parse()?;
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .finish();
    // a second rutter in one process (as in tests) logs with the first one's filter
    let _ = tracing::subscriber::set_global_default(subscriber);
    Ok(())
}
