//! Wanted against running: pure.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasher;

use foldhash::fast::FixedState;

use crate::snapshot::{ListenerSpec, Serve, Snapshot, SocketKey, Transport};

/// Which workers have a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Placement {
    /// Each has a socket of its own (SO_REUSEPORT): HTTP and TLS.
    Every,
    /// One has the only socket: a Service's address and port, of which there can be thousands.
    One(usize),
}

impl Placement {
    fn of(spec: &ListenerSpec, workers: usize) -> Self {
        match spec.serve {
            Serve::Http(_) | Serve::Tls(_) => Self::Every,
            Serve::Frontend(_) | Serve::Health(_) => Self::One(owner(spec.key, workers)),
        }
    }

    fn is_of_service(self) -> bool {
        matches!(self, Self::One(_))
    }

    /// Whether the socket takes datagrams of another kind than these: flows, or QUIC.
    fn is_for_others(self, spec: &ListenerSpec) -> bool {
        let wanted = Self::of(spec, 1);
        spec.key.transport == Transport::Udp && wanted.is_of_service() != self.is_of_service()
    }
}

/// What is open.
#[derive(Debug, Default)]
pub(super) struct Running {
    sockets: BTreeMap<SocketKey, Placement>,
    of_services: usize,
}

impl Running {
    pub(super) fn insert(&mut self, key: SocketKey, placement: Placement) {
        self.sockets.insert(key, placement);
        self.of_services += usize::from(placement.is_of_service());
    }

    pub(super) fn remove(&mut self, key: &SocketKey) -> Option<Placement> {
        let placement = self.sockets.remove(key)?;
        self.of_services -= usize::from(placement.is_of_service());
        Some(placement)
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &SocketKey> {
        self.sockets.keys()
    }

    pub(super) fn contains(&self, key: &SocketKey) -> bool {
        self.sockets.contains_key(key)
    }
}

/// What to do, by key: what is opened, in the order of ranks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) open: Vec<(SocketKey, Placement)>,
    pub(super) close: Vec<SocketKey>,
    /// Of UDP, what is closed first and opened anew: datagrams of another kind come by it now.
    pub(super) replace: Vec<SocketKey>,
    /// How many more are wanted than the budget has room for.
    pub(super) beyond_budget: usize,
}

