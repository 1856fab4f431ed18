//! A change of EndpointSlices gives what compiling everything gives.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::compile::patch;
use crate::manifest::{Finding, Kind, ObjectRef};
use crate::snapshot::Snapshot;
use crate::source::Event;
use crate::store::{Changes, Inbox};

/// One Service of each kind that endpoints mean something to; `ruled` is behind an Ingress.
fn services() -> Vec<Value> {
    let port = json!([{"name": "http", "port": 80, "targetPort": 8080, "nodePort": null}]);
    let several =
        json!([{"name": "http", "port": 80}, {"name": "dns", "port": 53, "protocol": "UDP"}]);
    let local = json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local", "ports": port,
        "healthCheckNodePort": 31_000, "ipFamilyPolicy": "PreferDualStack"});
    vec![
        service("plain", json!({"ports": port})),
        service("several", json!({"type": "NodePort", "ports": several})),
        service("local", local),
        service("headless", json!({"clusterIP": "None", "ports": port})),
        service("selecting", json!({"selector": {"app": "x"}, "ports": port})),
        service("ruled", json!({"ports": port})),
        service("outside", json!({"type": "ExternalName", "externalName": "a.example"})),
        pools::pool("p", json!({"addresses": ["203.0.113.0/29", "fd01::/125"]})),
        ingress("in", json!({"defaultBackend": backend("ruled")})),
        json!({"kind": "Node", "metadata": {"name": "here",
            "labels": {"topology.kubernetes.io/zone": "z1"}}}),
    ]
}

const OWNERS: [&str; 8] =
    ["plain", "several", "local", "headless", "selecting", "ruled", "outside", "nobody"];

/// A slice by number: of whom, its endpoints, and whether it has the other family.
#[derive(Clone, Debug)]
struct Slice {
    owner: usize,
    is_v6: bool,
    endpoints: Vec<(u8, u8, u8)>,
}

fn slice(number: usize, it: &Slice) -> Value {
    let endpoint = |(place, condition, place_of): &(u8, u8, u8)| {
        let address = if it.is_v6 { format!("fd00::{place}") } else { format!("10.1.0.{place}") };
        let mut endpoint = json!({
            "addresses": [address],
            "conditions": {"ready": condition % 3 != 0, "serving": condition % 5 != 0,
                "terminating": condition % 3 == 0},
            "nodeName": if place_of % 2 == 0 { "here" } else { "there" },
            "hints": {"forZones": [{"name": format!("z{}", place_of % 3)}]},
            "targetRef": {"kind": "Pod", "name": format!("p{place}"),
                "namespace": if place_of % 4 == 3 { "other" } else { "default" }},
        });
        match condition % 4 {
            0 => endpoint["hostname"] = json!(format!("h{}", place % 2)),
            1 => endpoint["hints"] = json!(null),
            2 => endpoint["targetRef"] = json!(null),
            _ => {}
        }
        // one in a while is broken, which must be said
        if condition == &59 {
            endpoint["addresses"] = json!(["nowhere"]);
        }
        endpoint
    };
    let owner = OWNERS.get(it.owner).copied().unwrap_or_default();
    json!({
        "kind": "EndpointSlice",
        "metadata": {"name": format!("s{number}"),
            "labels": {"kubernetes.io/service-name": owner}},
        "addressType": if it.is_v6 { "IPv6" } else { "IPv4" },
        "endpoints": it.endpoints.iter().map(endpoint).collect::<Vec<_>>(),
        "ports": [{"name": "http", "port": 8080}, {"name": "dns", "port": 53, "protocol": "UDP"}],
    })
}

fn some_slice() -> impl Strategy<Value = Slice> {
    let endpoint = (1u8..6, 0u8..60, 0u8..8);
    (0..OWNERS.len() - 1, prop::bool::weighted(0.2), prop::collection::vec(endpoint, 0..4))
        .prop_map(|(owner, is_v6, endpoints)| Slice { owner, is_v6, endpoints })
}

/// The objects, and what is known of them from the last compilation.
struct World {
    inbox: Inbox,
    settings: Settings,
    held: Allocations,
    snapshot: Snapshot,
    findings: Vec<Finding>,
    patched: usize,
}

