//! Ingress v1 by its 25 conformance scenarios (kubernetes-sigs/ingress-controller-conformance,
//! `features/*.feature`) and by its specification, over real connections. What the suite reads of an
//! Ingress's status is read off the wire here: objects in a directory have none.

mod common;

use common::backend::Backend;
use common::http::{self, Client};
use common::tls::{Authority, Tls};
use common::{Block, Site};

/// Services `a`, `b`, … each with one pod that answers its own name, and the Ingress of the test.
fn site(services: &[&str], ingress: &str) -> (Site, Vec<Backend>) {
    let block = Block::claim();
    let mut manifests = String::from(ingress);
    let mut backends = Vec::new();
    for (place, name) in services.iter().enumerate() {
        let last = 130 + u8::try_from(place).expect("few services");
        backends.push(Backend::http(block.addr(last, 8080), name));
        manifests += &SERVICE.replace("NAME", name).replace("LAST", &last.to_string());
    }
    (Site::start_in(block, &manifests, |_| {}), backends)
}

const SERVICE: &str = r#"
---
apiVersion: v1
kind: Service
metadata: {name: NAME}
spec: {selector: {app: NAME}, ports: [{name: http, port: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: NAME, labels: {app: NAME}}
spec: {containers: [{name: echo, ports: [{name: http, containerPort: 8080}]}]}
status: {podIP: NET.LAST, phase: Running, conditions: [{type: Ready, status: "True"}]}
"#;

fn path_rule(kind: &str, path: &str, service: &str) -> String {
    format!(
        "{{path: {path:?}, pathType: {kind}, backend: {{service: {{name: {service}, port: {{name: \
         http}}}}}}}}"
    )
}

fn ingress(paths: &[String]) -> String {
    let paths = paths.join(", ");
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: web}}\nspec: {{rules: \
         [{{host: a.test, http: {{paths: [{paths}]}}}}]}}\n"
    )
}

/// Who answers a request, or the status if nobody does.
#[track_caller]
fn answer(site: &Site, host: &str, path: &str) -> String {
    let response = http::get(site.http(), host, path);
    if response.status != 200 {
        return response.status.to_string();
    }
    response.json()["pod"].as_str().expect("the pod's name").to_owned()
}

#[test]
fn paths_route_as_in_scenarios_10_to_25() {
    let rules = [
        ("Exact", "/exact", "exact"),
        ("Prefix", "/foo", "foo"),
        ("Prefix", "/aaa/bbb", "bbb"),
        ("Prefix", "/aaa", "aaa"),
        ("Prefix", "/both", "both-prefix"),
        ("Exact", "/both", "both-exact"),
        ("Prefix", "/slash/end/", "slash"),
        ("Exact", "/strict/", "strict"),
        ("ImplementationSpecific", "/own", "own"),
    ];
    let services: Vec<_> = rules.iter().map(|(_, _, service)| *service).collect();
    let paths: Vec<_> =
        rules.iter().map(|(kind, path, service)| path_rule(kind, path, service)).collect();
    let (site, _backends) = site(&services, &ingress(&paths));
    let rows = [
        ("/exact", "exact"),
        ("/exact/", "404"),
        ("/EXACT", "404"),
        ("/bar", "404"),
        ("/foo", "foo"),
        ("/foo/", "foo"),
        ("/foo/sub?query=1", "foo"),
        ("/FOO", "404"),
        ("/aaa/bbb", "bbb"),
        ("/aaa/bbb/ccc", "bbb"),
        ("/aaa/ccc", "aaa"),
        ("/aaaccc", "404"),
        ("/both", "both-exact"),
        ("/both/below", "both-prefix"),
        ("/slash/end", "slash"),
        ("/slash/end/", "slash"),
        ("/strict", "404"),
        ("/strict/", "strict"),
        ("/own/below", "own"),
    ];
    for (path, expected) in rows {
        assert_eq!(answer(&site, "a.test", path), expected, "{path}");
    }
}

#[test]
fn hosts_route_as_in_scenarios_2_to_7() {
    let authority = Authority::new();
    let (site, _backends) = site(
        &["wild", "exact"],
        &(r#"
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: hosts}
spec:
  rules:
  - host: "*.foo.com"
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: wild, port: {name: http}}}}]}
  - host: foo.bar.com
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: exact, port: {name: http}}}}]}
  tls: [{hosts: [foo.bar.com], secretName: foo-bar}]
"#
        .to_owned()
            + &authority.secret("foo-bar", &["foo.bar.com"])),
    );
    let mut tls = Tls::connect(&authority, site.https(), "foo.bar.com").expect("its certificate");
    let over_tls = tls.get("foo.bar.com");
    assert!(over_tls.starts_with("HTTP/1.1 200 "), "{over_tls}");
    for said in [r#""host":"foo.bar.com""#, r#""pod":"exact""#] {
        assert!(over_tls.replace(": ", ":").contains(said), "no {said}: {over_tls}");
    }
    for (host, pod) in [("foo.bar.com", "exact"), ("bar.foo.com", "wild")] {
        let seen = http::get(site.http(), host, "/x").json();
        assert_eq!((seen["host"].as_str(), seen["pod"].as_str()), (Some(host), Some(pod)));
    }
    let rows = [
        ("foo.bar.com", "exact"),
        ("FOO.bar.com:80", "exact"),
        ("bar.foo.com", "wild"),
        ("baz.bar.foo.com", "404"),
        ("subdomain.bar.com", "404"),
        ("foo.com", "404"),
    ];
    for (host, expected) in rows {
        assert_eq!(answer(&site, host, "/x"), expected, "{host}");
    }
}

