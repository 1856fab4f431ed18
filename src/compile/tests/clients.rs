//! Who asks for names, by address.

use super::*;

fn namespace(compiled: &Compiled, ip: &str) -> Option<(String, bool)> {
    let ip = ip.parse().expect("an address");
    let client = compiled.snapshot.zone.clients.get(ip)?;
    Some((client.namespace.to_string(), client.has_own_domains))
}

fn pod_in(namespace: &str, name: &str, spec: Value, status: Value) -> Value {
    let metadata = json!({"name": name, "namespace": namespace});
    json!({"kind": "Pod", "metadata": metadata, "spec": spec, "status": status})
}

#[test]
fn clients_are_known_by_the_addresses_of_their_pods() {
    let compiled = compiled([
        pod_in("a", "dual", json!({}), json!({"podIPs": [{"ip": "10.1.0.1"}, {"ip": "fd00::1"}]})),
        pod_in("a", "starting", json!({}), json!({"podIP": "10.1.0.2", "phase": "Pending"})),
        pod_in(
            "a",
            "own",
            json!({"dnsConfig": {"searches": ["x.y"]}}),
            json!({"podIP": "10.1.0.3"}),
        ),
        pod_in("a", "ndots", json!({"dnsConfig": {"options": []}}), json!({"podIP": "10.1.0.4"})),
        // its address is another's by now
        pod_in("a", "ended", json!({}), json!({"podIP": "10.1.0.5", "phase": "Succeeded"})),
        pod_in("b", "next", json!({}), json!({"podIP": "10.1.0.5"})),
        // many have the address of a node
        pod_in("a", "host", json!({"hostNetwork": true}), json!({"podIP": "10.0.0.1"})),
        json!({"kind": "Node", "metadata": {"name": "n"},
               "status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.2"}]}}),
        pod_in("a", "shy", json!({}), json!({"podIP": "10.0.0.2"})),
        // who of both asks?
        pod_in("a", "one", json!({}), json!({"podIP": "10.1.0.6"})),
        pod_in("b", "other", json!({}), json!({"podIP": "10.1.0.6"})),
    ]);
    let rows = [
        ("10.1.0.1", Some(("a", false))),
        ("fd00::1", Some(("a", false))),
        ("10.1.0.2", Some(("a", false))),
        ("10.1.0.3", Some(("a", true))),
        ("10.1.0.4", Some(("a", false))),
        ("10.1.0.5", Some(("b", false))),
        ("10.0.0.1", None),
        ("10.0.0.2", None),
        ("10.1.0.6", None),
        ("10.1.0.7", None),
    ];
    for (ip, expected) in rows {
        let expected = expected.map(|(namespace, own)| (namespace.to_owned(), own));
        assert_eq!(namespace(&compiled, ip), expected, "{ip}");
    }
}

#[test]
fn without_pods_endpoints_tell_whose_addresses_are_whose() {
    let pod = json!({"kind": "Pod", "name": "p"});
    let compiled = compiled([
        json!({"kind": "EndpointSlice", "metadata": {"name": "s", "namespace": "a"},
               "addressType": "IPv4",
               "endpoints": [
                   {"addresses": ["10.1.0.1"], "targetRef": pod, "conditions": {"ready": false}},
                   {"addresses": ["10.1.0.2"]},
                   {"addresses": ["10.1.0.3"], "targetRef": {"kind": "Pod", "namespace": "b"}},
                   {"addresses": ["10.1.0.4"], "targetRef": pod},
                   {"addresses": ["10.0.0.1"], "targetRef": pod}]}),
        json!({"kind": "Endpoints", "metadata": {"name": "e", "namespace": "c"},
               "subsets": [{"addresses": [{"ip": "10.1.0.5", "targetRef": pod}],
                            "notReadyAddresses": [{"ip": "10.1.0.6", "targetRef": pod}]}]}),
        // endpoints of a Pod in the host network name it too
        pod_in("a", "host", json!({"hostNetwork": true}), json!({"podIP": "10.0.0.1"})),
        // the address has been given to another Pod, which its slice does not say yet
        pod_in("b", "new", json!({}), json!({"podIP": "10.1.0.4"})),
    ]);
    let rows = [
        ("10.1.0.1", Some("a")),
        ("10.1.0.2", None),
        ("10.1.0.3", Some("b")),
        ("10.1.0.4", None),
        ("10.1.0.5", Some("c")),
        ("10.1.0.6", Some("c")),
        ("10.0.0.1", None),
    ];
    for (ip, expected) in rows {
        let known = namespace(&compiled, ip).map(|(namespace, _)| namespace);
        assert_eq!(known.as_deref(), expected, "{ip}");
    }
}
