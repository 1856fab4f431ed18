//! Ingresses, their classes and rules.

use serde_json::{Value, json};

use super::*;
use crate::snapshot::matching::Asked;
use crate::snapshot::{Action, Failure, Reason};

/// What answers a request: the Service, or why nothing does.
fn answer(compiled: &Compiled, host: &str, path: &str) -> String {
    let routes = routes(compiled);
    let asked = Asked { host, path, method: "GET", query: "", fields: std::iter::empty() };
    let Some(rule) = routes.select(&asked) else { return "no_route".to_owned() };
    match &rule.action {
        Action::Forward(backends) => {
            let only = backends.first().expect("a backend");
            only.target.as_ref().expect("it must be served").backend.id.service.name.to_string()
        }
        Action::Redirect(_) => "redirect".to_owned(),
        Action::Fail(failure) => failure.reason.to_string(),
    }
}

fn services(names: &[&str]) -> Vec<Value> {
    names.iter().map(|name| service(name, json!({"ports": [{"port": 80}]}))).collect()
}

fn path(kind: &str, path: &str, service: &str) -> Value {
    json!({"path": path, "pathType": kind, "backend": backend(service)})
}

fn rule(host: &str, paths: &[Value]) -> Value {
    json!({"host": host, "http": {"paths": paths}})
}

#[test]
fn the_older_ingress_has_a_host_and_path_and_the_younger_is_told() {
    let paths = |service: &str| json!({"rules": [rule("a.test", &[path("Prefix", "/", service)])]});
    let mut older = ingress("z", paths("old"));
    older["metadata"]["creationTimestamp"] = json!("2020-01-01T00:00:00Z");
    let mut values = services(&["old", "new"]);
    values.extend([ingress("a", paths("new")), older]);
    let compiled = compiled(values);
    assert_eq!(answer(&compiled, "a.test", "/x"), "old");
    assert_eq!(codes(&compiled), [(Code::RouteConflict, "spec.rules[0].http.paths[0]")]);
    let message = &compiled.report.findings.first().expect("a finding").message;
    assert!(message.contains("Ingress default/z (in.yaml:4)"), "{message}");
}

#[test]
fn an_invalid_host_or_path_costs_that_rule_or_path_only() {
    let mut values = services(&["web"]);
    values.push(ingress(
        "web",
        json!({"rules": [
            rule("10.0.0.1", &[path("Prefix", "/", "web")]),
            rule("a.test", &[
                path("Prefx", "/a", "web"),
                path("Prefix", "b", "web"),
                path("Exact", "/c//d", "web"),
                json!({"path": "/e", "backend": backend("web")}),
                path("Prefix", "/good", "web"),
                path("Prefix", "/pattern/*", "web"),
            ]),
            {"host": "b.test", "http": {"paths": []}},
        ]}),
    ));
    let compiled = compiled(values);
    assert_eq!(answer(&compiled, "a.test", "/good/x"), "web");
    assert_eq!(answer(&compiled, "10.0.0.1", "/"), "no_route");
    let mut found = codes(&compiled);
    found.sort();
    assert_eq!(
        found,
        [
            (Code::BadValue, "spec.rules[0].host"),
            (Code::BadValue, "spec.rules[1].http.paths[0].pathType"),
            (Code::BadValue, "spec.rules[1].http.paths[1].path"),
            (Code::BadValue, "spec.rules[1].http.paths[2].path"),
            (Code::BadValue, "spec.rules[1].http.paths[3].pathType"),
            (Code::BadValue, "spec.rules[2].http.paths"),
            (Code::NeverMatches, "spec.rules[1].http.paths[5].path"),
        ]
    );
}

#[test]
fn a_rule_whose_backend_is_missing_owns_its_requests() {
    check_backends([
        (at("web", json!({"number": 80})), "web", None, None),
        (at("web", json!({"name": "http"})), "web", None, None),
        (
            at("wbe", json!({"number": 80})),
            "no_service",
            Some((Code::MissingService, ".service.name")),
            Some("did you mean web?"),
        ),
        (
            at("web", json!({"number": 8080})),
            "no_service",
            Some((Code::MissingPort, ".service.port.number")),
            Some("that is the target port; the Service port is 80"),
        ),
        (
            at("web", json!({"name": "htpp"})),
            "no_service",
            Some((Code::MissingPort, ".service.port.name")),
            Some("did you mean http?"),
        ),
        (
            at("web", json!({"number": 53})),
            "no_service",
            Some((Code::MissingPort, ".service.port.number")),
            Some("its TCP ports: 80 (http)"),
        ),
    ]);
}

