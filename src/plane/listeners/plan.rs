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

/// What to do, by key: what is opened, in the order of ranks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) open: Vec<(SocketKey, Placement)>,
    pub(super) close: Vec<SocketKey>,
    /// How many more are wanted than the budget has room for.
    pub(super) beyond_budget: usize,
}

/// The difference between what runs and what the snapshot wants. Services take `budget` sockets at
/// most, the oldest first; the listeners of HTTP are few, and not counted. What has a socket keeps it.
pub(super) fn plan(
    running: &BTreeMap<SocketKey, Placement>,
    wanted: &Snapshot,
    workers: usize,
    budget: usize,
) -> Plan {
    let place = |serve: &Serve, key| match serve {
        Serve::Http(_) | Serve::Tls(_) => Placement::Every,
        Serve::Frontend(_) | Serve::Health(_) => Placement::One(owner(key, workers)),
    };
    let is_of_service = |placement: Placement| matches!(placement, Placement::One(_));
    let stays =
        |key: &SocketKey| wanted.listeners.get(key).is_some_and(|spec| wanted.has_socket(spec));
    let kept = running.iter().filter(|(key, placement)| is_of_service(**placement) && stays(key));
    let mut plan = Plan::default();
    let mut room = budget.saturating_sub(kept.count());
    let missing = wanted.sockets().filter(|spec| !running.contains_key(&spec.key));
    let mut missing: Vec<_> = missing.collect();
    missing.sort_by_key(|spec| (spec.rank, spec.key));
    for spec in missing {
        let placement = place(&spec.serve, spec.key);
        if is_of_service(placement) {
            if room == 0 {
                plan.beyond_budget += 1;
                continue;
            }
            room -= 1;
        }
        plan.open.push((spec.key, placement));
    }
    plan.close.extend(running.keys().filter(|key| !stays(key)));
    plan
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
    use crate::plane::tests::{backend, frontend, share};
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
            let spec = ListenerSpec { key: key(*port), serve: serve.clone(), rank: 0 };
            (spec.key, Arc::new(spec))
        };
        Snapshot { listeners: ports.iter().map(spec).collect(), ..Snapshot::default() }
    }

    /// Addresses of one Service, with or without an endpoint behind them.
    fn of_service(transport: Transport, ports: &[u16], has_endpoint: bool) -> Snapshot {
        let endpoint = ([127, 0, 0, 2], 7).into();
        let endpoints = if has_endpoint { vec![endpoint] } else { Vec::new() };
        let frontend = frontend(vec![share(1, backend("web", transport, &endpoints))]);
        let spec = |port: &u16| {
            let key = SocketKey { transport, ..key(*port) };
            let serve = Serve::Frontend(frontend.clone());
            (key, Arc::new(ListenerSpec { key, serve, rank: 9 - usize::from(*port) }))
        };
        Snapshot { listeners: ports.iter().map(spec).collect(), ..Snapshot::default() }
    }

    #[test]
    fn services_take_no_more_sockets_than_the_budget_and_http_what_it_needs() {
        let mut wanted = of_service(Transport::Tcp, &[1, 2, 3, 4, 5], true);
        wanted.listeners.append(&mut wanting(&[80, 443]).listeners);
        let running = [(key(2), Placement::One(0)), (key(9), Placement::One(0))].into();
        let planned = plan(&running, &wanted, 1, 3);
        let opened: Vec<_> = planned.open.iter().map(|(key, _)| key.addr.port()).collect();
        assert_eq!(opened, [80, 443, 5, 4], "the oldest, which have the highest ports here");
        assert_eq!((planned.close, planned.beyond_budget), (vec![key(9)], 2));
    }

    #[test]
    fn an_address_has_a_socket_while_somebody_is_behind_it() {
        for transport in [Transport::Tcp, Transport::Udp] {
            let key = SocketKey { transport, ..key(1) };
            let used = of_service(transport, &[1], true);
            let unused = of_service(transport, &[1], false);
            let running = BTreeMap::from([(key, Placement::One(0))]);
            assert_eq!(plan(&BTreeMap::new(), &used, 1, 9).open, [(key, Placement::One(0))]);
            assert_eq!(plan(&running, &used, 1, 9), Plan::default());
            assert_eq!(plan(&BTreeMap::new(), &unused, 1, 9), Plan::default());
            assert_eq!(plan(&running, &unused, 1, 9).close, [key]);
        }
    }

    #[test]
    fn an_address_keeps_its_socket_where_one_on_every_address_would_take_its_clients() {
        let mut wanted = of_service(Transport::Tcp, &[1], false);
        let everywhere = SocketKey { addr: ([0, 0, 0, 0], 1).into(), ..key(1) };
        for (serve, expected) in [
            (http(), vec![everywhere, key(1)]),
            (Serve::Frontend(frontend(Vec::new())), Vec::new()),
        ] {
            let spec = ListenerSpec { key: everywhere, serve, rank: 0 };
            wanted.listeners.insert(everywhere, Arc::new(spec));
            let opened: Vec<_> = plan(&BTreeMap::new(), &wanted, 1, 9).open;
            assert_eq!(opened.into_iter().map(|(key, _)| key).collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn what_stays_wanted_is_left_alone() {
        let running = [(key(1), Placement::Every), (key(2), Placement::Every)].into();
        let plan = plan(&running, &wanting(&[2, 3]), 2, 0);
        assert_eq!(plan.open, [(key(3), Placement::Every)]);
        assert_eq!(plan.close, [key(1)]);
    }

    #[test]
    fn what_a_socket_serves_is_no_reason_to_open_it_anew() {
        let tls = Serve::Tls(Arc::new(TlsListener::new("tls".into(), None, Vec::new())));
        let endpoint = ([127, 0, 0, 2], 7).into();
        let backend = backend("web", Transport::Tcp, &[endpoint]);
        for serve in [http(), tls, Serve::Frontend(frontend(vec![share(1, backend)]))] {
            for placement in [Placement::Every, Placement::One(1)] {
                let plan = plan(&[(key(1), placement)].into(), &serving(&[1], &serve), 2, 9);
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
