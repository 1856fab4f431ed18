//! What is taken back is taken back for the next request: a grant, a certificate, an authority.
//! How long it takes is measured by `cargo bench --bench control`.

use crate::common::block_on;
use crate::common::http::Client;
use crate::suite::case::{ask, get};
use crate::suite::certificates::{Authority, CERTIFICATES, Pair, authority_map, secret};
use crate::suite::client::Way;
use crate::suite::{INFRA, Suite, V1, WEB};

const SAME: &str = "same-namespace";

#[test]
fn a_revoked_grant_is_effective_on_connections_that_live() {
    let suite = Suite::start(&["httproute-reference-grant.yaml"]);
    let addr = suite.address(SAME, 80);
    let mut old = Client::connect(addr);
    assert_eq!(old.get("any.test", "/").status, 200);
    suite.delete("ReferenceGrant", &format!("{WEB}/reference-grant"));
    assert_eq!(old.get("any.test", "/").status, 500);
    suite.check_http(SAME, &[get("/").status(500)]);
}

#[test]
fn a_granted_secret_that_is_granted_no_more_is_shown_no_more() {
    let name = "gateway-secret-reference-grant-specific";
    let suite = Suite::start(&[&format!("{name}.yaml")]);
    let addr = suite.listener(name, "https");
    let shown = CERTIFICATES.secret(WEB, "certificate");
    let way = Way::tls(addr, "any.test", shown);
    suite.check(&way, &[get("/").host("any.test").status(404)]);
    let grants = suite.names("ReferenceGrant", WEB);
    assert_eq!(grants.len(), 1, "{grants:?}");
    suite.delete("ReferenceGrant", &format!("{WEB}/{}", grants[0]));
    assert!(block_on(way.connect()).is_err());
    suite.expect_listener_conditions(
        "Gateway",
        name,
        "https",
        &["ResolvedRefs=False/RefNotPermitted", "Programmed=False"],
    );
}

#[test]
fn a_replaced_certificate_is_shown_to_the_next_connection() {
    let gateway = "same-namespace-with-https-listener";
    let suite = Suite::start(&["httproute-https-listener.yaml"]);
    let addr = suite.address(gateway, 443);
    let name = "tls-validity-checks-certificate";
    let case = get("/").host("example.org").to(V1);
    let old = CERTIFICATES.secret(INFRA, name);
    suite.check(&Way::tls(addr, "example.org", old), std::slice::from_ref(&case));
    let new: Pair = Authority::new().server(&["*.org"]);
    suite.change("Secret", name, |object| *object = kept(object, secret(INFRA, name, &new)));
    suite.check(&Way::tls(addr, "example.org", &new), &[case]);
    assert!(block_on(Way::tls(addr, "example.org", old).connect()).is_err());
}

#[test]
fn a_replaced_authority_of_backends_is_asked_for_the_next_request() {
    let suite = Suite::start(&["backendtlspolicy.yaml"]);
    let case = get("/backendtlspolicy").host("abc.example.com");
    let good = case.clone().seen_server_name("abc.example.com");
    suite.check_http(SAME, std::slice::from_ref(&good));
    let name = "tls-checks-ca-certificate";
    let replace = |authority: &Authority| {
        suite.change("ConfigMap", name, |object| {
            *object = kept(object, authority_map(INFRA, name, &authority.certificate));
        });
    };
    replace(&Authority::new());
    // the pool may hold a connection that was made while the old authority was trusted
    suite.check_http(SAME, &[case.status([500, 502, 503])]);
    replace(CERTIFICATES.authority(INFRA, name));
    suite.check_http(SAME, &[good]);
}

#[test]
fn a_replaced_authority_of_clients_is_asked_for_the_next_connection() {
    let gateway = "client-validation-default";
    let suite = Suite::start(&["gateway-with-clientcertificate-validation.yaml"]);
    let server = CERTIFICATES.secret(INFRA, "tls-validity-checks-certificate");
    let client = CERTIFICATES.secret(INFRA, "tls-validity-checks-client-certificate");
    let way = Way::tls(suite.address(gateway, 443), "example.org", server).shows(client);
    let case = get("/").host("example.org").to(V1);
    suite.check(&way, std::slice::from_ref(&case));
    let name = "tls-validity-checks-ca-certificate";
    let other = Authority::new();
    suite.change("ConfigMap", name, |object| {
        *object = kept(object, authority_map(INFRA, name, &other.certificate));
    });
    assert!(block_on(ask(&way, &case)).is_err());
    let known = other.client();
    suite.check(&way.clone().shows(&known), &[case]);
}

/// New content under the metadata of before.
fn kept(before: &serde_json::Value, mut after: serde_json::Value) -> serde_json::Value {
    after["metadata"] = before["metadata"].clone();
    after
}
