//! Services, their addresses and names.

use serde_json::{Value, json};

use super::endpoints::slice;
use super::*;
use crate::compile::{AddressRange, PoolRange};
use crate::snapshot::{AppProtocol, ContentCodings, ZoneEndpoint, ZoneService};

fn pool_range(first: [u8; 4], last: [u8; 4]) -> PoolRange {
    let range = AddressRange { first: first.into(), last: last.into() };
    PoolRange { pool: Arc::default(), range }
}

pub(super) fn web(extra: Value) -> Value {
    let mut spec = json!({"clusterIP": "127.96.0.20", "selector": {"app": "web"},
        "ports": [{"port": 80, "targetPort": 8080}]});
    spec.as_object_mut().expect("a map").extend(extra.as_object().expect("a map").clone());
    service("web", spec)
}

#[test]
fn listeners_rank_by_the_age_of_their_service() {
    let aged = |name: &str, year: u16| {
        let mut service = service(name, json!({"ports": [{"port": 80}]}));
        service["metadata"]["creationTimestamp"] = json!(format!("{year}-01-01T00:00:00Z"));
        service
    };
    let ingress = ingress("web", json!({"defaultBackend": backend("young")}));
    let compiled =
        compiled([aged("young", 2024), aged("old", 2020), aged("middle", 2022), ingress]);
    let listeners = compiled.snapshot.listeners.values();
    let mut ranked: Vec<_> = listeners
        .map(|it| {
            let mut owners = it.serve.frontends().map(|it| it.owner.key.name.to_string());
            (it.rank, owners.next().unwrap_or_else(|| "http".to_owned()))
        })
        .collect();
    ranked.sort();
    ranked.dedup();
    let expected = ["http", "old", "middle", "young"].map(str::to_owned);
    assert_eq!(ranked.into_iter().map(|(_, name)| name).collect::<Vec<_>>(), expected);
}

#[test]
fn each_family_leads_to_its_own_endpoints() {
    let mut dual = pod("web-0", "10.0.0.1");
    dual["status"]["podIPs"] = json!([{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]);
    let compiled = compiled([
        web(
            json!({"clusterIPs": ["127.96.0.20", "fd00:96::20"], "ipFamilyPolicy": "PreferDualStack"}),
        ),
        dual,
    ]);
    assert_eq!(
        frontends(&compiled),
        [
            "tcp://127.96.0.20:80 default/web cluster-ip → 10.0.0.1:8080",
            "tcp://[fd00:96::20]:80 default/web cluster-ip → [fd00::1]:8080",
        ]
    );
}

#[test]
fn two_services_cannot_have_one_socket() {
    let node = |name: &str| {
        service(name, json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 30080}]}))
    };
    let mut older = node("z");
    older["metadata"]["creationTimestamp"] = json!("2020-01-01T00:00:00Z");
    let compiled = compiled([node("a"), older]);
    assert_eq!(codes(&compiled), [(Code::AddressClash, "spec.ports[0].nodePort")]);
    let finding = compiled.report.findings.first().expect("a finding");
    assert_eq!(finding.object.as_ref().expect("an object").to_string(), "Service default/a");
    assert!(finding.message.ends_with("is taken by Service default/z (in.yaml:2)"));
    let listeners = frontends(&compiled);
    assert!(listeners.iter().any(|it| it.starts_with("tcp://0.0.0.0:30080 default/z")));
}

#[test]
fn a_load_balancer_at_the_nodes_address_does_not_take_ingress_its_port() {
    let lb = |port: u16| service("lb", json!({"type": "LoadBalancer", "ports": [{"port": port}]}));
    let ingress = ingress("web", json!({"defaultBackend": backend("lb")}));
    let clash = compiled([lb(80), ingress]);
    assert_eq!(codes(&clash), [(Code::AddressClash, "spec.ports[0].port")]);
    assert!(!frontends(&clash).iter().any(|it| it.contains("load-balancer")));
    let beside = compiled([lb(80)]);
    assert!(frontends(&beside).iter().any(|it| it.starts_with("tcp://127.0.0.1:80 ")));
}

#[test]
fn a_load_balancer_listens_where_its_status_says_else_at_its_wish_else_from_the_pool() {
    let settings = Settings {
        lb_pool: vec![pool_range([127, 1, 0, 1], [127, 1, 0, 9])],
        ..Settings::default()
    };
    let rows = [
        (json!({}), json!({"ingress": [{"ip": "127.2.0.1"}]}), Some("127.2.0.1")),
        (json!({}), json!({"ingress": [{"ip": "127.2.0.1", "ipMode": "Proxy"}]}), None),
        (json!({}), json!({"ingress": [{"hostname": "lb.example.com"}]}), None),
        (json!({"loadBalancerIP": "127.1.0.3"}), json!({}), Some("127.1.0.3")),
        (json!({"loadBalancerClass": "example.com/other"}), json!({}), None),
        (json!({}), json!({}), Some("127.1.0.")),
        (json!({"loadBalancerIP": "10.9.9.9"}), json!({}), None),
    ];
    for (extra, status, expected) in rows {
        let mut lb = service("lb", json!({"type": "LoadBalancer", "ports": [{"port": 80}]}));
        let spec = lb["spec"].as_object_mut().expect("a map");
        spec.extend(extra.as_object().expect("a map").clone());
        lb["status"] = json!({"loadBalancer": status});
        let compiled = compile(&objects([lb]), &settings, &Allocations::default(), now());
        let listeners = frontends(&compiled);
        let found = listeners.iter().find(|it| it.contains("load-balancer"));
        match expected {
            Some(ip) => assert!(found.expect("one").starts_with(&format!("tcp://{ip}")), "{extra}"),
            None => assert_eq!(found, None, "{extra} {status}"),
        }
    }
}

