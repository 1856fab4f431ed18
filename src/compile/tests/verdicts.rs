//! Forward, reject or drop: kube-proxy's tables, as services.md lists them, asked of the decision
//! that every plane asks.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::services::web;
use super::*;
use crate::snapshot::Exposure::{self, ClusterIp, ExternalIp, LoadBalancer, NodePort};
use crate::snapshot::{
    Backend, EndpointSet, Place, Reason, Snapshot, SocketKey, Transport, Verdict,
};

/// This node is 192.168.0.2, pods are in 10.0.0.0/8.
fn settings() -> Settings {
    Settings {
        node_ips: vec![ip(NODE)],
        pod_cidrs: vec!["10.0.0.0/8".parse().expect("a CIDR")],
        ..Settings::default()
    }
}

const POD: &str = "10.0.0.2";
const NODE: &str = "192.168.0.2";
const OUTSIDE: &str = "203.0.113.2";

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// A load balancer with every kind of address, and these endpoints in words: `here` is on this
/// node, `unready` and `leaving` (terminating, and serving) are conditions.
fn objects_of(extra: &Value, endpoints: &[&str]) -> [Value; 2] {
    let mut service = web(json!({"type": "LoadBalancer", "selector": {},
                                 "externalIPs": ["127.9.9.9"]}));
    let spec = service["spec"].as_object_mut().expect("a map");
    spec.extend(extra.as_object().expect("a map").clone());
    service["status"] =
        json!({"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}, {"ip": "5.6.7.8"}]}});
    let endpoint = |(place, words): (usize, &&str)| {
        let has = |word| words.split(' ').any(|it| it == word);
        json!({
            "addresses": [format!("10.180.0.{place}")],
            "nodeName": if has("here") { "localhost" } else { "other" },
            "conditions": {
                "ready": !has("unready") && !has("leaving"),
                "serving": !has("unready"),
                "terminating": has("leaving"),
            },
        })
    };
    let endpoints: Vec<_> = endpoints.iter().enumerate().map(endpoint).collect();
    let slice = json!({
        "kind": "EndpointSlice",
        "metadata": {"name": "web", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4", "ports": [{"port": 8080}], "endpoints": endpoints,
    });
    [service, slice]
}

/// What is decided about the clients of one Service.
struct World(Snapshot);

impl World {
    fn new(extra: &Value, endpoints: &[&str]) -> Self {
        Self::with(&settings(), extra, endpoints)
    }

    fn with(settings: &Settings, extra: &Value, endpoints: &[&str]) -> Self {
        let objects = objects(objects_of(extra, endpoints));
        Self(compile(&objects, settings, &Allocations::default(), now()).snapshot)
    }

    /// The frontend at an address; a node port is on all of them.
    fn at(&self, exposure: Exposure) -> (SocketKey, &Frontend, &Backend) {
        let mut found = self.0.listeners.iter().filter_map(|(key, spec)| match &spec.serve {
            Serve::Frontend(it) if it.exposure == exposure => {
                Some((*key, &**it, &**it.shares[0].backend().expect("a backend")))
            }
            Serve::Frontend(_) | Serve::Http(_) | Serve::Tls(_) | Serve::Health(_) => None,
        });
        found.next().expect("a frontend")
    }

    fn verdict(&self, exposure: Exposure, client: &str) -> Verdict {
        let (key, frontend, backend) = self.at(exposure);
        let at = if exposure == NodePort { ip(NODE) } else { key.addr.ip() };
        frontend.verdict(ip(client), at, backend)
    }

    fn told(&self, exposure: Exposure, client: &str) -> String {
        let verdict = self.verdict(exposure, client);
        match verdict {
            Verdict::Forward { set, masquerade } => {
                let set = if set == EndpointSet::Local { "here" } else { "all" };
                format!("{set}{}", if masquerade { " snat" } else { "" })
            }
            Verdict::Reject(reason) => format!("reject {reason}"),
            Verdict::Drop(reason) => format!("drop {reason}"),
        }
    }
}

/// What a Service says about its traffic, by name.
fn policies(name: &str) -> Value {
    match name {
        EXTERNAL => json!({"externalTrafficPolicy": "Local"}),
        INTERNAL => json!({"internalTrafficPolicy": "Local"}),
        BOTH => json!({"externalTrafficPolicy": "Local", "internalTrafficPolicy": "Local"}),
        _ => json!({}),
    }
}

const PLAIN: &str = "eTP Cluster, iTP Cluster";
const EXTERNAL: &str = "eTP Local";
const INTERNAL: &str = "iTP Local";
const BOTH: &str = "eTP Local, iTP Local";

/// TestInternalExternalMasquerade: 27 flows in four configurations: the base, without a detector of
/// local traffic, with masquerade-all, with both. `snat`: masqueraded.
#[rustfmt::skip]
const FLOWS: [(&str, Exposure, &str, [&str; 4]); 27] = [
    (PLAIN, ClusterIp, POD, ["all", "all", "all snat", "all snat"]),
    (PLAIN, ClusterIp, NODE, ["all snat", "all", "all snat", "all snat"]),
    (PLAIN, ClusterIp, OUTSIDE, ["all snat", "all", "all snat", "all snat"]),
    (PLAIN, NodePort, POD, ["all snat", "all snat", "all snat", "all snat"]),
    (PLAIN, NodePort, NODE, ["all snat", "all snat", "all snat", "all snat"]),
    (PLAIN, NodePort, OUTSIDE, ["all snat", "all snat", "all snat", "all snat"]),
    (PLAIN, LoadBalancer, POD, ["all snat", "all snat", "all snat", "all snat"]),
    (PLAIN, LoadBalancer, NODE, ["all snat", "all snat", "all snat", "all snat"]),
    (PLAIN, LoadBalancer, OUTSIDE, ["all snat", "all snat", "all snat", "all snat"]),
    (EXTERNAL, ClusterIp, POD, ["all", "all", "all snat", "all snat"]),
    (EXTERNAL, ClusterIp, NODE, ["all snat", "all", "all snat", "all snat"]),
    (EXTERNAL, ClusterIp, OUTSIDE, ["all snat", "all", "all snat", "all snat"]),
    (EXTERNAL, NodePort, POD, ["all", "here", "all", "here"]),
    (EXTERNAL, NodePort, NODE, ["all snat", "all snat", "all snat", "all snat"]),
    (EXTERNAL, NodePort, OUTSIDE, ["here", "here", "here", "here"]),
    (EXTERNAL, LoadBalancer, POD, ["all", "here", "all", "here"]),
    (EXTERNAL, LoadBalancer, NODE, ["all snat", "all snat", "all snat", "all snat"]),
    (EXTERNAL, LoadBalancer, OUTSIDE, ["here", "here", "here", "here"]),
    (INTERNAL, ClusterIp, POD, ["here", "here", "here snat", "here snat"]),
    (INTERNAL, ClusterIp, NODE, ["here snat", "here", "here snat", "here snat"]),
    (INTERNAL, ClusterIp, OUTSIDE, ["here snat", "here", "here snat", "here snat"]),
    (INTERNAL, NodePort, POD, ["all snat", "all snat", "all snat", "all snat"]),
    (INTERNAL, NodePort, NODE, ["all snat", "all snat", "all snat", "all snat"]),
    (INTERNAL, NodePort, OUTSIDE, ["all snat", "all snat", "all snat", "all snat"]),
    (INTERNAL, LoadBalancer, POD, ["all snat", "all snat", "all snat", "all snat"]),
    (INTERNAL, LoadBalancer, NODE, ["all snat", "all snat", "all snat", "all snat"]),
    (INTERNAL, LoadBalancer, OUTSIDE, ["all snat", "all snat", "all snat", "all snat"]),
];

#[test]
fn every_flow_has_its_endpoints_and_its_masquerade_in_every_configuration() {
    let no_detector = Settings { pod_cidrs: Vec::new(), ..settings() };
    let configurations = [
        settings(),
        no_detector.clone(),
        Settings { masquerade_all: true, ..settings() },
        Settings { masquerade_all: true, ..no_detector },
    ];
    for (service, exposure, client, expected) in FLOWS {
        for (settings, expected) in configurations.iter().zip(expected) {
            let world = World::with(settings, &policies(service), &["here", ""]);
            let (pods, all) = (&settings.pod_cidrs, settings.masquerade_all);
            let flow = format!("{client} to {exposure}, {service}, {pods:?}, {all}");
            assert_eq!(world.told(exposure, client), expected, "{flow}");
            if exposure == LoadBalancer {
                assert_eq!(world.told(ExternalIp, client), expected, "external, {flow}");
            }
        }
    }
}

/// What kube-proxy's rules without endpoints say (TestNoEndpointsReject, TestInternalTrafficPolicy,
/// TestExternalTrafficPolicyLocal, TestTerminatingEndpointsTrafficPolicyLocal and …Cluster): what is
/// written, endpoints, what becomes of clients of the virtual address, of pods and the node by the
/// other addresses, and of strangers there.
#[rustfmt::skip]
const RULES: [(&str, &[&str], &str, &str, &str); 28] = [
    (PLAIN,    &[],                     "reject", "reject", "reject"),
    (EXTERNAL, &[],                     "reject", "reject", "reject"),
    (INTERNAL, &[],                     "reject", "reject", "reject"),
    (BOTH,     &[],                     "reject", "reject", "reject"),
    (PLAIN,    &["here"],               "all",    "all",    "all"),
    (EXTERNAL, &["here"],               "all",    "all",    "here"),
    (INTERNAL, &["here"],               "here",   "all",    "all"),
    (BOTH,     &["here"],               "here",   "all",    "here"),
    (PLAIN,    &[""],                   "all",    "all",    "all"),
    (EXTERNAL, &[""],                   "all",    "all",    "drop"),
    (INTERNAL, &[""],                   "drop",   "all",    "all"),
    (BOTH,     &[""],                   "drop",   "all",    "drop"),
    (PLAIN,    &["unready here"],       "reject", "reject", "reject"),
    (EXTERNAL, &["unready here", ""],   "all",    "all",    "drop"),
    (INTERNAL, &["unready here", ""],   "drop",   "all",    "all"),
    (BOTH,     &["unready here", "unready"], "reject", "reject", "reject"),
    (PLAIN,    &["leaving here"],       "all",    "all",    "all"),
    (EXTERNAL, &["leaving here"],       "all",    "all",    "here"),
    (INTERNAL, &["leaving here"],       "here",   "all",    "all"),
    (BOTH,     &["leaving here"],       "here",   "all",    "here"),
    (PLAIN,    &["leaving"],            "all",    "all",    "all"),
    (EXTERNAL, &["leaving"],            "all",    "all",    "drop"),
    (INTERNAL, &["leaving"],            "drop",   "all",    "all"),
    (BOTH,     &["leaving"],            "drop",   "all",    "drop"),
    (PLAIN,    &["leaving here", ""],   "all",    "all",    "all"),
    (EXTERNAL, &["leaving here", ""],   "all",    "all",    "here"),
    (INTERNAL, &["leaving here", ""],   "here",   "all",    "all"),
    (BOTH,     &["leaving here", ""],   "here",   "all",    "here"),
];

#[test]
fn whom_no_endpoint_is_left_for_is_dropped_and_where_there_is_none_at_all_rejected() {
    for (service, endpoints, cluster_ip, near, far) in RULES {
        let world = World::new(&policies(service), endpoints);
        let check = |exposure, client, expected: &str| {
            let expected = match expected {
                "reject" => "reject no_ready_endpoint",
                "drop" => "drop no_local_endpoint",
                forward => forward,
            };
            let told = world.told(exposure, client);
            let told = told.trim_end_matches(" snat");
            assert_eq!(told, expected, "{client} to {exposure}, {service}, {endpoints:?}");
        };
        for client in [POD, NODE, OUTSIDE] {
            check(ClusterIp, client, cluster_ip);
        }
        for exposure in [NodePort, LoadBalancer, ExternalIp] {
            check(exposure, POD, near);
            check(exposure, NODE, near);
            check(exposure, OUTSIDE, far);
        }
    }
}

/// TestLoadBalancer: two addresses, ranges that hold the node and strangers of 203.0.113.0/25.
#[test]
fn source_ranges_are_for_the_load_balancers_addresses_only() {
    let ranges = json!({"loadBalancerSourceRanges": ["192.168.0.0/24", " 203.0.113.0/25"]});
    let world = World::new(&ranges, &[""]);
    const BLOCKED: &str = "203.0.113.130";
    for (client, exposure, at, is_let_in) in [
        (POD, ClusterIp, "127.96.0.20", true),
        (OUTSIDE, NodePort, NODE, true),
        (BLOCKED, NodePort, NODE, true),
        (OUTSIDE, LoadBalancer, "1.2.3.4", true),
        (OUTSIDE, LoadBalancer, "5.6.7.8", true),
        (BLOCKED, LoadBalancer, "1.2.3.4", false),
        (BLOCKED, LoadBalancer, "5.6.7.8", false),
        (POD, LoadBalancer, "1.2.3.4", false),
        (POD, LoadBalancer, "5.6.7.8", false),
        (NODE, LoadBalancer, "1.2.3.4", true),
        (NODE, LoadBalancer, "5.6.7.8", true),
        // looped: the node by the address that it has of the load balancer
        ("1.2.3.4", LoadBalancer, "1.2.3.4", true),
        ("5.6.7.8", LoadBalancer, "5.6.7.8", true),
        // of the other address it is nothing
        ("1.2.3.4", LoadBalancer, "5.6.7.8", false),
        (BLOCKED, ExternalIp, "127.9.9.9", true),
    ] {
        let frontends = world.0.listeners.iter().filter_map(|(key, spec)| match &spec.serve {
            Serve::Frontend(it) if it.exposure == exposure => Some((key, it)),
            Serve::Frontend(_) | Serve::Http(_) | Serve::Tls(_) | Serve::Health(_) => None,
        });
        let mut at_address =
            frontends.filter(|(key, _)| exposure == NodePort || key.addr.ip() == ip(at));
        let (_, frontend) = at_address.next().expect("a frontend");
        let backend = frontend.shares[0].backend().expect("a backend");
        let verdict = frontend.verdict(ip(client), ip(at), backend);
        let is_dropped = verdict == Verdict::Drop(Reason::SourceNotAllowed);
        assert_eq!(!is_dropped, is_let_in, "{client} to {exposure} {at}: {verdict:?}");
    }
}

#[test]
fn ranges_are_read_by_family_and_a_list_without_any_lets_nobody_in() {
    for (ranges, client, expected) in [
        (json!([]), OUTSIDE, true),
        (json!(["203.0.113.0/25", "198.51.100.0/24"]), "198.51.100.1", true),
        (json!(["198.51.100.0/24"]), OUTSIDE, false),
        (json!(["198.51.100.0/24"]), NODE, false),
        (json!(["198.51.100.0/24"]), "1.2.3.4", false),
        (json!(["0.0.0.0/0", "198.51.100.0/24"]), OUTSIDE, true),
        // ranges of the other family say nothing about this one
        (json!(["2001:db8::/32"]), OUTSIDE, true),
        (json!(["2001:db8::/32", "198.51.100.0/24"]), OUTSIDE, false),
        (json!(["203.0.113/24"]), OUTSIDE, false),
    ] {
        let world = World::new(&json!({"loadBalancerSourceRanges": ranges}), &[""]);
        let verdict = world.verdict(LoadBalancer, client);
        let is_dropped = verdict == Verdict::Drop(Reason::SourceNotAllowed);
        assert_eq!(!is_dropped, expected, "{ranges} {client}");
        // a Service without endpoints drops them too, before it rejects anybody
        let world = World::new(&json!({"loadBalancerSourceRanges": ranges}), &[]);
        let is_rejected = matches!(world.verdict(LoadBalancer, client), Verdict::Reject(_));
        assert_eq!(is_rejected, expected, "{ranges} {client}");
    }
}

/// `fib saddr type local` of kube-proxy.
#[test]
fn the_node_is_known_by_each_of_its_addresses() {
    let settings = Settings { host_ips: vec![ip("192.168.7.2"), ip("fd00::2")], ..settings() };
    let [service, slice] = objects_of(&policies(EXTERNAL), &["here", ""]);
    let node = json!({"kind": "Node", "metadata": {"name": "localhost"},
        "status": {"addresses": [{"type": "Hostname", "address": "localhost"},
                                 {"type": "ExternalIP", "address": "198.51.100.2"}]}});
    let objects = objects([service, slice, node]);
    let world = World(compile(&objects, &settings, &Allocations::default(), now()).snapshot);
    for client in [NODE, "192.168.7.2", "198.51.100.2", "127.0.0.1", "1.2.3.4"] {
        assert_eq!(world.told(LoadBalancer, client), "all snat", "{client}");
    }
    for client in [OUTSIDE, "192.168.7.3", "127.0.0.2"] {
        assert_eq!(world.told(LoadBalancer, client), "here", "{client}");
    }
    assert_eq!(world.0.network.place(ip("fd00::2"), ip("fd00::9")), Place::Node);
}

#[test]
fn a_socket_on_every_address_takes_nothing_of_virtual_ones() {
    let settings = Settings {
        node_ips: vec![ip(NODE), ip("127.96.0.99")],
        host_ips: vec![ip("127.96.0.20")],
        ..settings()
    };
    let mut other = web(json!({"clusterIP": "10.96.0.7"}));
    other["metadata"]["name"] = json!("other");
    let objects = objects([web(json!({})), other]);
    let snapshot = compile(&objects, &settings, &Allocations::default(), now()).snapshot;
    let socket =
        |addr: &str, transport| SocketKey { addr: addr.parse().expect("an address"), transport };
    for (at, expected) in [
        ("127.96.0.20", true),
        ("127.96.0.21", true),
        ("10.96.0.7", true),
        ("10.96.0.8", false),
        ("127.96.0.99", false),
        ("127.0.0.1", false),
        (NODE, false),
        ("1.2.3.4", false),
    ] {
        for transport in [Transport::Tcp, Transport::Udp] {
            let everywhere = socket("0.0.0.0:443", transport);
            assert_eq!(snapshot.is_astray(everywhere, ip(at)), expected, "{at}");
            assert!(!snapshot.is_astray(socket("127.96.0.20:443", transport), ip(at)));
        }
    }
}