/// What to do about the sockets of `keys`, of those that run and those that are wanted. Services take
/// `budget` sockets at most, the oldest first; the listeners of HTTP are few, and not counted. What
/// has a socket keeps it.
pub(super) fn plan(
    running: &Running,
    wanted: &Snapshot,
    keys: &BTreeSet<SocketKey>,
    workers: usize,
    budget: usize,
) -> Plan {
    let mut plan = Plan::default();
    let (mut missing, mut kept) = (Vec::new(), running.of_services);
    for key in keys {
        let spec = wanted.listeners.get(key).filter(|spec| wanted.has_socket(spec));
        let placement = running.sockets.get(key).copied();
        match (spec, placement) {
            (Some(spec), None) => missing.push(spec),
            (Some(spec), Some(placement)) if placement.is_for_others(spec) => {
                plan.replace.push(*key);
                kept -= usize::from(placement.is_of_service());
                missing.push(spec);
            }
            (None, Some(placement)) => {
                plan.close.push(*key);
                kept -= usize::from(placement.is_of_service());
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
    }
    let mut room = budget.saturating_sub(kept);
    missing.sort_by_key(|spec| (spec.rank, spec.key));
    for spec in missing {
        let placement = Placement::of(spec, workers);
        if placement.is_of_service() {
            if room == 0 {
                plan.beyond_budget += 1;
                continue;
            }
            room -= 1;
        }
        plan.open.push((spec.key, placement));
    }
    plan
}

/// The sockets that the step from one snapshot to the next may concern. Few, where little changed:
/// to look at each of ten thousand Services for every endpoint would cost more than all the rest.
pub(super) fn concerned(before: &Snapshot, after: &Snapshot) -> BTreeSet<SocketKey> {
    let new = after.listeners.beyond(&before.listeners);
    let old = before.listeners.beyond(&after.listeners);
    let keys: BTreeSet<_> = new.chain(old).map(|(key, _)| *key).collect();
    let answers = |snapshot: &Snapshot, key: &SocketKey| {
        snapshot.listeners.get(key).is_some_and(|spec| spec.serve.answers())
    };
    let is_wildcard = |key: &&SocketKey| key.addr.ip().is_unspecified();
    let mut wildcards = keys.iter().filter(is_wildcard);
    // whether others have a socket may depend on it
    if wildcards.any(|key| answers(before, key) != answers(after, key)) {
        return before.listeners.keys().chain(after.listeners.keys()).copied().collect();
    }
    keys
}

/// Every socket that runs or is wanted.
pub(super) fn all(running: &Running, wanted: &Snapshot) -> BTreeSet<SocketKey> {
    running.sockets.keys().chain(wanted.listeners.keys()).copied().collect()
}

/// Spread by hash, so that the owner does not depend on the other listeners.
fn owner(key: SocketKey, workers: usize) -> usize {
    let hash = FixedState::with_seed(0).hash_one(key);
    usize::try_from(hash % workers.max(1) as u64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::plane::tests::{backend, frontend, share};
    use crate::snapshot::{HttpListener, RouteTable, TlsListener, Transport};

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

    fn running(sockets: &[(SocketKey, Placement)]) -> Running {
        let mut running = Running::default();
        sockets.iter().for_each(|(key, placement)| running.insert(*key, *placement));
        running
    }

    fn plan_all(
        sockets: &[(SocketKey, Placement)],
        wanted: &Snapshot,
        workers: usize,
        budget: usize,
    ) -> Plan {
        let running = running(sockets);
        plan(&running, wanted, &all(&running, wanted), workers, budget)
    }

    #[test]
    fn services_take_no_more_sockets_than_the_budget_and_http_what_it_needs() {
        let mut wanted = of_service(Transport::Tcp, &[1, 2, 3, 4, 5], true);
        for (key, spec) in wanting(&[80, 443]).listeners.iter() {
            wanted.listeners.insert(*key, spec.clone());
        }
        let running = [(key(2), Placement::One(0)), (key(9), Placement::One(0))];
        let planned = plan_all(&running, &wanted, 1, 3);
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
            let running = [(key, Placement::One(0))];
            assert_eq!(plan_all(&[], &used, 1, 9).open, running);
            assert_eq!(plan_all(&running, &used, 1, 9), Plan::default());
            assert_eq!(plan_all(&[], &unused, 1, 9), Plan::default());
            assert_eq!(plan_all(&running, &unused, 1, 9).close, [key]);
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
            let opened: Vec<_> = plan_all(&[], &wanted, 1, 9).open;
            assert_eq!(opened.into_iter().map(|(key, _)| key).collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn what_stays_wanted_is_left_alone() {
        let running = [(key(1), Placement::Every), (key(2), Placement::Every)];
        let plan = plan_all(&running, &wanting(&[2, 3]), 2, 0);
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
                let plan = plan_all(&[(key(1), placement)], &serving(&[1], &serve), 2, 9);
                assert_eq!(plan, Plan::default(), "{serve:?}");
            }
        }
    }

    /// One address and port of a few, with what it serves, or not.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        Http(bool, u16),
        Service(bool, u16, bool),
        Remove(bool, u16),
    }

    fn step() -> impl Strategy<Value = Step> {
        let place = || (prop::bool::weighted(0.1), 1u16..400);
        prop_oneof![
            1 => place().prop_map(|(any, port)| Step::Http(any, port)),
            8 => (place(), any::<bool>()).prop_map(|((any, port), it)| Step::Service(any, port, it)),
            3 => place().prop_map(|(any, port)| Step::Remove(any, port)),
        ]
    }

    fn take(step: Step, snapshot: &mut Snapshot) {
        let place = |any: bool, port| match any {
            true => SocketKey { addr: ([0, 0, 0, 0], port).into(), ..key(1) },
            false => key(port),
        };
        let (key, serve) = match step {
            Step::Remove(any, port) => {
                snapshot.listeners.remove(&place(any, port));
                return;
            }
            Step::Http(any, port) => (place(any, port), http()),
            Step::Service(any, port, has_endpoint) => {
                let of_service = of_service(Transport::Tcp, &[1], has_endpoint);
                let spec = of_service.listeners.values().next().expect("one");
                (place(any, port), spec.serve.clone())
            }
        };
        snapshot.listeners.insert(key, Arc::new(ListenerSpec { key, serve, rank: 0 }));
    }

    fn carry_out(plan: Plan, running: &mut Running) {
        plan.open.into_iter().for_each(|(key, placement)| running.insert(key, placement));
        for key in plan.close {
            running.remove(&key);
        }
    }

    proptest! {
        #[test]
        fn to_look_at_what_a_step_concerns_is_enough(
            changes in prop::collection::vec(prop::collection::vec(step(), 1..150), 1..8),
        ) {
            let (mut before, mut running) = (Snapshot::default(), Running::default());
            for steps in changes {
                let mut after = before.clone();
                steps.into_iter().for_each(|step| take(step, &mut after));
                let few = plan(&running, &after, &concerned(&before, &after), 3, 1_000);
                let whole = plan(&running, &after, &all(&running, &after), 3, 1_000);
                prop_assert_eq!(&few, &whole);
                carry_out(few, &mut running);
                let open: Vec<_> = running.keys().copied().collect();
                let wanted: Vec<_> = after.sockets().map(|spec| spec.key).collect();
                prop_assert_eq!(open, wanted);
                before = after;
            }
        }
    }

    #[test]
    fn a_socket_of_udp_is_opened_anew_for_datagrams_of_another_kind() {
        let udp = SocketKey { transport: Transport::Udp, ..key(1) };
        let mut http3 = Snapshot::default();
        let spec = ListenerSpec { key: udp, serve: http(), rank: 0 };
        http3.listeners.insert(udp, Arc::new(spec));
        let flows = of_service(Transport::Udp, &[1], true);
        let of_flows = Placement::One(owner(udp, 2));
        for (running, wanted, expected) in [
            (Placement::Every, &http3, None),
            (of_flows, &flows, None),
            (of_flows, &http3, Some(Placement::Every)),
            (Placement::Every, &flows, Some(of_flows)),
        ] {
            let plan = plan_all(&[(udp, running)], wanted, 2, 9);
            let replaced = expected.map(|placement| (udp, placement));
            assert_eq!(plan.open, Vec::from_iter(replaced));
            assert_eq!(plan.replace, Vec::from_iter(expected.map(|_| udp)));
            assert_eq!(plan.close, []);
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
