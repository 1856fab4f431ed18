//! HTTPRoute: what its status says of references that lead nowhere, and what clients get then.

use crate::suite::case::get;
use crate::suite::{Suite, V1, V2, WEB};

const SAME: &str = "same-namespace";

/// HTTPRouteInvalidNonExistentBackendRef, HTTPRouteInvalidBackendRefUnknownKind,
/// HTTPRouteInvalidCrossNamespaceBackendRef, HTTPRouteInvalidReferenceGrant
#[test]
fn a_backend_that_cannot_be_referred_to_is_told_and_answers_500() {
    for (manifests, route, reason, path) in [
        (
            "httproute-invalid-nonexistent-backendref.yaml",
            "invalid-nonexistent-backend-ref",
            "BackendNotFound",
            "/",
        ),
        (
            "httproute-invalid-backendref-unknown-kind.yaml",
            "invalid-backend-ref-unknown-kind",
            "InvalidKind",
            "/v2",
        ),
        (
            "httproute-invalid-cross-namespace-backend-ref.yaml",
            "invalid-cross-namespace-backend-ref",
            "RefNotPermitted",
            "/",
        ),
        ("httproute-invalid-reference-grant.yaml", "reference-grant", "RefNotPermitted", "/"),
    ] {
        let suite = Suite::start(&[manifests]);
        let unresolved = format!("ResolvedRefs=False/{reason}");
        let conditions = ["Accepted=True/Accepted", &unresolved];
        suite.expect_route("HTTPRoute", route, ("Gateway", SAME), &conditions);
        suite.check_http(SAME, &[get(path).status(500)]);
    }
}

/// HTTPRouteInvalidCrossNamespaceParentRef, HTTPRouteDisallowedKind,
/// HTTPRouteInvalidParentRefNotMatchingListenerPort,
/// HTTPRouteInvalidParentRefNotMatchingSectionName,
/// HTTPRouteInvalidParentRefSectionNameNotMatchingPort
#[test]
fn a_parent_that_does_not_take_the_route_is_told() {
    let foreign = format!("{WEB}/invalid-cross-namespace-parent-ref");
    let port_and_section = "gateway-with-one-not-matching-port-and-section-name-route";
    for (manifests, route, gateway, reason) in [
        (
            "httproute-invalid-cross-namespace-parent-ref.yaml",
            &*foreign,
            SAME,
            "NotAllowedByListeners",
        ),
        (
            "httproute-disallowed-kind.yaml",
            "disallowed-kind",
            "tlsroutes-only",
            "NotAllowedByListeners",
        ),
        (
            "httproute-invalid-parentref-not-matching-listener-port.yaml",
            "httproute-listener-not-matching-route-port",
            SAME,
            "NoMatchingParent",
        ),
        (
            "httproute-invalid-parentref-not-matching-section-name.yaml",
            "httproute-listener-not-matching-section-name",
            SAME,
            "NoMatchingParent",
        ),
        (
            "httproute-invalid-parentref-section-name-not-matching-port.yaml",
            "httproute-listener-section-name-not-matching-port",
            port_and_section,
            "NoMatchingParent",
        ),
    ] {
        let suite = Suite::start(&[manifests]);
        let refused = format!("Accepted=False/{reason}");
        let conditions = [&*refused, "ResolvedRefs=True/ResolvedRefs"];
        suite.expect_route("HTTPRoute", route, ("Gateway", gateway), &conditions);
        suite.expect_no_accepted_parent("HTTPRoute", route);
        suite.expect_no_routes(gateway);
    }
}

/// HTTPRouteNoBackendRefs
#[test]
fn a_rule_without_backends_answers_500() {
    let suite = Suite::start(&["httproute-omitted-backendrefs.yaml"]);
    suite.expect_routes("HTTPRoute", &["omitted-backendrefs"], ("Gateway", SAME));
    let mut cases = vec![get("/forward").to(V1)];
    cases.extend(["/omitted-no-forward", "/empty-no-forward"].map(|path| get(path).status(500)));
    suite.check_http(SAME, &cases);
}

/// HTTPRouteObservedGenerationBump
#[test]
fn conditions_follow_a_change_of_the_route() {
    let suite = Suite::start(&["httproute-observed-generation-bump.yaml"]);
    let route = "observed-generation-bump";
    suite.expect_routes("HTTPRoute", &[route], ("Gateway", SAME));
    suite.change("HTTPRoute", route, |object| {
        object["spec"]["rules"][0]["backendRefs"][0]["name"] = V2.into();
    });
    suite.expect_routes("HTTPRoute", &[route], ("Gateway", SAME));
}