#[test]
fn a_default_backend_takes_every_method_host_and_path_as_in_scenario_1() {
    let (site, _backends) = site(
        &["echo"],
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: all}\nspec: \
         {defaultBackend: {service: {name: echo, port: {number: 8080}}}}\n",
    );
    let rows = [
        ("GET", "my-host", "/x"),
        ("GET", "my-host", "/sub-path"),
        ("POST", "some-host", "/x"),
        ("PUT", "", "/resource"),
        ("DELETE", "some-host", "/resource"),
        ("PATCH", "my-host", "/resource"),
    ];
    for (method, host, path) in rows {
        let mut client = Client::connect(site.http());
        let host = if host.is_empty() { site.http().to_string() } else { host.to_owned() };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: suite\r\nContent-Length: \
             0\r\n\r\n"
        );
        client.send(request.as_bytes());
        let response = client.response().expect("a response");
        assert_eq!(response.status, 200, "{method} {path}");
        for name in ["content-length", "content-type", "date", "server"] {
            assert!(response.header(name).is_some(), "{method} {path}: no {name}");
        }
        let seen = response.json();
        assert_eq!(seen["pod"], "echo");
        assert_eq!(seen["method"], method);
        assert_eq!(seen["path"], path);
        assert_eq!(seen["host"], host);
        assert_eq!(seen["proto"], "HTTP/1.1");
        assert_eq!(http::seen(&seen, "user-agent"), ["suite"]);
    }
}

#[test]
fn the_backend_is_told_who_asked_and_how() {
    let (site, _backends) = site(&["echo"], &ingress(&[path_rule("Prefix", "/", "echo")]));
    let mut client = Client::connect(site.http());
    client.send(
        b"GET /x HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: \
          gopher\r\nConnection: keep-alive, x-secret\r\nX-Secret: 1\r\nKeep-Alive: 5\r\n\r\n",
    );
    let seen = client.response().expect("a response").json();
    let header = |name| http::seen(&seen, name);
    assert_eq!(header("x-forwarded-proto"), ["http"]);
    assert_eq!(header("x-forwarded-host"), ["a.test"]);
    assert_eq!(header("x-forwarded-port"), ["80"]);
    assert_eq!(header("x-forwarded-for"), ["127.0.0.1"], "nobody is trusted");
    assert!(header("x-request-id").concat().len() >= 16);
    for gone in ["connection", "keep-alive", "x-secret"] {
        assert!(header(gone).is_empty(), "{gone} must not pass");
    }
}

#[test]
fn all_ten_pods_of_a_service_are_seen_in_100_requests_as_in_scenario_9() {
    let block = Block::claim();
    let mut manifests = ingress(&[path_rule("Prefix", "/", "echo")]);
    manifests += "---\napiVersion: v1\nkind: Service\nmetadata: {name: echo}\nspec: {selector: {app: \
                  echo}, ports: [{name: http, port: 80, targetPort: 8080}]}\n";
    let mut backends = Vec::new();
    for place in 0..10_u8 {
        let name = format!("echo-{place}");
        backends.push(Backend::http(block.addr(130 + place, 8080), &name));
        manifests += &format!(
            "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, labels: {{app: \
             echo}}}}\nstatus: {{podIP: NET.{}, phase: Running, conditions: [{{type: Ready, status: \
             \"True\"}}]}}\n",
            130 + place
        );
    }
    let site = Site::start_in(block, &manifests, |_| {});
    let mut client = Client::connect(site.http());
    let pods: std::collections::BTreeSet<String> = (0..100)
        .map(|_| client.get("a.test", "/x").json()["pod"].as_str().expect("a pod").to_owned())
        .collect();
    assert_eq!(pods.len(), 10, "{pods:?}");
}

#[test]
fn an_ingress_of_another_or_an_unknown_class_is_not_served_as_in_scenario_8() {
    let (site, _backends) = site(
        &["echo"],
        r#"
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: other}
spec: {controller: example.com/other}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: foreign}
spec:
  ingressClassName: other
  defaultBackend: {service: {name: echo, port: {name: http}}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: invalid}
spec:
  ingressClassName: some-invalid-class-name
  defaultBackend: {service: {name: echo, port: {name: http}}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: ours}
spec:
  ingressClassName: rutter
  rules:
  - host: ours.test
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: echo, port: {name: http}}}}]}
"#,
    );
    assert_eq!(answer(&site, "elsewhere.test", "/x"), "404");
    assert_eq!(answer(&site, "ours.test", "/x"), "echo");
}

#[test]
fn failures_say_why_in_status_and_body() {
    let (site, backends) = site(
        &["up", "down"],
        &(ingress(&[
            path_rule("Prefix", "/none", "missing"),
            path_rule("Prefix", "/empty", "empty"),
            path_rule("Prefix", "/down", "down"),
        ]) + "---\napiVersion: v1\nkind: Service\nmetadata: {name: empty}\nspec: {selector: {app: \
              nobody}, ports: [{name: http, port: 80}]}\n"),
    );
    drop(backends);
    let rows = [
        ("/elsewhere", 404, "no_route"),
        ("/none", 503, "no_service"),
        ("/empty", 503, "no_ready_endpoint"),
        ("/down", 502, "connect_refused"),
    ];
    for (path, status, reason) in rows {
        let response = http::get(site.http(), "a.test", path);
        assert_eq!(response.status, status, "{path}");
        assert!(response.text().contains(reason), "{path}: {}", response.text());
    }
}
