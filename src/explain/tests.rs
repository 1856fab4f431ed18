mod gateway;
mod load_balancers;
mod name;
mod policy;
mod tls;

use std::time::UNIX_EPOCH;

use super::*;
use crate::compile::{Allocations, Forward, Settings, compile};
use crate::manifest::yaml::decode;
use crate::source::Sourced;
use crate::store::Objects;

const MANIFESTS: &str = r#"
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 127.96.0.20, selector: {app: web}, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web-0, namespace: shop, labels: {app: web}}
status: {podIP: 127.97.0.1, phase: Running, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web-1, namespace: shop, labels: {app: web}}
status: {podIP: 127.97.0.2, phase: Running, conditions: [{type: Ready, status: "False"}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: shop, namespace: shop}
spec:
  rules:
  - host: shop.test
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: web, port: {name: http}}}}
      - {path: /api, pathType: Prefix, backend: {service: {name: gone, port: {number: 80}}}}
      - {path: /exact, pathType: Exact, backend: {service: {name: web, port: {number: 80}}}}
---
apiVersion: v1
kind: Service
metadata: {name: outside, namespace: shop}
spec: {type: ExternalName, externalName: www.example.org}
"#;

fn ask(words: &[&str], from: Option<&str>) -> String {
    ask_with(MANIFESTS, words, from, Forward::default())
}

fn ask_of(manifests: &str, words: &[&str], from: Option<&str>) -> String {
    ask_with(manifests, words, from, Forward::default())
}

fn ask_with(manifests: &str, words: &[&str], from: Option<&str>, forward: Forward) -> String {
    let settings = Settings { dns_forward: forward.into(), ..Settings::default() };
    explained(manifests, words, from, settings).to_string()
}

fn explained(
    manifests: &str,
    words: &[&str],
    from: Option<&str>,
    settings: Settings,
) -> Explanation {
    let mut objects = Objects::default();
    for (object, origin) in decode("shop.yaml", manifests).objects {
        objects.apply(&Sourced { object, origin, stale: false });
    }
    let settings = Settings { ingress_addresses: vec![[127, 0, 0, 1].into()], ..settings };
    let compiled = compile(&objects, &settings, &Allocations::default(), UNIX_EPOCH);
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    let question = Question::parse(&words, &[], from).expect("a question");
    assert_eq!(Question::from_query(&question.to_query()), Ok(question.clone()));
    explain(&compiled.snapshot, &compiled.report.findings, &question, UNIX_EPOCH)
}

#[test]
fn a_request_is_followed_to_its_endpoints() {
    assert_eq!(
        ask(&["http://shop.test/cart"], None),
        "\
GET http://shop.test/cart

listener: \"http\"
  + tcp://127.0.0.1:80 (http): scheme and port are these

route: Ingress shop/shop by host shop.test and path prefix /
    at shop.yaml:17
  + shop.test prefix / → Ingress shop/shop: the most specific that matches (shop.yaml:17)
  - shop.test prefix /api → Ingress shop/shop: /cart is not below prefix /api (shop.yaml:17)
  - shop.test exact /exact → Ingress shop/shop: /cart is not exactly /exact (shop.yaml:17)

service: shop/web:http/tcp, port 80
    at shop.yaml:2

endpoint: the only one that can take new work
  + 127.97.0.1:80: ready, pod web-0 (shop.yaml:7)
  - 127.97.0.2:80: not ready, pod web-1 (shop.yaml:12)

it goes to an endpoint of shop/web:http/tcp
"
    );
}

#[test]
fn what_the_service_says_about_its_endpoints_is_told() {
    let annotations = "annotations: {rutter.dev/load-balancer: maglev, rutter.dev/hash-on: \
                       'header:X-User', rutter.dev/max-requests: '5', rutter.dev/health-check: \
                       'http:/healthz'}";
    let manifests = MANIFESTS
        .replacen("{name: web,", &format!("{{name: web, {annotations},"), 1)
        .replace("status: \"False\"", "status: \"True\"");
    let told = ask_of(&manifests, &["http://shop.test/cart"], None);
    let step = "\nendpoints: 5 requests at a time; 1024 more wait for 1s; checked by http:/healthz \
                every 10s\n";
    assert!(told.contains(step), "{told}");
    let step = "\nendpoint: one of 2: the same for equal values of the header field x-user\n";
    assert!(told.contains(step), "{told}");
}

#[test]
fn losers_are_told_why() {
    let told = ask(&["http://shop.test/apix"], None);
    assert!(told.contains("/apix continues the last element of /api"), "{told}");
    let told = ask(&["http://shop.test/exact"], None);
    assert!(told.contains("exact /exact is more specific"), "{told}");
    let told = ask(&["http://other.test/"], None);
    assert!(told.contains("for host shop.test, not other.test"), "{told}");
    assert!(told.ends_with("the client gets 404 no_route: no rule takes it\n"), "{told}");
}

#[test]
fn what_fails_says_what_the_client_gets() {
    let told = ask(&["POST", "http://shop.test/api/x"], None);
    let expected =
        "the client gets 503 no_service: Service \"gone\" does not exist in namespace shop\n";
    assert!(told.ends_with(expected), "{told}");
    let told = ask(&["http://shop.test/a%2fb"], None);
    assert!(told.ends_with("the client gets 400 bad_request\n"), "{told}");
}

