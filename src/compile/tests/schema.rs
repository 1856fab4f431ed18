//! What a cluster refuses: warnings at the field, and what can be served is served.

use serde_json::{Value, json};

use super::{Code, compiled, service};
use crate::compile::status::Status;
use crate::snapshot::matching::Asked;

fn spec_of(kind: &str, spec: &Value) -> Value {
    json!({"kind": kind, "metadata": {"name": "it"}, "spec": spec})
}

/// Warnings about values, by field.
fn warned(kind: &str, spec: &Value) -> Vec<String> {
    let listeners = json!([{"name": "http", "port": 80, "protocol": "HTTP"},
        {"name": "tls", "port": 443, "protocol": "TLS", "tls": {"mode": "Passthrough"}},
        {"name": "tcp", "port": 1000, "protocol": "TCP"}]);
    let edge = json!({"gatewayClassName": "rutter", "listeners": listeners});
    let edge = json!({"kind": "Gateway", "metadata": {"name": "edge"}, "spec": edge});
    let ports = json!({"ports": [{"name": "http", "port": 80}, {"name": "x", "port": 81}]});
    let compiled = compiled([service("web", ports), edge, spec_of(kind, spec)]);
    let findings = compiled.report.findings.iter();
    findings.filter(|it| it.code == Code::BadValue).map(|it| it.field.clone()).collect()
}

/// An HTTPRoute of a rule with these members.
fn rule(members: Value) -> Value {
    let mut rule = json!({"backendRefs": [{"name": "web", "port": 80}]});
    for (name, value) in members.as_object().expect("members") {
        rule[name] = value.clone();
    }
    json!({"parentRefs": [{"name": "edge"}], "rules": [rule]})
}

fn filter(members: Value) -> Value {
    rule(json!({"filters": [members]}))
}

fn listener(members: Value) -> Value {
    let mut listener = json!({"name": "x", "port": 8080, "protocol": "HTTP"});
    for (name, value) in members.as_object().expect("members") {
        listener[name] = value.clone();
    }
    json!({"gatewayClassName": "rutter", "listeners": [listener]})
}

fn check(kind: &str, rows: &[(Value, &str)]) {
    for (spec, field) in rows {
        assert_eq!(warned(kind, spec), [*field], "{kind} {spec}");
    }
}

#[test]
fn parents_rules_and_matches_that_a_cluster_refuses_are_told_at_their_field() {
    let backends = json!([{"name": "web", "port": 80}]);
    let parents = |refs: Value| json!({"parentRefs": refs, "rules": [{"backendRefs": backends}]});
    let hosts: Vec<_> = (0..17).map(|it| format!("h{it}.test")).collect();
    let named = |name: &str, path: &str| json!({"name": name, "matches": [{"path": {"value": path}}], "backendRefs": backends});
    let rules = |rules: Value| json!({"parentRefs": [{"name": "edge"}], "rules": rules});
    let rows = [
        (parents(json!([{"name": "edge"}, {"name": "edge"}])), "spec.parentRefs[1]"),
        (
            parents(json!([{"name": "edge", "sectionName": "http"}, {"name": "edge"}])),
            "spec.parentRefs[1]",
        ),
        (
            json!({"parentRefs": [{"name": "edge"}], "hostnames": hosts,
                "rules": [{"backendRefs": backends}]}),
            "spec.hostnames",
        ),
        (
            json!({"parentRefs": [{"name": "edge"}], "useDefaultGateways": "All",
                "rules": [{"backendRefs": backends}]}),
            "spec.useDefaultGateways",
        ),
        (rules(json!([named("a", "/a"), named("a", "/b")])), "spec.rules[1].name"),
        (rules(json!([named("A_b", "/a")])), "spec.rules[0].name"),
        (
            rule(json!({"matches": [{"path": {"value": "/a b"}}]})),
            "spec.rules[0].matches[0].path.value",
        ),
        (
            rule(json!({"matches": [{"path": {"value": "/a?b"}}]})),
            "spec.rules[0].matches[0].path.value",
        ),
        (
            rule(json!({"matches": [{"path": {"value": "/%zz"}}]})),
            "spec.rules[0].matches[0].path.value",
        ),
        (
            rule(json!({"matches": [{"headers": [{"name": "a", "value": ""}]}]})),
            "spec.rules[0].matches[0].headers[0]",
        ),
        (
            rule(json!({"matches": [{"queryParams": [{"name": "a", "value": "1"},
                {"name": "a", "value": "2"}]}]})),
            "spec.rules[0].matches[0].queryParams[1].name",
        ),
        (
            rule(json!({"backendRefs": [{"name": "web", "port": 80, "weight": 1_000_001}]})),
            "spec.rules[0].backendRefs[0].weight",
        ),
        (rule(json!({"retry": {"attempts": 0}})), "spec.rules[0].retry.attempts"),
    ];
    check("HTTPRoute", &rows);
}

