//! BackendTLSPolicy.

use serde_json::{Value, json};

use crate::suite::case::{Case, get};
use crate::suite::certificates::{CERTIFICATES, authority_map};
use crate::suite::client::{Tls, Way};
use crate::suite::grpc::{UNAVAILABLE, call};
use crate::suite::tcp::{Expected, backend, check};
use crate::suite::{INFRA, Suite};

const SAME: &str = "same-namespace";
const HOST: &str = "abc.example.com";
const GOOD: &[&str] = &["Accepted=True/Accepted", "ResolvedRefs=True/ResolvedRefs"];
const NO_AUTHORITY: &[&str] =
    &["Accepted=False/NoValidCACertificate", "ResolvedRefs=False/InvalidCACertificateRef"];

/// A request that reaches a pod which was named so in its handshake.
fn reaches(path: &str, server_name: &'static str) -> Case {
    get(path).host(HOST).seen_server_name(server_name)
}

fn fails(path: &str) -> Case {
    get(path).host(HOST).status([500, 502, 503])
}

/// BackendTLSPolicy
#[test]
fn backends_are_spoken_to_over_tls_and_must_be_who_they_should_be() {
    let suite = Suite::start(&["backendtlspolicy.yaml"]);
    let https = "same-namespace-with-https-listener";
    suite.expect_routes("HTTPRoute", &["backendtlspolicy-reencrypt"], ("Gateway", https));
    suite.expect_routes("HTTPRoute", &["backendtlspolicy"], ("Gateway", SAME));
    suite.expect_policy("normative-test", https, GOOD);
    for policy in ["normative-test", "host-mismatch", "cert-mismatch"] {
        suite.expect_policy(policy, SAME, GOOD);
    }
    let host = "https-listener.org";
    let certificate = CERTIFICATES.secret(INFRA, "tls-validity-checks-certificate");
    let way = Way::tls(suite.address(https, 443), host, certificate);
    suite.check(&way, &[get("/backendtlspolicy").host(host).seen_server_name(HOST)]);
    suite.check_http(
        SAME,
        &[
            reaches("/backendtlspolicy", HOST),
            fails("/backendtlspolicy-host-mismatch"),
            fails("/backendtlspolicy-cert-mismatch"),
        ],
    );
}

/// BackendTLSPolicy, the part with a ConfigMap that changes
#[test]
fn a_policy_follows_its_config_map() {
    let suite = Suite::start(&["backendtlspolicy.yaml"]);
    let (policy, name) = ("reconcile-test", "tls-checks-ca-certificate-reconcile-test");
    suite.expect_policy(policy, SAME, GOOD);
    suite.change("BackendTLSPolicy", policy, |policy| {
        policy["spec"]["validation"]["caCertificateRefs"] =
            json!([{ "group": "", "kind": "ConfigMap", "name": name }]);
    });
    suite.expect_policy(policy, SAME, NO_AUTHORITY);
    let authority = &CERTIFICATES.authority(INFRA, "tls-checks-ca-certificate").certificate;
    suite.create(authority_map(INFRA, name, authority));
    suite.expect_policy(policy, SAME, GOOD);
    let set = |text: &str| {
        suite.change("ConfigMap", name, |map| map["data"]["ca.crt"] = text.into());
    };
    set("");
    suite.expect_policy(policy, SAME, NO_AUTHORITY);
    set(authority);
    suite.expect_policy(policy, SAME, GOOD);
}

/// BackendTLSPolicyConflictResolution
#[test]
fn of_two_policies_for_one_port_one_is_taken() {
    let suite = Suite::start(&["backendtlspolicy-conflict-resolution.yaml"]);
    let name = "backendtlspolicy-conflict-resolution";
    suite.expect_routes("HTTPRoute", &[name], ("Gateway", SAME));
    let taken = ["Accepted=True/Accepted"];
    for sections in ["with", "without"] {
        let conflicted = format!("conflicted-{sections}-section-name");
        suite.expect_policy(&format!("{conflicted}-1"), SAME, &taken);
        let refused = ["Accepted=False/Conflicted"];
        suite.expect_policy(&format!("{conflicted}-2"), SAME, &refused);
        suite.expect_policy(&format!("not-{conflicted}"), SAME, &taken);
    }
    let other = "other.example.com";
    suite.check_http(
        SAME,
        &[
            reaches("/backendtlspolicy-conflicted-without-section-name", other),
            reaches("/backendtlspolicy-conflicted-with-section-name", other),
            reaches("/backendtlspolicy-not-conflicted-with-section-name", other),
            reaches("/backendtlspolicy-not-conflicted-without-section-name", HOST),
        ],
    );
}

/// BackendTLSPolicyInvalidCACertificateRef, BackendTLSPolicyInvalidKind
#[test]
fn a_policy_without_an_authority_lets_nothing_through() {
    let suite = Suite::start(&["backendtlspolicy-invalid-ca-certificate-ref.yaml"]);
    let route = "backendtlspolicy-invalid-ca-certificate-ref";
    suite.expect_route("HTTPRoute", route, ("Gateway", SAME), &["Accepted=True/Accepted"]);
    for policy in ["nonexistent-ca-certificate-ref", "malformed-ca-certificate-ref"] {
        suite.expect_policy(policy, SAME, NO_AUTHORITY);
        suite.check_http(SAME, &[fails(&format!("/backendtlspolicy-{policy}"))]);
    }
    let suite = Suite::start(&["backendtlspolicy-invalid-kind.yaml"]);
    let route = "backendtlspolicy-invalid-kind-test";
    suite.expect_route("HTTPRoute", route, ("Gateway", SAME), &["Accepted=True/Accepted"]);
    let conditions = [NO_AUTHORITY[0], "ResolvedRefs=False/InvalidKind"];
    suite.expect_policy("invalid-kind", SAME, &conditions);
    suite.check_http(SAME, &[fails("/backendtlspolicy-invalid-kind")]);
}

