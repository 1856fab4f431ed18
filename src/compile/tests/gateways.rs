//! Gateways: what must not happen, whatever else is written.

use super::certificates::pair;
use super::now;
use crate::compile::{Allocations, Compiled, Settings, compile};
use crate::manifest::{Code, yaml};
use crate::snapshot::{Action, ClientAuthMode, Rule, Serve};
use crate::source::Sourced;
use crate::store::Objects;

fn compiled(text: &str) -> Compiled {
    let mut objects = Objects::default();
    let decoded = yaml::decode("in.yaml", text);
    assert_eq!(decoded.findings, Vec::new(), "the manifests must be read");
    for (object, origin) in decoded.objects {
        objects.apply(&Sourced { object, origin, stale: false });
    }
    compile(&objects, &Settings::default(), &Allocations::default(), now())
}

/// What a route with these rules comes to, on the only listener of a Gateway.
fn rules(kind: &str, rules: &str) -> (Compiled, Vec<Rule>) {
    let compiled = compiled(&format!(
        "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: g}}
spec: {{gatewayClassName: rutter, listeners: [{{name: http, port: 80, protocol: HTTP}}]}}
---
apiVersion: v1
kind: Service
metadata: {{name: web}}
spec: {{clusterIP: None, ports: [{{port: 80}}]}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: {kind}
metadata: {{name: r}}
spec: {{parentRefs: [{{name: g}}], rules: {rules}}}
"
    ));
    let http = compiled.snapshot.listeners.values().find_map(|it| it.serve.http());
    let rules = http.expect("a listener").rules().map(|rule| (**rule).clone()).collect();
    (compiled, rules)
}

fn indented(pem: &str) -> String {
    pem.replace('\n', "\n    ")
}

fn secret(name: &str, host: &str) -> String {
    let pair = pair(&[host], (2020, 2030));
    let (certificate, key) = (indented(&pair.certificate), indented(&pair.key));
    format!(
        "
apiVersion: v1
kind: Secret
metadata: {{name: {name}}}
type: kubernetes.io/tls
stringData:
  tls.crt: |
    {certificate}
  tls.key: |
    {key}
---"
    )
}

/// A client that came in by the name of an Ingress may ask for hosts of the Gateway's listener.
#[test]
fn an_ingress_does_not_open_a_way_around_the_client_certificates_of_a_gateway() {
    for hostname in ["", "hostname: '*.a.test', "] {
        let authority = indented(&pair(&["ca"], (2020, 2030)).certificate);
        let compiled = compiled(&format!(
            "{}{}
apiVersion: v1
kind: ConfigMap
metadata: {{name: ca}}
data:
  ca.crt: |
    {authority}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: g}}
spec:
  gatewayClassName: rutter
  listeners:
  - {{{hostname}name: https, port: 443, protocol: HTTPS, tls: {{certificateRefs: [{{name: g}}]}}}}
  tls: {{frontend: {{default: {{validation: {{caCertificateRefs: [{{kind: ConfigMap, name: ca}}]}}}}}}}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {{name: i}}
spec:
  tls: [{{hosts: [x.a.test, '*.y.a.test', x.b.test], secretName: i}}]
  defaultBackend: {{service: {{name: web, port: {{number: 80}}}}}}
",
            secret("g", "g.a.test"),
            secret("i", "x.a.test")
        ));
        let serves = compiled.snapshot.listeners.iter();
        let secure = serves.filter(|(key, _)| key.addr.port() == 443);
        let mut seen = 0;
        for (_, spec) in secure {
            let Serve::Http(http) = &spec.serve else { panic!("HTTP must be served") };
            let table = http.tls.as_ref().expect("certificates");
            for name in ["x.a.test", "z.y.a.test", "g.a.test", "x.b.test"] {
                let is_of_listener = hostname.is_empty() || name.ends_with(".a.test");
                let entry = table.select(Some(name)).expect("a certificate");
                let mode = entry.client_auth.as_ref().map(|auth| auth.mode);
                let expected = is_of_listener.then_some(ClientAuthMode::AllowValidOnly);
                assert_eq!(mode, expected, "{hostname} {name}");
                seen += 1;
            }
        }
        assert!(seen > 0, "the socket must be shared");
    }
}