#[test]
fn methods_hosts_and_backends_that_a_cluster_refuses_are_told_at_their_field() {
    let backends = json!([{"name": "web", "port": 80}]);
    let rules = |rules: Value| json!({"parentRefs": [{"name": "edge"}], "rules": rules});
    let method = |method: Value| {
        json!({"parentRefs": [{"name": "edge"}],
            "rules": [{"matches": [{"method": method}], "backendRefs": backends}]})
    };
    let rows = [
        (method(json!({"service": "a/b"})), "spec.rules[0].matches[0].method.service"),
        (method(json!({"method": "a-b"})), "spec.rules[0].matches[0].method.method"),
    ];
    check("GRPCRoute", &rows);
    check("TLSRoute", &[(rules(json!([{"backendRefs": backends}])), "spec.hostnames")]);
    check("TCPRoute", &[(rules(json!([{"backendRefs": []}])), "spec.rules[0].backendRefs")]);
}

#[test]
fn filters_that_a_cluster_refuses_are_told_at_their_field() {
    let header = json!({"name": "a", "value": "b"});
    let at = |rest: &str| format!("spec.rules[0].filters[0]{rest}");
    let redirect = json!({"type": "RequestRedirect", "requestRedirect": {"hostname": "a.test"}});
    let prefix = json!({"type": "ReplacePrefixMatch", "replacePrefixMatch": "/c"});
    let rows = [
        (filter(redirect), at("")),
        (
            filter(json!({"type": "RequestHeaderModifier", "urlRewrite": {"hostname": "a.test"},
                "requestHeaderModifier": {"set": [header]}})),
            at(".urlRewrite"),
        ),
        (
            filter(json!({"type": "RequestHeaderModifier",
                "requestHeaderModifier": {"set": [header, {"name": "A", "value": "c"}]}})),
            at(".requestHeaderModifier.set[1].name"),
        ),
        (
            filter(json!({"type": "ResponseHeaderModifier",
                "responseHeaderModifier": {"add": [{"name": "a", "value": ""}]}})),
            at(".responseHeaderModifier.add[0]"),
        ),
        (
            filter(json!({"type": "CORS", "cors": {"allowMethods": ["GET", "FETCH"]}})),
            at(".cors.allowMethods[1]"),
        ),
        (
            filter(json!({"type": "CORS", "cors": {"exposeHeaders": ["a b"]}})),
            at(".cors.exposeHeaders[0]"),
        ),
        (
            filter(json!({"type": "ExternalAuth", "externalAuth": {"protocol": "HTTP",
                "backendRef": {"name": "web", "port": 80}}})),
            at(".externalAuth.http"),
        ),
        (
            rule(json!({"matches": [{"path": {"value": "/a"}}, {"path": {"value": "/b"}}],
                "filters": [{"type": "URLRewrite", "urlRewrite": {"path": prefix}}]})),
            "spec.rules[0].matches".to_owned(),
        ),
    ];
    for (spec, field) in rows {
        check("HTTPRoute", &[(spec, &field)]);
    }
    for name in ["Host", "content-length", "Connection"] {
        let change = json!({"set": [{"name": name, "value": "1"}]});
        let modifier = json!({"type": "RequestHeaderModifier", "requestHeaderModifier": change});
        check("HTTPRoute", &[(filter(modifier), &at(".requestHeaderModifier.set[0].name"))]);
    }
}

