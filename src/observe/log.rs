//! The process log: fields, on standard error.

use std::io::IsTerminal;

use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;

/// Starts logging. Later calls change nothing: a second rutter in one process (as in tests) logs
/// with the first one's filter.
pub fn init(filter: Targets) {
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    let subscriber = tracing_subscriber::registry().with(lines).with(filter);
    let _ = tracing::subscriber::set_global_default(subscriber);
}
