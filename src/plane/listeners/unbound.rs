//! Sockets that could not be opened, each with the remedy.

use std::io;
use std::net::SocketAddr;

use rustix::io::Errno;
use serde::Serialize;

use crate::snapshot::SocketKey;

/// A wanted socket that is not open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unbound {
    /// Which one; `None` stands for all that did not fit the limit of descriptors.
    pub key: Option<SocketKey>,
    /// How many sockets it stands for.
    pub count: usize,
    /// What is wrong and what to do, in one line.
    pub message: String,
}

impl Unbound {
    pub(super) fn new(key: SocketKey, error: &io::Error) -> Self {
        let remedy = remedy(key.addr, "--http-port, --https-port", error);
        let mut message = format!("cannot listen on {key}: {remedy}");
        if Errno::from_io_error(error) == Some(Errno::ADDRNOTAVAIL) {
            message += ", or let the Service have one of --service-cidr";
        }
        Self { key: Some(key), count: 1, message }
    }

    pub(super) fn beyond_limit(count: usize) -> Self {
        let message = format!(
            "{count} listeners do not fit the limit of open files: raise it (ulimit -n, or \
             LimitNOFILE= of the unit) and restart"
        );
        Self { key: None, count, message }
    }
}

/// Whether the process is out of descriptors.
pub(super) fn is_exhausted(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

/// Whether the host has no such address family at all, as without IPv6: then a wildcard listener
/// of that family is wanted by nobody.
pub(super) fn is_absent_family(key: SocketKey, error: &io::Error) -> bool {
    let absent = Some(Errno::AFNOSUPPORT) == Errno::from_io_error(error)
        || Some(Errno::ADDRNOTAVAIL) == Errno::from_io_error(error);
    absent && key.addr.ip().is_unspecified() && key.addr.is_ipv6()
}

/// What to do about an address that cannot be bound, in a clause; `options` choose another one.
pub fn remedy(addr: SocketAddr, options: &str, error: &io::Error) -> String {
    let (ip, port) = (addr.ip(), addr.port());
    match Errno::from_io_error(error) {
        Some(Errno::ACCESS) => format!(
            "port {port} needs privileges: use a port above 1023 ({options}), or allow it with \
             sysctl net.ipv4.ip_unprivileged_port_start={port}"
        ),
        Some(Errno::ADDRINUSE) => {
            format!("another process has it: find it with `ss -tulpn sport = :{port}`")
        }
        Some(Errno::ADDRNOTAVAIL) => {
            format!("this host has no address {ip}: add it (ip addr add {ip} dev lo)")
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Transport;

    #[track_caller]
    fn check(error: Errno, expected: &str) {
        let key = SocketKey { transport: Transport::Tcp, addr: ([0, 0, 0, 0], 80).into() };
        let unbound = Unbound::new(key, &error.into());
        assert!(unbound.message.starts_with("cannot listen on tcp://0.0.0.0:80: "));
        assert!(unbound.message.contains(expected), "{}", unbound.message);
    }

    #[test]
    fn every_failure_names_its_remedy() {
        check(Errno::ACCESS, "--http-port");
        check(Errno::ADDRINUSE, "ss -tulpn sport = :80");
        check(Errno::ADDRNOTAVAIL, "--service-cidr");
    }
}