#[test]
fn services_of_another_proxy_and_external_names_have_no_listener() {
    let mut other = web(json!({}));
    other["metadata"]["labels"] = json!({"service.kubernetes.io/service-proxy-name": "x"});
    let external = service(
        "out",
        json!({"type": "ExternalName", "externalName": "example.org", "clusterIP": "127.96.0.30",
               "ports": [{"port": 80}]}),
    );
    let compiled = compiled([other, external, pod("web-0", "10.0.0.1")]);
    assert!(compiled.snapshot.listeners.is_empty());
    assert!(compiled.snapshot.backends.is_empty());
}

#[test]
fn names_lead_to_addresses_endpoints_and_other_names() {
    let mut member = pod("db-0", "10.0.0.1");
    member["spec"]["hostname"] = json!("primary");
    member["spec"]["subdomain"] = json!("db");
    let mut unready = pod("db-2", "10.0.0.3");
    unready["status"]["conditions"] = json!([]);
    let compiled = compiled([
        web(json!({})),
        service(
            "db",
            json!({"clusterIP": "None", "selector": {"app": "db"},
                             "ports": [{"name": "sql", "port": 5432, "targetPort": "http"}]}),
        ),
        service("out", json!({"type": "ExternalName", "externalName": "Example.org."})),
        service("ip", json!({"type": "ExternalName", "externalName": "10.0.0.1"})),
        pod("web-0", "10.0.0.7"),
        member,
        pod("db-1", "10.0.0.2"),
        unready,
    ]);
    let zone = &compiled.snapshot.zone;
    let service = |name: &str| zone.service("default", name);
    assert_eq!(zone.services.keys().map(|it| &*it.name).collect::<Vec<_>>(), ["db", "out", "web"]);
    assert_eq!(service("out"), Some(&ZoneService::External { name: "example.org".into() }));
    let Some(ZoneService::Headless { endpoints }) = service("db") else { panic!("headless") };
    let names = |it: &ZoneEndpoint| (it.hostname.to_string(), it.ports.first().map(|it| it.port));
    let names: Vec<_> = endpoints.iter().map(names).collect();
    assert_eq!(names, [("primary".into(), Some(8080)), ("10-0-0-2".into(), Some(8080))]);
    let names = zone.reverse.keys().filter_map(|it| zone.names_of(it.address));
    let reverse: Vec<_> = names.flatten().collect();
    assert_eq!(
        reverse.iter().map(|it| &**it).collect::<Vec<_>>(),
        [
            "primary.db.default.svc.cluster.local",
            "10-0-0-2.db.default.svc.cluster.local",
            "web.default.svc.cluster.local",
        ]
    );
}

#[test]
fn endpoints_without_a_service_are_found() {
    let mut unlabelled = slice("b", json!([]));
    unlabelled["metadata"]["labels"] = json!({});
    let endpoints = json!({"kind": "Endpoints", "metadata": {"name": "wbe"}});
    let compiled = compiled([slice("a", json!([])), unlabelled, endpoints]);
    let expected =
        ["metadata.labels.kubernetes.io/service-name", "metadata.labels", "metadata.name"];
    assert_eq!(codes(&compiled), expected.map(|field| (Code::OrphanEndpoints, field)));
}

#[test]
fn clients_stay_at_every_address_of_a_service_that_asks_for_it() {
    let rows = [
        (json!({}), None),
        (json!({"sessionAffinity": "None"}), None),
        (json!({"sessionAffinity": "ClientIP"}), Some(10_800)),
        (timeout(json!(5)), Some(5)),
        (timeout(json!(86_400)), Some(86_400)),
        (timeout(json!(86_401)), Some(10_800)),
        (timeout(json!(null)), Some(10_800)),
    ];
    for (extra, expected) in rows {
        let mut balanced = web(json!({"type": "LoadBalancer", "externalIPs": ["127.9.9.9"]}));
        let spec = balanced["spec"].as_object_mut().expect("a map");
        spec.extend(extra.as_object().expect("a map").clone());
        let compiled = compiled([balanced, pod("web-0", "10.0.0.1")]);
        let frontends = compiled.snapshot.listeners.values();
        let affinity = frontends.flat_map(|it| it.serve.frontends()).map(|it| it.affinity());
        let affinity: Vec<_> = affinity.map(|it| it.map(|it| it.as_secs())).collect();
        assert_eq!(affinity, [expected; 4], "{extra}");
    }
}