#[test]
fn a_rule_whose_backend_is_not_one_service_port_owns_its_requests() {
    check_backends([
        (at("web", json!({})), "no_service", Some((Code::BadValue, ".service.port")), None),
        (
            at("web", json!({"name": "http", "number": 80})),
            "no_service",
            Some((Code::BadValue, ".service.port")),
            None,
        ),
        (json!({}), "no_service", Some((Code::BadValue, "")), None),
        (
            json!({"resource": {"apiGroup": "x", "kind": "Bucket", "name": "b"}}),
            "unsupported_backend",
            Some((Code::UnsupportedBackend, ".resource")),
            None,
        ),
        (
            at("out", json!({"number": 80})),
            "unsupported_backend",
            Some((Code::UnsupportedBackend, ".service.name")),
            Some("name a Service without selector and write its EndpointSlice"),
        ),
        (at("headless", json!({"number": 80})), "headless", None, None),
    ]);
}

fn at(service: &str, port: Value) -> Value {
    json!({"service": {"name": service, "port": port}})
}

/// A backend, what answers, and the finding (below the backend's field) with its help.
type Resolution = (Value, &'static str, Option<(Code, &'static str)>, Option<&'static str>);

#[track_caller]
fn check_backends<const N: usize>(rows: [Resolution; N]) {
    for (backend, expected, finding, help) in rows {
        let what = backend.to_string();
        let compiled = compiled([
            service(
                "web",
                json!({"ports": [
                    {"name": "http", "port": 80, "targetPort": 8080},
                    {"name": "dns", "port": 53, "protocol": "UDP"},
                ]}),
            ),
            service("headless", json!({"clusterIP": "None", "ports": [{"port": 80}]})),
            service(
                "out",
                json!({"type": "ExternalName", "externalName": "example.org",
                                  "ports": [{"port": 80}]}),
            ),
            ingress(
                "web",
                json!({"rules": [rule("a.test", &[
                    json!({"path": "/x", "pathType": "Prefix", "backend": backend}),
                    path("Prefix", "/", "web"),
                ])]}),
            ),
        ]);
        assert_eq!(answer(&compiled, "a.test", "/x"), expected, "{what}");
        assert_eq!(answer(&compiled, "a.test", "/"), "web", "{what}");
        let first = compiled.report.findings.first();
        let field = |below| format!("spec.rules[0].http.paths[0].backend{below}");
        let expected = finding.map(|(code, below)| (code, field(below)));
        assert_eq!(first.map(|it| (it.code, it.field.clone())), expected, "{what}");
        assert_eq!(first.and_then(|it| it.help.as_deref()), help, "{what}");
    }
}

#[test]
fn a_backend_that_only_a_rule_uses_is_in_the_snapshot() {
    let compiled = compiled([
        service("web", json!({"clusterIP": "None", "ports": [{"port": 80}]})),
        ingress("web", json!({"defaultBackend": backend("web")})),
    ]);
    let ids: Vec<_> = compiled.snapshot.backends.keys().map(ToString::to_string).collect();
    assert_eq!(ids, ["default/web:80/tcp"]);
}

#[test]
fn a_default_backend_takes_what_no_rule_takes_and_its_own_hosts_first() {
    let mut values = services(&["a", "b", "wild", "x"]);
    values.extend([
        ingress("1", json!({"defaultBackend": backend("a")})),
        ingress(
            "2",
            json!({"defaultBackend": backend("b"), "rules": [
                rule("b.test", &[path("Exact", "/x", "x")]),
                {"host": "only.test"},
                rule("sub.wild.test", &[path("Exact", "/x", "x")]),
            ]}),
        ),
        ingress("3", json!({"rules": [rule("*.wild.test", &[path("Prefix", "/", "wild")])]})),
    ]);
    let compiled = compiled(values);
    for (host, path, expected) in [
        ("b.test", "/x", "x"),
        ("b.test", "/y", "b"),
        ("only.test", "/", "b"),
        ("elsewhere.test", "/", "a"),
        ("sub.wild.test", "/x", "x"),
        ("sub.wild.test", "/y", "wild"),
    ] {
        assert_eq!(answer(&compiled, host, path), expected, "{host}{path}");
    }
    assert!(codes(&compiled).is_empty(), "{:?}", compiled.report.findings);
}

#[test]
fn a_default_backend_that_a_rule_shadows_is_found() {
    let mut values = services(&["web"]);
    values.push(ingress(
        "web",
        json!({"defaultBackend": backend("web"), "rules": [{"http": {"paths": [path("Prefix", "/", "web")]}}]}),
    ));
    assert_eq!(codes(&compiled(values)), [(Code::NeverMatches, "spec.defaultBackend")]);
}