#[test]
fn sessions_that_cannot_be_kept_are_told_and_their_names_are_tokens() {
    let session = |it: Value| rule(json!({"sessionPersistence": it}));
    let field = |part: &str| format!("spec.rules[0].sessionPersistence.{part}");
    let long = "n".repeat(129);
    let rows = [
        (json!({"sessionName": ""}), "sessionName"),
        (json!({"sessionName": "a b"}), "sessionName"),
        (json!({"sessionName": "a;b"}), "sessionName"),
        (json!({"sessionName": "Host", "type": "Header"}), "sessionName"),
        (json!({"sessionName": "transfer-encoding", "type": "Header"}), "sessionName"),
        (json!({"sessionName": long}), "sessionName"),
        (json!({"type": "Header", "cookieConfig": {"lifetimeType": "Session"}}), "cookieConfig"),
    ];
    for (written, part) in rows {
        check("HTTPRoute", &[(session(written), &field(part))]);
    }
    for good in [json!({"sessionName": "Host"}), json!({"type": "Header"}), json!({})] {
        assert_eq!(warned("HTTPRoute", &session(good.clone())), [""; 0], "{good}");
    }
}

#[test]
fn gateways_and_classes_that_a_cluster_refuses_are_told_at_their_field() {
    let gateway = |name: &str, value: Value| {
        let mut spec = listener(json!({}));
        spec[name] = value;
        spec
    };
    let from = |from: Value| listener(json!({"allowedRoutes": {"namespaces": from}}));
    let validation =
        |it: Value| gateway("tls", json!({"frontend": {"default": {"validation": it}}}));
    let rows = [
        (listener(json!({"name": "A_b"})), "spec.listeners[0].name"),
        (from(json!({"from": "Foo"})), "spec.listeners[0].allowedRoutes.namespaces.from"),
        (from(json!({"from": "Selector"})), "spec.listeners[0].allowedRoutes.namespaces.from"),
        (
            gateway("allowedListeners", json!({"namespaces": {"from": "Foo"}})),
            "spec.allowedListeners.namespaces.from",
        ),
        (gateway("defaultScope", json!("All")), "spec.defaultScope"),
        (
            gateway("addresses", json!([{"value": "127.0.0.1"}, {"value": "127.0.0.1"}])),
            "spec.addresses[1]",
        ),
        (
            gateway("infrastructure", json!({"labels": {"a b": "c"}})),
            "spec.infrastructure.labels.a b",
        ),
        (
            gateway("infrastructure", json!({"labels": {"a": "c d"}})),
            "spec.infrastructure.labels.a",
        ),
        (
            validation(json!({"caCertificateRefs": []})),
            "spec.tls.frontend.default.validation.caCertificateRefs",
        ),
        (
            validation(
                json!({"mode": "Foo", "caCertificateRefs": [{"kind": "ConfigMap", "name": "x"}]}),
            ),
            "spec.tls.frontend.default.validation.mode",
        ),
        (
            gateway("tls", json!({"frontend": {"perPort": [{"port": 1, "tls": {}}]}})),
            "spec.tls.frontend.perPort[0].port",
        ),
    ];
    check("Gateway", &rows);
    check("GatewayClass", &[(json!({"controllerName": "foo"}), "spec.controllerName")]);
}