fn timeout(seconds: Value) -> Value {
    json!({"sessionAffinity": "ClientIP",
           "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": seconds}}})
}

#[test]
fn a_requested_load_balancer_address_is_given_once() {
    let settings = Settings {
        lb_pool: vec![pool_range([127, 1, 0, 1], [127, 1, 0, 9])],
        ..Settings::default()
    };
    let lb = |name: &str, port: u16| {
        let spec = json!({"type": "LoadBalancer", "loadBalancerIP": "127.1.0.3", "ports": [{"port": port}]});
        service(name, spec)
    };
    let compiled =
        compile(&objects([lb("a", 80), lb("b", 81)]), &settings, &Allocations::default(), now());
    let listeners = frontends(&compiled);
    let at = listeners.iter().filter(|it| it.starts_with("tcp://127.1.0.3:"));
    assert_eq!(at.count(), 1, "{listeners:?}");
    assert_eq!(codes(&compiled), [(Code::AddressClash, "spec.loadBalancerIP")]);
}

#[test]
fn what_ports_speak_is_said_by_an_annotation_where_their_charts_do_not() {
    use AppProtocol::{H2c, Http, Https};
    for (written, expected, told) in [
        ("h2c", [H2c, H2c], vec![]),
        ("grpc", [H2c, H2c], vec![]),
        ("web=https", [Https, H2c], vec![]),
        ("web=h2c, 81=http", [H2c, Http], vec![]),
        ("web=http2, 81=http", [Http, Http], vec!["\"http2\" is none of http, h2c, grpc, https"]),
        ("api=h2c,81=https", [Http, Https], vec!["there is no port \"api\""]),
    ] {
        let ports = json!([
            {"name": "web", "port": 80},
            {"name": "rpc", "port": 81, "appProtocol": "kubernetes.io/h2c"},
        ]);
        let mut service = web(json!({"ports": ports}));
        service["metadata"]["annotations"] = json!({"rutter.dev/app-protocol": written});
        let compiled = compiled([service, pod("web-0", "10.0.0.1")]);
        let mut spoken: Vec<_> =
            compiled.snapshot.backends.values().map(|it| (it.port, it.app_protocol)).collect();
        spoken.sort_by_key(|(port, _)| *port);
        assert_eq!(spoken, [(80, expected[0]), (81, expected[1])], "{written}");
        let messages: Vec<_> = compiled.report.findings.iter().map(|it| &*it.message).collect();
        assert_eq!(messages, told, "{written}");
    }
}

#[test]
fn endpoints_are_told_of_clients_by_the_version_that_the_service_names() {
    for (written, expected) in [
        ("v1", Some(crate::snapshot::ProxyProtocol::V1)),
        ("v2", Some(crate::snapshot::ProxyProtocol::V2)),
        ("V2", None),
        ("", None),
    ] {
        let mut service = web(json!({}));
        service["metadata"]["annotations"] = json!({"rutter.dev/proxy-protocol": written});
        let compiled = compiled([service, pod("web-0", "10.0.0.1")]);
        let mut backends = compiled.snapshot.backends.values();
        assert!(backends.all(|backend| backend.proxy_protocol == expected), "{written}");
        let told: Vec<_> =
            compiled.report.findings.iter().map(|it| (&*it.field, &*it.message)).collect();
        let message = format!("{written:?} is none of v1, v2");
        let field = "metadata.annotations.rutter.dev/proxy-protocol";
        match expected {
            Some(_) => assert_eq!(told, []),
            None => assert_eq!(told, [(field, &*message)]),
        }
    }
}

#[test]
fn responses_may_be_coded_as_the_service_says_or_else_the_option() {
    let gzip: ContentCodings = "gzip".parse().expect("codings");
    for (written, expected) in [
        (None, gzip),
        (Some("off"), ContentCodings::default()),
        (Some("on"), ContentCodings::ALL),
        (Some("br, gzip"), "br,gzip".parse().expect("codings")),
        (Some("lzma"), ContentCodings::default()),
    ] {
        let mut service = web(json!({}));
        service["metadata"]["annotations"] = json!({"rutter.dev/compress": written});
        if written.is_none() {
            service["metadata"]["annotations"] = json!({});
        }
        let settings = Settings { compress: gzip, ..Settings::default() };
        let objects = objects([service, pod("web-0", "10.0.0.1")]);
        let compiled = compile(&objects, &settings, &Allocations::default(), now());
        let mut backends = compiled.snapshot.backends.values();
        assert!(backends.all(|backend| backend.compress == expected), "{written:?}");
        let told: Vec<_> = compiled.report.findings.iter().map(|it| &*it.field).collect();
        let bad = ["metadata.annotations.rutter.dev/compress"];
        assert_eq!(told, if written == Some("lzma") { &bad[..] } else { &[] });
    }
}