#[test]
fn a_filter_that_cannot_be_carried_out_fails_every_share_whatever_theirs_say() {
    let (_, rules) = rules(
        "HTTPRoute",
        "[{filters: [{type: ExternalAuth, externalAuth: {protocol: HTTP}}], backendRefs: [
           {name: web, port: 80},
           {name: web, port: 80, filters: [{type: RequestMirror, requestMirror: {}}]}]}]",
    );
    assert!(matches!(&rules[0].action, Action::Fail(_)), "{:?}", rules[0].action);
}

#[test]
fn every_match_of_a_rule_says_what_is_wrong_with_it_and_once() {
    let (compiled, _) = rules(
        "HTTPRoute",
        "[{matches: [{path: {type: Exact, value: relative}}, {path: {value: /a}},
           {path: {type: Exact, value: /b}}],
           filters: [{type: URLRewrite,
             urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /c}}}],
           backendRefs: [{name: none, port: 80}]}]",
    );
    let fields: Vec<_> = compiled.report.findings.iter().map(|it| it.field.as_str()).collect();
    let expected = [
        "spec.rules[0].backendRefs[0].name",
        "spec.rules[0].filters[0].urlRewrite",
        "spec.rules[0].matches",
        "spec.rules[0].matches[0].path.value",
    ];
    let mut fields = fields;
    fields.sort_unstable();
    assert_eq!(fields, expected);
}

#[test]
fn a_new_path_is_a_path() {
    let rows = [
        ("ReplaceFullPath, replaceFullPath: /a", true),
        ("ReplaceFullPath, replaceFullPath: '/a%20b/(c)'", true),
        ("ReplaceFullPath, replaceFullPath: ''", true),
        ("ReplaceFullPath, replaceFullPath: a", false),
        ("ReplaceFullPath, replaceFullPath: '/a b'", false),
        ("ReplaceFullPath, replaceFullPath: \"/a HTTP/1.1\\r\\nX-A: b\"", false),
        ("ReplaceFullPath, replaceFullPath: '/a?b'", false),
        ("ReplaceFullPath, replaceFullPath: '/a#b'", false),
        ("ReplaceFullPath, replaceFullPath: /ä", false),
        ("ReplacePrefixMatch, replacePrefixMatch: /a", true),
        ("ReplacePrefixMatch, replacePrefixMatch: /", true),
        ("ReplacePrefixMatch, replacePrefixMatch: ''", true),
        ("ReplacePrefixMatch, replacePrefixMatch: a", false),
        ("ReplacePrefixMatch, replacePrefixMatch: \"/a\\r\\n\"", false),
    ];
    for (path, is_served) in rows {
        for filter in [
            format!("{{type: URLRewrite, urlRewrite: {{path: {{type: {path}}}}}}}"),
            format!("{{type: RequestRedirect, requestRedirect: {{path: {{type: {path}}}}}}}"),
        ] {
            let text = format!("[{{filters: [{filter}], backendRefs: [{{name: web, port: 80}}]}}]");
            let (_, rules) = rules("HTTPRoute", &text);
            let is_failing = matches!(&rules[0].action, Action::Fail(_));
            assert_eq!(is_failing, !is_served, "{filter}");
        }
    }
}

#[test]
fn a_rule_whose_matches_are_none_takes_everything() {
    for kind in ["HTTPRoute", "GRPCRoute"] {
        for matches in ["", "matches: [], ", "matches: null, "] {
            let text = format!("[{{{matches}backendRefs: [{{name: web, port: 80}}]}}]");
            assert_eq!(rules(kind, &text).1.len(), 1, "{kind} {matches}");
        }
    }
}

#[test]
fn a_service_that_clashes_with_a_gateway_is_told_so() {
    let compiled = compiled(
        "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: g}
spec:
  gatewayClassName: rutter
  addresses: [{value: 127.0.0.9}]
  listeners: [{name: http, port: 80, protocol: HTTP}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {externalIPs: [127.0.0.9], ports: [{port: 80}]}
",
    );
    let clash = compiled.report.findings.iter().find(|it| it.code == Code::AddressClash);
    let clash = clash.expect("they must clash");
    assert!(clash.message.ends_with("is taken by a Gateway (default/g/http)"), "{clash:?}");
    assert_eq!(clash.help, None);
}
