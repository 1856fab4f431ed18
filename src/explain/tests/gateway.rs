//! Gateways: what nearly matched comes first, shares of streams, listeners that go by name.

use super::ask_of;

const MANIFESTS: &str = r#"
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: shop}
spec:
  gatewayClassName: rutter
  addresses: [{value: 127.0.0.1}]
  listeners:
  - {name: http, port: 80, protocol: HTTP}
  - {name: tcp, port: 1000, protocol: TCP}
  - {name: tls, port: 8443, protocol: TLS, hostname: pass.test, tls: {mode: Passthrough}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: a, namespace: shop}
spec:
  parentRefs: [{name: edge, sectionName: http}]
  hostnames: [a.test]
  rules: [{backendRefs: [{name: one, port: 80}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: z, namespace: shop}
spec:
  parentRefs: [{name: edge, sectionName: http}]
  hostnames: [z.test]
  rules:
  - matches: [{path: {value: /cart}}, {path: {value: /}, method: POST}, {path: {value: /}}]
    filters:
    - type: RequestHeaderModifier
      requestHeaderModifier: {set: [{name: Host, value: b}, {name: X-A, value: "1"}]}
    backendRefs: [{name: one, port: 80}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: TCPRoute
metadata: {name: tcp, namespace: shop}
spec:
  parentRefs: [{name: edge, sectionName: tcp}]
  rules: [{backendRefs: [{name: one, port: 80, weight: 3}, {name: two, port: 80}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: TLSRoute
metadata: {name: tls, namespace: shop}
spec:
  parentRefs: [{name: edge, sectionName: tls}]
  hostnames: [pass.test]
  rules: [{backendRefs: [{name: one, port: 80}]}]
---
apiVersion: v1
kind: Service
metadata: {name: one, namespace: shop}
spec: {clusterIP: None, ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: one, namespace: shop, labels: {kubernetes.io/service-name: one}}
addressType: IPv4
endpoints: [{addresses: [127.97.0.1]}]
ports: [{port: 8080}]
---
apiVersion: v1
kind: Service
metadata: {name: two, namespace: shop}
spec: {clusterIP: None, ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: two, namespace: shop, labels: {kubernetes.io/service-name: two}}
addressType: IPv4
endpoints: [{addresses: [127.97.0.2]}]
ports: [{port: 8080}]
"#;

fn ask(words: &[&str]) -> String {
    ask_of(MANIFESTS, words, None)
}

#[test]
fn what_nearly_matched_comes_before_what_did_not() {
    let told = ask(&["http://z.test/other"]);
    let place = |text: &str| told.find(text).unwrap_or_else(|| panic!("{text}: {told}"));
    let order = [
        place("+ z.test prefix / → HTTPRoute shop/z"),
        place("it asks for the method POST"),
        place("/other is not below prefix /cart"),
        place("for host a.test, not z.test"),
    ];
    assert!(order.is_sorted(), "{told}");
}

#[test]
fn a_field_that_no_filter_changes_is_not_said_to_change() {
    let told = ask(&["http://z.test/"]);
    assert!(told.contains("RequestHeaderModifier: X-A: 1 (set)\n"), "{told}");
}

#[test]
fn connections_are_shared_by_weight() {
    let told = ask(&["tcp://127.0.0.1:1000"]);
    assert!(told.contains("backends: one of 2, by weight\n"), "{told}");
    assert!(told.contains("  + shop/one:80/tcp: weight 3 (75 %)\n"), "{told}");
    let end =
        "it goes to an endpoint of shop/one:80/tcp; or it goes to an endpoint of shop/two:80/tcp\n";
    assert!(told.ends_with(end), "{told}");
}

#[test]
fn https_to_a_listener_that_goes_by_the_server_name_is_followed() {
    let told = ask(&["https://pass.test:8443/"]);
    assert!(told.contains("listener: \"shop/edge/tls\" for pass.test: passthrough"), "{told}");
    assert!(told.ends_with("it goes to an endpoint of shop/one:80/tcp\n"), "{told}");
    let told = ask(&["https://pass.test:8444/"]);
    assert!(told.ends_with("the client cannot connect\n"), "{told}");
}