#[test]
fn grants_and_policies_that_a_cluster_refuses_are_told_at_their_field() {
    let grant = json!([{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute"}]);
    let to = json!([{"group": "", "kind": "Service"}]);
    let rows = [
        (json!({"from": [], "to": to}), "spec.from"),
        (json!({"from": grant, "to": to}), "spec.from[0]"),
    ];
    check("ReferenceGrant", &rows);
    let target = json!({"group": "", "kind": "Service", "name": "web"});
    let policy = |targets: Value, validation: Value| {
        let mut spec = json!({"targetRefs": targets, "validation": validation});
        spec["validation"]["wellKnownCACertificates"] = json!("System");
        spec
    };
    let name = |name: Value| json!({"hostname": "a.test", "subjectAltNames": [name]});
    let rows = [
        (policy(json!([]), json!({"hostname": "a.test"})), "spec.targetRefs"),
        (policy(json!([target]), json!({"hostname": "*.test"})), "spec.validation.hostname"),
        (
            policy(json!([target]), name(json!({"type": "URI", "uri": "a"}))),
            "spec.validation.subjectAltNames[0].uri",
        ),
        (
            policy(json!([target]), name(json!({"type": "URI", "uri": "a://b", "hostname": "c"}))),
            "spec.validation.subjectAltNames[0]",
        ),
    ];
    check("BackendTLSPolicy", &rows);
    let budget = |it: Value| json!({"targetRefs": [target], "retryConstraint": {"budget": it}});
    let foo = json!({"targetRefs": [{"group": "", "kind": "Foo", "name": "web"}]});
    let rows = [
        (budget(json!({"interval": "2h"})), "spec.retryConstraint.budget.interval"),
        (foo, "spec.targetRefs[0].kind"),
    ];
    check("XBackendTrafficPolicy", &rows);
}

/// The names of the sessions of every rule, in order.
fn session_names(route: &str, rules: Value) -> Vec<String> {
    let edge = listener(json!({"port": 80}));
    let edge = json!({"kind": "Gateway", "metadata": {"name": "edge"}, "spec": edge});
    let spec = json!({"parentRefs": [{"name": "edge"}], "rules": rules});
    let route = json!({"kind": "HTTPRoute", "metadata": {"name": route}, "spec": spec});
    let ports = json!({"ports": [{"name": "http", "port": 80}]});
    let compiled = compiled([service("web", ports), edge, route]);
    let listeners = compiled.snapshot.listeners.values();
    let tables = listeners.filter_map(|it| it.serve.http());
    let tables: Vec<_> = tables.flat_map(|it| it.hosts()).map(|it| it.routes.clone()).collect();
    let asked = |path: &'static str| Asked {
        host: "a.test",
        path,
        method: "GET",
        query: "",
        fields: std::iter::empty(),
    };
    let rules = ["/a", "/b"].into_iter().filter_map(|path| tables.first()?.select(&asked(path)));
    rules.filter_map(|rule| Some(rule.session.as_ref()?.name.to_string())).collect()
}

#[test]
fn sessions_without_a_name_have_one_of_their_own_that_stays() {
    let backends = json!([{"name": "web", "port": 80}]);
    let rule = |path: &str, session: Value| {
        json!({"matches": [{"path": {"value": path}}], "sessionPersistence": session,
            "backendRefs": backends})
    };
    let rules = json!([rule("/a", json!({})), rule("/b", json!({}))]);
    let names = session_names("one", rules.clone());
    let [a, b] = names.as_slice() else { panic!("{names:?}") };
    assert_ne!(a, b);
    assert!(a.starts_with("rutter-"), "{a}");
    assert_eq!(session_names("one", rules.clone()), names);
    assert!(session_names("two", rules).iter().all(|it| !names.contains(it)));
    let named =
        json!([rule("/a", json!({"sessionName": "s"})), rule("/b", json!({"sessionName": "s"}))]);
    assert_eq!(session_names("one", named), ["s", "s"]);
}

#[test]
fn listeners_of_a_gateway_without_an_address_are_not_programmed() {
    let gateway = |addresses: Value| {
        let mut spec = listener(json!({}));
        spec["addresses"] = addresses;
        json!({"kind": "Gateway", "metadata": {"name": "edge"}, "spec": spec})
    };
    let rows = [
        (json!([{"value": "127.0.0.1"}]), true, "Programmed"),
        (json!([{"value": "no address"}]), false, "Pending"),
    ];
    for (addresses, holds, reason) in rows {
        let compiled = compiled([gateway(addresses)]);
        let statuses: Vec<_> = compiled.report.statuses.values().collect();
        let [Status::Gateway { listeners, .. }] = statuses.as_slice() else {
            panic!("one Gateway")
        };
        let conditions = listeners.iter().flat_map(|it| &it.conditions);
        let programmed: Vec<_> = conditions.filter(|it| it.kind == "Programmed").collect();
        assert_eq!(programmed.len(), 1);
        assert_eq!((programmed[0].holds, programmed[0].reason), (holds, reason));
    }
}