#[test]
fn connections_are_followed_by_address_or_name() {
    let told = ask(&["tcp://127.96.0.20:80"], None);
    assert!(told.contains("is the cluster-ip of Service shop/web"), "{told}");
    let told = ask(&["tcp://web.shop:80"], None);
    assert!(told.contains("web.shop.svc.cluster.local is 127.96.0.20"), "{told}");
    let told = ask(&["tcp://127.96.0.20:81"], None);
    assert!(
        told.contains("the address has other ports\n  - tcp://127.96.0.20:80: Service"),
        "{told}"
    );
    assert!(told.ends_with("the client is refused\n"), "{told}");
    let told = ask(&["tcp://127.0.0.1:80"], None);
    assert!(told.ends_with("ask for a URL to see which rule takes a request\n"), "{told}");
}

#[test]
fn a_service_whose_clients_stay_says_for_how_long() {
    let sticky = MANIFESTS.replacen("spec: {", "spec: {sessionAffinity: ClientIP, ", 1);
    let told = ask_of(&sticky, &["tcp://127.96.0.20:80"], None);
    let expected = "affinity: a client keeps its endpoint for 10800 s after its last connection\n";
    assert!(told.contains(expected), "{told}");
}

#[test]
fn words_that_are_no_question_are_refused_with_the_reason() {
    let parse = |words: &[&str]| {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        Question::parse(&words, &[], None).expect_err("no question").to_string()
    };
    assert!(parse(&["shop.test"]).contains("is not a URL"));
    assert!(parse(&["ftp://shop.test"]).contains("is not a URL"));
    assert!(parse(&["tcp://shop.test"]).contains("no port"));
    assert!(parse(&["http://shop.test:99999/"]).contains("no port"));
    assert!(parse(&["dns", "web", "MX5"]).contains("\"MX5\" is not a record type"));
    assert!(parse(&["GET", "http://a/", "b"]).contains("ask for"));
}

const GATEWAY: &str = r#"
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {clusterIP: None, ports: [{name: http, port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
endpoints: [{addresses: [127.97.0.1]}]
ports: [{name: http, port: 3000}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: front}
spec:
  gatewayClassName: rutter
  addresses: [{value: 127.98.0.1}]
  listeners:
  - {name: any, port: 8080, protocol: HTTP}
  - {name: shop, port: 8080, protocol: HTTP, hostname: "*.shop.test"}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: api}
spec:
  parentRefs: [{name: front, sectionName: shop}]
  rules:
  - matches: [{path: {value: /v1}}]
    filters:
    - {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: X-Env, value: live}], remove: [x-debug]}}
    - {type: URLRewrite, urlRewrite: {hostname: inner.test, path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}
    backendRefs: [{name: web, port: 80, weight: 3}, {name: gone, port: 80}]
    timeouts: {request: 10s}
  - matches: [{path: {value: /old}}]
    filters: [{type: RequestRedirect, requestRedirect: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /v1}}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: lost}
spec: {parentRefs: [{name: frnt}]}
"#;

fn ask_gateway(words: &[&str], headers: &[&str]) -> String {
    let mut objects = Objects::default();
    for (object, origin) in decode("gw.yaml", GATEWAY).objects {
        objects.apply(&Sourced { object, origin, stale: false });
    }
    let compiled = compile(&objects, &Settings::default(), &Allocations::default(), UNIX_EPOCH);
    let owned = |words: &[&str]| words.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
    let question = Question::parse(&owned(words), &owned(headers), None).expect("a question");
    explain(&compiled.snapshot, &compiled.report.findings, &question, UNIX_EPOCH).to_string()
}

#[test]
fn the_way_through_a_gateway_shows_listener_filters_shares_and_what_is_left_out() {
    let headers = ["x-env: test", "X-Debug: 1"];
    assert_eq!(
        ask_gateway(&["http://api.shop.test:8080/v1/a?q"], &headers),
        "\
GET http://api.shop.test:8080/v1/a?q

listener: \"default/front/any\"
  + tcp://127.98.0.1:8080 (default/front/any): scheme and port are these

host: default/front/shop by host *.shop.test
  - default/front/any (*): it matches, but another host is more specific
  + default/front/shop (*.shop.test): the most specific host that matches

route: HTTPRoute default/api by host *.shop.test and path prefix /v1
    at gw.yaml:24
  + *.shop.test prefix /v1 → HTTPRoute default/api: the most specific that matches (gw.yaml:24)
  - *.shop.test prefix /old → HTTPRoute default/api: /v1/a is not below prefix /old (gw.yaml:24)

left out: 1 take no part
  - HTTPRoute default/lost: Gateway default/frnt does not exist (gw.yaml:39)

filters: 2 on the way
    at gw.yaml:24
  + RequestHeaderModifier: X-Env: test → live; x-debug: 1 → (removed)
  + URLRewrite: host api.shop.test → inner.test; path /v1/a → /a (its prefix)

limits: the whole: 10s

backends: one of 2, by weight
    at gw.yaml:24
  + default/web:http/tcp: weight 3 (75 %)
  + 500 invalid_backend: weight 1 (25 %): Service \"gone\" does not exist in namespace default

service: default/web:http/tcp, port 80
    at gw.yaml:2

endpoint: the only one that can take new work
  + 127.97.0.1:3000: ready (gw.yaml:7)

it goes to an endpoint of default/web:http/tcp; or the client gets 500 invalid_backend: \
         Service \"gone\" does not exist in namespace default
"
    );
    let redirected = ask_gateway(&["http://api.shop.test:8080/old/x?q"], &[]);
    let expected = "the client is sent to http://api.shop.test:8080/v1/x?q (302)\n";
    assert!(redirected.ends_with(expected), "{redirected}");
}
