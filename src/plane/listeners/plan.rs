//! Wanted against running: pure.

use std::collections::BTreeMap;
use std::hash::BuildHasher;

use foldhash::fast::FixedState;

use crate::snapshot::{Serve, Snapshot, SocketKey};

/// Which workers have a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Placement {
    /// Each has a socket of its own (SO_REUSEPORT): HTTP and TLS.
    Every,
    /// One has the only socket: a Service's address and port, of which there can be thousands.
    One(usize),
}

/// What to do, by key, in the order of addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) open: Vec<(SocketKey, Placement)>,
    pub(super) close: Vec<SocketKey>,
}

/// The difference between what runs and what the snapshot wants.
pub(super) fn plan(
    running: &BTreeMap<SocketKey, Placement>,
    wanted: &Snapshot,
    workers: usize,
) -> Plan {
    let missing = wanted.listeners.values().filter(|spec| !running.contains_key(&spec.key));
    let place = |serve: &Serve, key| match serve {
        Serve::Http(_) | Serve::Tls(_) => Placement::Every,
        Serve::Frontend(_) => Placement::One(owner(key, workers)),
    };
    let gone = running.keys().filter(|key| !wanted.listeners.contains_key(key));
    Plan {
        open: missing.map(|spec| (spec.key, place(&spec.serve, spec.key))).collect(),
        close: gone.copied().collect(),
    }
}

/// Spread by hash, so that the owner does not depend on the other listeners.
fn owner(key: SocketKey, workers: usize) -> usize {
    let hash = FixedState::with_seed(0).hash_one(key);
    usize::try_from(hash % workers.max(1) as u64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::plane::tests::frontend;
    use crate::snapshot::{HttpListener, ListenerSpec, RouteTable, TlsListener, Transport};

    fn key(port: u16) -> SocketKey {
        SocketKey { transport: Transport::Tcp, addr: ([127, 0, 0, 1], port).into() }
    }

    fn http() -> Serve {
        let routes = Arc::new(RouteTable::default());
        Serve::Http(Arc::new(HttpListener::single("http".into(), None, routes)))
    }

    fn wanting(ports: &[u16]) -> Snapshot {
        serving(ports, &http())
    }

    fn serving(ports: &[u16], serve: &Serve) -> Snapshot {
        let spec = |port: &u16| {
            let spec = ListenerSpec { key: key(*port), serve: serve.clone() };
            (spec.key, Arc::new(spec))
        };
        Snapshot { listeners: ports.iter().map(spec).collect(), ..Snapshot::default() }
    }

    #[test]
    fn what_stays_wanted_is_left_alone() {
        let running = [(key(1), Placement::Every), (key(2), Placement::Every)].into();
        let plan = plan(&running, &wanting(&[2, 3]), 2);
        assert_eq!(plan.open, [(key(3), Placement::Every)]);
        assert_eq!(plan.close, [key(1)]);
    }

    #[test]
    fn what_a_socket_serves_is_no_reason_to_open_it_anew() {
        let tls = Serve::Tls(Arc::new(TlsListener::new("tls".into(), None, Vec::new())));
        for serve in [http(), tls, Serve::Frontend(frontend(Vec::new()))] {
            for placement in [Placement::Every, Placement::One(1)] {
                let plan = plan(&[(key(1), placement)].into(), &serving(&[1], &serve), 2);
                assert_eq!(plan, Plan::default(), "{serve:?}");
            }
        }
    }

    #[test]
    fn owners_are_stable_and_spread() {
        let owners: Vec<usize> = (1..=1000).map(|port| owner(key(port), 4)).collect();
        assert_eq!(owners, (1..=1000).map(|port| owner(key(port), 4)).collect::<Vec<_>>());
        for worker in 0..4 {
            let share = owners.iter().filter(|owner| **owner == worker).count();
            assert!((150..350).contains(&share), "worker {worker} has {share} of 1000");
        }
    }
}