/// BackendTLSPolicyObservedGenerationBump
#[test]
fn conditions_follow_a_change_of_the_policy() {
    let suite = Suite::start(&["backendtlspolicy-observed-generation-bump.yaml"]);
    let policy = "observed-generation-bump";
    suite.expect_policy(policy, SAME, &["Accepted=True"]);
    suite.change("BackendTLSPolicy", policy, |policy: &mut Value| {
        policy["spec"]["validation"]["hostname"] = "foo.example.com".into();
    });
    suite.expect_policy(policy, SAME, &["Accepted=True"]);
}

/// BackendTLSPolicySANValidation
#[test]
fn the_names_of_a_certificate_may_be_other_than_the_host() {
    let suite = Suite::start(&["backendtlspolicy-san.yaml"]);
    suite.expect_routes("HTTPRoute", &["backendtlspolicy-san-test"], ("Gateway", SAME));
    for (good, bad) in [
        ("san-dns", "san-dns-mismatch"),
        ("san-uri", "san-uri-mismatch"),
        ("multiple-sans", "multiple-mismatch-sans"),
    ] {
        for policy in [good, bad] {
            suite.expect_policy(policy, SAME, &["Accepted=True/Accepted"]);
        }
        let path = |policy| format!("/backendtlspolicy-{policy}");
        suite.check_http(SAME, &[reaches(&path(good), HOST), fails(&path(bad))]);
    }
}

/// A policy in our own words.
fn policy(name: &str, service: &str, authority: &str, host: &str) -> String {
    format!(
        "---
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {{name: {name}, namespace: {INFRA}}}
spec:
  targetRefs: [{{group: '', kind: Service, name: {service}, sectionName: tls}}]
  validation:
    caCertificateRefs: [{{group: '', kind: ConfigMap, name: {authority}}}]
    hostname: {host}
"
    )
}

fn service(name: &str, app: &str) -> String {
    format!(
        "---
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: {INFRA}}}
spec:
  selector: {{app: {app}}}
  ports: [{{name: tls, port: 443, targetPort: 8443}}]
"
    )
}

/// BackendTLSPolicyGRPCRoute (of upstream's main)
#[test]
fn backends_of_grpc_are_spoken_to_over_tls() {
    let pods = "grpc-tls";
    let mut manifests = format!(
        "---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {pods}, namespace: {INFRA}}}
spec:
  replicas: 1
  template:
    metadata: {{labels: {{app: {pods}}}}}
    spec:
      containers: [{{name: echo, env: [{{name: GRPC_ECHO_SERVER}}, {{name: TLS_SERVER_CERT}}]}}]
      volumes: [{{secret: {{secretName: tls-checks-certificate}}}}]
"
    );
    for (name, authority, host) in [
        ("good", "tls-checks-ca-certificate", HOST),
        ("other-host", "tls-checks-ca-certificate", "mismatch.example.com"),
        ("other-authority", "mismatch-ca-certificate", HOST),
    ] {
        manifests += &service(name, pods);
        manifests += &policy(name, name, authority, host);
        manifests += &format!(
            "---
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {{name: {name}, namespace: {INFRA}}}
spec:
  parentRefs: [{{name: {SAME}}}]
  hostnames: [{name}.example.com]
  rules: [{{backendRefs: [{{name: {name}, port: 443}}]}}]
"
        );
    }
    let suite = Suite::start_with(&manifests);
    for name in ["good", "other-host", "other-authority"] {
        suite.expect_routes("GRPCRoute", &[name], ("Gateway", SAME));
        suite.expect_policy(name, SAME, GOOD);
    }
    let refused = [UNAVAILABLE];
    suite.check_grpc(
        SAME,
        &[
            call("Echo").authority("good.example.com").to(pods).over_tls(),
            call("EchoTwo").authority("other-host.example.com").code(&refused),
            call("Echo").authority("other-authority.example.com").code(&refused),
        ],
    );
}

/// BackendTLSPolicyTLSRouteTerminate (of upstream's main)
#[test]
fn terminated_tls_is_encrypted_again_for_the_backend() {
    let name = "again";
    let manifests = format!(
        "---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: {name}, namespace: {INFRA}}}
spec:
  gatewayClassName: {}
  listeners:
  - name: tls
    port: 8443
    protocol: TLS
    hostname: tls.example.com
    tls: {{mode: Terminate, certificateRefs: [{{name: tls-terminate-checks-certificate}}]}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: TLSRoute
metadata: {{name: {name}, namespace: {INFRA}}}
spec:
  parentRefs: [{{name: {name}}}]
  hostnames: [tls.example.com]
  rules: [{{backendRefs: [{{name: {name}, port: 443}}]}}]
",
        crate::suite::upstream::CLASS
    ) + &service(name, "tcp-backend")
        + &policy(name, name, "tls-checks-ca-certificate", HOST);
    let suite = Suite::start_with(&manifests);
    suite.expect_routes("TLSRoute", &[name], ("Gateway", name));
    suite.expect_policy(name, name, GOOD);
    let tls = Tls {
        server_name: "tls.example.com",
        expected: CERTIFICATES.secret(INFRA, "tls-terminate-checks-certificate"),
        shown: None,
    };
    let expected = Expected { server_name: Some(HOST), ..backend("tcp-backend") };
    check(suite.listener(name, "tls"), Some(&tls), expected);
}
