use super::*;
use crate::manifest::yaml::decode;
use crate::manifest::{Code, Object};

fn only(text: &str) -> Object {
    let decoded = decode("in.yaml", text);
    assert!(decoded.findings.is_empty(), "{:?}", decoded.findings);
    decoded.objects.into_iter().next().expect("an object").0
}

fn api(kind: &str, version: &str, rest: &str) -> String {
    format!("apiVersion: {GROUP}/{version}\nkind: {kind}\nmetadata: {{name: a}}\n{rest}\n")
}

#[test]
fn what_is_left_out_gets_the_defaults_of_the_crds() {
    let Object::HttpRoute(route) = only(&api("HTTPRoute", "v1", "spec: {parentRefs: [{name: g}]}"))
    else {
        panic!("an HTTPRoute")
    };
    let parent = &route.spec.parent_refs[0];
    assert_eq!((&*parent.group, &*parent.kind), (GROUP, "Gateway"));
    assert_eq!(route.spec.rules, [HttpRouteRule::default()]);
    let first = &route.spec.rules[0].matches[0];
    assert_eq!((&*first.path.kind, &*first.path.value), ("PathPrefix", "/"));
    let rule = "spec: {rules: [{matches: [{path: {value: /x}}], backendRefs: [{name: b}]}]}";
    let Object::HttpRoute(route) = only(&api("HTTPRoute", "v1", rule)) else {
        panic!("an HTTPRoute")
    };
    assert_eq!(&*route.spec.rules[0].matches[0].path.kind, "PathPrefix");
    assert_eq!(&*route.spec.rules[0].backend_refs[0].kind, "Service");
}

#[test]
fn older_versions_are_read_as_the_same_types() {
    for (kind, version) in [
        ("Gateway", "v1beta1"),
        ("HTTPRoute", "v1beta1"),
        ("TCPRoute", "v1alpha2"),
        ("TLSRoute", "v1alpha3"),
        ("ReferenceGrant", "v1beta1"),
        ("BackendTLSPolicy", "v1alpha3"),
    ] {
        assert_eq!(only(&api(kind, version, "spec: {}")).kind().name(), kind);
    }
    let decoded = decode("in.yaml", &api("Gateway", "v1alpha1", "spec: {}"));
    assert_eq!(decoded.findings[0].code, Code::UnknownKind);
}

#[test]
fn a_misspelt_field_of_a_filter_is_found_with_what_was_meant() {
    let text = "spec: {rules: [{filters: [{type: URLRewrite, urlRewrite: {hostnam: x}}]}]}";
    let decoded = decode("in.yaml", &api("HTTPRoute", "v1", text));
    let finding = &decoded.findings[0];
    assert_eq!(finding.code, Code::UnknownField);
    assert_eq!(finding.field, "spec.rules[0].filters[0].urlRewrite.hostnam");
    assert_eq!(finding.help.as_deref(), Some("did you mean hostname?"));
}
