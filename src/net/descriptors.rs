//! File descriptors: every socket takes one, so the limit is a budget.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit of open files to the hard one and gives the new limit.
///
/// The soft limit is often 1024, which protects programs that use `select`; none is used here.
pub fn raise_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    let limit = if setrlimit(Resource::Nofile, raised).is_ok() { raised } else { limit };
    limit.current.unwrap_or(u64::MAX)
}

/// How many of `limit` descriptors listening sockets may take. A quarter is left for connections:
/// without them no listener is of use.
pub fn listening_budget(limit: u64) -> usize {
    usize::try_from(limit - limit / 4).unwrap_or(usize::MAX)
}

/// How many of `limit` descriptors sockets towards endpoints of UDP may take: half of the quarter
/// that [`listening_budget`] leaves.
pub fn upstream_budget(limit: u64) -> usize {
    usize::try_from(limit / 8).unwrap_or(usize::MAX)
}