impl World {
    fn new(objects: Vec<Value>) -> Self {
        let settings = Settings {
            node_name: "here".into(),
            service_cidrs: ["127.96.0.0/16", "fd96::/112"]
                .map(|it| it.parse().expect("a CIDR"))
                .to_vec(),
            announce: true,
            ..Settings::default()
        };
        let mut world = Self {
            inbox: Inbox::default(),
            settings,
            held: Allocations::default(),
            snapshot: Snapshot::default(),
            findings: Vec::new(),
            patched: 0,
        };
        world.inbox.apply(vec![Event::Init]);
        world.inbox.apply(objects.into_iter().map(|it| Event::InitApply(sourced(it))).collect());
        world.inbox.apply(vec![Event::InitDone]);
        world.compile();
        world
    }

    /// Everything compiled anew: nothing but allocations is remembered.
    fn whole(&self) -> Compiled {
        compile(&self.inbox.objects, &self.settings, &forgetting(&self.held), now())
    }

    fn compile(&mut self) {
        let compiled = self.whole();
        (self.held, self.snapshot) = (compiled.allocations, compiled.snapshot);
        self.findings = compiled.report.findings;
        self.inbox.changes = Changes::None;
    }

    /// Takes in events and follows them as the driver does.
    fn take(&mut self, events: Vec<Event>) {
        self.inbox.apply(events);
        let changes = std::mem::take(&mut self.inbox.changes);
        let Changes::Slices(slices) = &changes else { return self.compile() };
        let (objects, held) = (&self.inbox.objects, &mut self.held);
        match patch(objects, &self.settings, held, &self.snapshot, slices) {
            Some(snapshot) => {
                self.patched += 1;
                let whole = self.whole();
                assert_eq!(whole.report.findings, self.findings, "what is wrong must be said");
                assert_eq!(snapshot, whole.snapshot);
                self.snapshot = snapshot;
            }
            None => self.compile(),
        }
    }
}

fn sourced(value: Value) -> Arc<Sourced> {
    Arc::new(Sourced { object: object(value), origin: Origin::default(), stale: false })
}

#[test]
fn a_new_endpoint_of_a_service_without_rules_is_followed() {
    let ready = |owner: usize| Slice { owner, is_v6: false, endpoints: vec![(1, 1, 0)] };
    let (selecting, ruled) = (4, 5);
    let of_all = (0..=ruled).map(|owner| slice(owner, &ready(owner)));
    let mut world = World::new(services().into_iter().chain(of_all).collect());
    for (owner, name) in OWNERS.iter().enumerate().take(ruled) {
        let one_more = Slice { endpoints: vec![(1, 1, 0), (2, 1, 1)], ..ready(owner) };
        world.take(vec![Event::Apply(sourced(slice(owner, &one_more)))]);
        assert_eq!(world.patched, owner + 1, "{name}");
    }
    // more than a patch follows from these: a rule leads there, and a selector leads nowhere
    world.take(vec![Event::Apply(sourced(slice(
        ruled,
        &Slice { endpoints: vec![], ..ready(ruled) },
    )))]);
    let gone =
        ObjectRef::new(Kind::EndpointSlice, ObjectKey::new("default", format!("s{selecting}")));
    world.take(vec![Event::Delete(gone)]);
    assert_eq!(world.patched, ruled);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn changes_of_slices_lead_where_compiling_everything_leads(
        first in prop::collection::btree_map(0usize..6, some_slice(), 0..6),
        steps in prop::collection::vec(
            prop::collection::btree_map(0usize..6, prop::option::of(some_slice()), 1..3), 1..10),
    ) {
        let mut there: BTreeMap<usize, Slice> = first;
        let slices = there.iter().map(|(number, it)| slice(*number, it));
        let mut world = World::new(services().into_iter().chain(slices).collect());
        for step in steps {
            let mut events = Vec::new();
            for (number, now) in step {
                match now {
                    Some(it) => {
                        events.push(Event::Apply(sourced(slice(number, &it))));
                        there.insert(number, it);
                    }
                    None if there.remove(&number).is_some() => {
                        let key = ObjectKey::new("default", format!("s{number}"));
                        events.push(Event::Delete(ObjectRef::new(Kind::EndpointSlice, key)));
                    }
                    None => {}
                }
            }
            world.take(events);
        }
    }
}