#[test]
fn classes_decide_whose_an_ingress_is() {
    let class = |name: &str, controller: &str, default: bool| {
        json!({"kind": "IngressClass", "spec": {"controller": controller}, "metadata": {"name": name,
            "annotations": {"ingressclass.kubernetes.io/is-default-class": default.to_string()}}})
    };
    let ours = "rutter.dev/ingress-controller";
    let with = |field: Option<&str>, annotation: Option<&str>| {
        let mut spec = json!({"defaultBackend": backend("web")});
        spec["ingressClassName"] = json!(field);
        let mut ingress = ingress("web", spec);
        if let Some(name) = annotation {
            ingress["metadata"]["annotations"] = json!({"kubernetes.io/ingress.class": name});
        }
        ingress
    };
    let missing = |field| vec![(Code::MissingClass, field)];
    let rows = [
        ("no class at all", vec![], with(None, None), true, vec![]),
        ("ours by name", vec![], with(Some("rutter"), None), true, vec![]),
        ("ours by annotation", vec![], with(None, Some("rutter")), true, vec![]),
        ("missing", vec![], with(Some("ruter"), None), false, missing("spec.ingressClassName")),
        (
            "foreign annotation",
            vec![],
            with(None, Some("nginx")),
            false,
            missing("metadata.annotations.kubernetes.io/ingress.class"),
        ),
        ("ours by controller", vec![class("x", ours, false)], with(Some("x"), None), true, vec![]),
        ("foreign", vec![class("x", "x/y", false)], with(Some("x"), None), false, vec![]),
        ("foreign default", vec![class("x", "x/y", true)], with(None, None), false, vec![]),
        ("our default", vec![class("x", ours, true)], with(None, None), true, vec![]),
        (
            "of several defaults the first by name",
            vec![class("b", ours, true), class("a", "x/y", true)],
            with(None, None),
            false,
            vec![],
        ),
        (
            "the field goes before the annotation",
            vec![class("x", "x/y", false)],
            with(Some("x"), Some("rutter")),
            false,
            vec![(Code::BadValue, "spec.ingressClassName")],
        ),
    ];
    for (what, mut values, ingress, is_ours, findings) in rows {
        values.extend(services(&["web"]));
        values.push(ingress);
        let compiled = compiled(values);
        assert_eq!(codes(&compiled), findings, "{what}");
        let has_http =
            compiled.snapshot.listeners.values().any(|it| matches!(it.serve, Serve::Http(_)));
        assert_eq!(has_http, is_ours, "{what}");
    }
}

#[test]
fn every_failure_keeps_its_detail() {
    let compiled = compiled([ingress("web", json!({"defaultBackend": backend("web")}))]);
    let routes = routes(&compiled);
    let rule = routes.rules().first().expect("a rule");
    let Action::Fail(Failure { reason: Reason::NoService, detail }) = &rule.action else {
        panic!("{:?}", rule.action)
    };
    assert_eq!(&**detail, "Service \"web\" does not exist in namespace default");
}

/// How the backend of the only path is spoken to, and what the user is told of it.
fn spoken_to(policies: &[Value]) -> (String, Vec<Code>) {
    let port = json!({"ports": [{"name": "tls", "port": 443, "appProtocol": "https"}]});
    let to = json!({"service": {"name": "web", "port": {"number": 443}}});
    let path = json!({"path": "/", "pathType": "Prefix", "backend": to});
    let ingress = ingress("web", json!({"rules": [rule("a.test", &[path])]}));
    let mut values = vec![service("web", port), ingress];
    values.extend(policies.iter().cloned());
    let compiled = compiled(values);
    let told = codes(&compiled).into_iter().map(|(code, _)| code).collect();
    let routes = routes(&compiled);
    let how = match &routes.rules().first().expect("a rule").action {
        Action::Forward(shares) => {
            let target = shares.first().and_then(|it| it.target.as_ref().ok()).expect("a target");
            let name = target.tls.as_ref().map(|tls| tls.server_name.to_string());
            name.unwrap_or_else(|| "in the clear".into())
        }
        Action::Fail(failure) => failure.reason.to_string(),
        Action::Redirect(_) => panic!("a redirect"),
    };
    (how, told)
}

fn tls_policy(name: &str, port: Option<&str>, validation: Value) -> Value {
    let target = json!({"group": "", "kind": "Service", "name": "web", "sectionName": port});
    json!({"kind": "BackendTLSPolicy", "metadata": {"name": name},
           "spec": {"targetRefs": [target], "validation": validation}})
}

#[test]
fn an_ingress_speaks_https_as_a_policy_says_and_in_the_clear_without_one() {
    let system = |host: &str| json!({"hostname": host, "wellKnownCACertificates": "System"});
    let nowhere = json!({"hostname": "x.test",
        "caCertificateRefs": [{"group": "", "kind": "ConfigMap", "name": "none"}]});
    let all = tls_policy("all", None, system("all.test"));
    let port = tls_policy("port", Some("tls"), system("port.test"));
    for (policies, how, told) in [
        (vec![], "in the clear", vec![Code::UnsupportedBackend]),
        (vec![all.clone()], "all.test", vec![]),
        (vec![all, port], "port.test", vec![]),
        (vec![tls_policy("bad", None, nowhere)], "invalid_backend", vec![Code::MissingObject]),
    ] {
        assert_eq!(spoken_to(&policies), (how.to_owned(), told));
    }
}
