//! What holds for the addresses of LoadBalancers after any sequence of edits.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::pools::{lb, pool, with};
use super::*;

/// One edit: of a Service, or of a pool.
#[derive(Clone, Copy, Debug)]
enum Edit {
    /// Number, families, key, what it asks for, ports, policy.
    Service(usize, Service),
    NoService(usize),
    /// Number, addresses, rules.
    Pool(usize, usize, usize),
    NoPool(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Service {
    families: usize,
    key: usize,
    wish: usize,
    ports: usize,
    is_local: bool,
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let service = (0..3_usize, 0..3_usize, 0..8_usize, 0..3_usize, any::<bool>()).prop_map(
        |(families, key, wish, ports, is_local)| Service { families, key, wish, ports, is_local },
    );
    let edit = prop_oneof![
        6 => (0..8_usize, service).prop_map(|(number, it)| Edit::Service(number, it)),
        1 => (0..8_usize).prop_map(Edit::NoService),
        2 => (0..3_usize, 0..4_usize, 0..5_usize).prop_map(|(it, range, rule)| Edit::Pool(it, range, rule)),
        1 => (0..3_usize).prop_map(Edit::NoPool),
    ];
    prop::collection::vec(edit, 1..25)
}

fn service_of(number: usize, it: Service) -> Value {
    let policy = ["SingleStack", "PreferDualStack", "RequireDualStack"].get(it.families);
    let ports = [
        json!([{"port": 80}]),
        json!([{"port": 81}]),
        json!([{"name": "a", "port": 82}, {"name": "b", "port": 83}]),
    ];
    let local = if it.is_local { "Local" } else { "Cluster" };
    let mut spec = json!({"ipFamilyPolicy": policy, "ports": ports.get(it.ports),
        "externalTrafficPolicy": local, "selector": {"app": (number % 2).to_string()}});
    let mut annotations = json!({});
    match it.wish {
        0 => spec["loadBalancerIP"] = json!("10.0.0.2"),
        1 => annotations["metallb.io/loadBalancerIPs"] = json!("10.0.0.3,fd00::3"),
        2 => annotations["metallb.io/address-pool"] = json!("p1"),
        _ => {}
    }
    if let Some(key) = [None, Some("a"), Some("b")].get(it.key).copied().flatten() {
        annotations["metallb.io/allow-shared-ip"] = json!(key);
    }
    let labelled = with(lb(&format!("s{number}"), spec), "annotations", annotations);
    with(labelled, "labels", json!({"odd": (number % 2).to_string()}))
}

fn pool_of(number: usize, range: usize, rule: usize) -> Value {
    let ranges = [
        json!(["10.0.0.0-10.0.0.3", "fd00::/126"]),
        json!(["10.0.0.2-10.0.0.6"]),
        json!(["fd00::2-fd00::9"]),
        json!(["10.1.0.0/30", "fd01::/126"]),
    ];
    let mut spec = match rule {
        0 => json!({"serviceAllocation": {"serviceSelectors": [{"matchLabels": {"odd": "1"}}]}}),
        1 => json!({"autoAssign": false}),
        2 => json!({"avoidBuggyIPs": true}),
        _ => json!({}),
    };
    spec["addresses"] = json!(ranges.get(range));
    pool(&format!("p{number}"), spec)
}

type Given = BTreeMap<ObjectKey, Vec<IpAddr>>;

fn settings() -> Settings {
    let cidrs = ["127.96.0.0/16", "fd00:96::/108"];
    let service_cidrs = cidrs.map(|it| it.parse().expect("a CIDR")).to_vec();
    Settings { service_cidrs, ..Settings::default() }
}

/// Whether two Services may have one address.
fn may_share(one: (usize, Service), other: (usize, Service)) -> bool {
    let numbers = |it: Service| if it.ports == 2 { vec![82, 83] } else { vec![80 + it.ports] };
    let is_cluster = !one.1.is_local && !other.1.is_local;
    let same_pods = one.0 % 2 == other.0 % 2;
    one.1.key > 0
        && one.1.key == other.1.key
        && numbers(one.1).iter().all(|port| !numbers(other.1).contains(port))
        && (is_cluster || same_pods)
}

#[derive(Default)]
struct World {
    services: BTreeMap<usize, Service>,
    pools: BTreeMap<usize, (usize, usize)>,
}

impl World {
    fn edit(&mut self, edit: Edit) {
        match edit {
            Edit::Service(number, it) => drop(self.services.insert(number, it)),
            Edit::NoService(number) => drop(self.services.remove(&number)),
            Edit::Pool(number, range, rule) => drop(self.pools.insert(number, (range, rule))),
            Edit::NoPool(number) => drop(self.pools.remove(&number)),
        }
    }

    fn values(&self) -> Vec<Value> {
        let services = self.services.iter().map(|(number, it)| service_of(*number, *it));
        let pools =
            self.pools.iter().map(|(number, (range, rule))| pool_of(*number, *range, *rule));
        services.chain(pools).collect()
    }

    /// Those that are given by pools, not the node's.
    fn given(&self, compiled: &Compiled) -> Given {
        let mut given = compiled.allocations.load_balancers.clone();
        for addresses in given.values_mut() {
            addresses.retain(|ip| !ip.is_loopback());
        }
        given
    }
}

fn number_of(key: &ObjectKey) -> usize {
    key.name.trim_start_matches('s').parse().expect("a number")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn no_edit_moves_an_address_of_others_or_gives_one_twice(edits in edits()) {
        let mut world = World::default();
        let mut held = Allocations::default();
        let mut before = Given::new();
        for edit in edits {
            let services = world.services.clone();
            let pools = world.pools.clone();
            world.edit(edit);
            let compiled = compile(&objects(world.values()), &settings(), &held, now());
            let given = world.given(&compiled);
            let mut users: BTreeMap<IpAddr, Vec<(usize, Service)>> = BTreeMap::new();
            for (key, addresses) in &given {
                let number = number_of(key);
                for ip in addresses {
                    users.entry(*ip).or_default().push((number, world.services[&number]));
                }
                let unique: BTreeSet<_> = addresses.iter().collect();
                prop_assert_eq!(unique.len(), addresses.len());
            }
            for (ip, users) in users {
                for (place, one) in users.iter().enumerate() {
                    for other in users.iter().skip(place + 1) {
                        prop_assert!(may_share(*one, *other), "{} is given twice: {:?} {:?}", ip, one, other);
                    }
                }
            }
            // who is not edited keeps what it has while the pools are the same
            for (key, addresses) in before.iter().filter(|_| pools == world.pools) {
                let number = number_of(key);
                if services.get(&number) == world.services.get(&number) {
                    for ip in addresses {
                        prop_assert!(given.get(key).is_some_and(|now| now.contains(ip)), "{} lost {}", key, ip);
                    }
                }
            }
            // an edit of a pool takes an address away only where it is not legal any more: an
            // address that the pools still have, and for all, stays
            let is_for_all = |ip: &IpAddr| {
                let owner = world.pools.iter().find(|(_, (range, _))| has(*range, *ip));
                owner.is_some_and(|(_, (_, rule))| *rule != 0)
            };
            for (key, addresses) in &before {
                let number = number_of(key);
                let same = services.get(&number) == world.services.get(&number);
                let is_free = world.services.get(&number).is_some_and(|it| it.wish > 2);
                for ip in addresses.iter().filter(|ip| same && is_free && is_for_all(ip)) {
                    prop_assert!(given.get(key).is_some_and(|now| now.contains(ip)), "{} lost {}", key, ip);
                }
            }
            let again = compile(&objects(world.values()), &settings(), &compiled.allocations, now());
            prop_assert_eq!(&again.snapshot.load_balancers, &compiled.snapshot.load_balancers);
            prop_assert!(again.snapshot == compiled.snapshot, "a second compilation changes nothing");
            before = given;
            held = compiled.allocations;
        }
    }

    #[test]
    fn after_a_cold_start_the_order_of_arrival_changes_nothing(edits in edits(), seed in any::<u64>()) {
        let mut world = World::default();
        edits.into_iter().for_each(|edit| world.edit(edit));
        let values = world.values();
        let mut shuffled = values.clone();
        shuffled.sort_by_key(|value| crate::compile::allocate::stable_hash(&format!("{seed}{value}")));
        let cold = |values: Vec<Value>| compile(&objects(values), &settings(), &Allocations::default(), now());
        prop_assert_eq!(cold(values).allocations, cold(shuffled).allocations);
    }
}

/// Whether a range of [`pool_of`] has an address.
fn has(range: usize, ip: IpAddr) -> bool {
    let ranges: [&[(&str, &str)]; 4] = [
        &[("10.0.0.0", "10.0.0.3"), ("fd00::", "fd00::3")],
        &[("10.0.0.2", "10.0.0.6")],
        &[("fd00::2", "fd00::9")],
        &[("10.1.0.0", "10.1.0.3"), ("fd01::", "fd01::3")],
    ];
    let address = |text: &str| -> IpAddr { text.parse().expect("an address") };
    ranges[range].iter().any(|(first, last)| (address(first)..=address(last)).contains(&ip))
}
