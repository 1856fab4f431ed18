//! What annotations and policies say of the endpoints of a Service, over real sockets: who gets which
//! requests, how many, and what becomes of those that fail.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use common::http::{Client, Response, connect_from};
use common::{Block, Options, Site, block_on, until};
use tokio::time::Instant;

/// A pod that answers as it is told by the first line and the fields of a request; `None`: it closes.
struct Pod {
    addr: SocketAddr,
    seen: Arc<AtomicUsize>,
    stopped: Arc<AtomicBool>,
}

type Act = dyn Fn(&str) -> Option<String> + Send + Sync;

impl Pod {
    fn start(
        addr: SocketAddr,
        act: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(addr).expect("the pod's address must be free");
        let pod = Self { addr, seen: Arc::default(), stopped: Arc::default() };
        let (seen, stopped) = (pod.seen.clone(), pod.stopped.clone());
        let act: Arc<Act> = Arc::new(act);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                let (seen, act) = (seen.clone(), act.clone());
                let stream = BufReader::new(stream.expect("a connection"));
                std::thread::spawn(move || serve(stream, &seen, &*act));
            }
        });
        pod
    }

    /// Answers with its name.
    fn named(addr: SocketAddr) -> Self {
        Self::start(addr, move |_| Some(named(addr)))
    }

    /// The same, after `delay`.
    fn slow(addr: SocketAddr, delay: Duration) -> Self {
        Self::start(addr, move |_| {
            block_on(async { tokio::time::sleep(delay).await });
            Some(named(addr))
        })
    }

    /// Reads requests and closes.
    fn closing(addr: SocketAddr) -> Self {
        Self::start(addr, |_| None)
    }

    fn seen(&self) -> usize {
        self.seen.load(Ordering::Relaxed)
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.addr);
    }
}

fn named(addr: SocketAddr) -> String {
    let pod = addr.ip().to_string();
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{pod}", pod.len())
}

fn serve(mut stream: BufReader<TcpStream>, seen: &AtomicUsize, act: &Act) -> Option<()> {
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let length = stream.read_line(&mut head).ok()?;
            (length > 0).then_some(())?;
        }
        seen.fetch_add(1, Ordering::Relaxed);
        stream.get_mut().write_all(act(&head)?.as_bytes()).ok()?;
    }
}

/// A Service `web` with these annotations and endpoints, behind an Ingress.
fn manifests(annotations: &str, endpoints: &[&str]) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: web, annotations: \
         {{{annotations}}}}}\nspec: {{ports: [{{port: 80}}]}}\n---\napiVersion: \
         discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: web, labels: \
         {{kubernetes.io/service-name: web}}}}\naddressType: IPv4\nports: [{{port: \
         8080}}]\nendpoints: [{}]\n---\napiVersion: networking.k8s.io/v1\nkind: \
         Ingress\nmetadata: {{name: web}}\nspec: {{defaultBackend: {{service: {{name: web, port: \
         {{number: 80}}}}}}}}\n",
        endpoints.join(", ")
    )
}

const THREE: [&str; 3] =
    ["{addresses: [NET.130]}", "{addresses: [NET.131]}", "{addresses: [NET.132]}"];

/// Three pods, and a site with these annotations of their Service.
fn three(annotations: &str) -> (Site, Vec<Pod>) {
    let block = Block::claim();
    let pods = named_pods(&block);
    (Site::start_in(block, &manifests(annotations, &THREE), |_| {}), pods)
}

fn named_pods(block: &Block) -> Vec<Pod> {
    (130..133).map(|last| Pod::named(block.addr(last, 8080))).collect()
}

fn get(client: &mut Client, fields: &str) -> Response {
    client.send(format!("GET / HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n").as_bytes());
    client.response().expect("an answer")
}

/// Which pod answers a request with these fields on a connection of its own.
fn pod_of(site: &Site, fields: &str) -> String {
    let answer = get(&mut Client::connect(site.http()), fields);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text()
}

/// How many of `count` requests on one connection each pod answered.
fn shares(site: &Site, count: usize) -> BTreeMap<String, usize> {
    let (mut client, mut shares) = (Client::connect(site.http()), BTreeMap::new());
    for _ in 0..count {
        *shares.entry(get(&mut client, "").text()).or_default() += 1;
    }
    shares
}

/// What a counter or gauge has, all its labels together.
fn metric(site: &Site, series: &str) -> f64 {
    let metrics = site.ask("/metrics").text();
    let lines = metrics.lines().filter(|line| line.starts_with(series));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

#[test]
fn rounds_are_even() {
    let (site, _pods) = three("rutter.dev/load-balancer: round-robin");
    let shares = shares(&site, 30);
    assert_eq!(shares.into_values().collect::<Vec<_>>(), [10, 10, 10]);
}

#[test]
fn an_endpoint_that_is_busy_or_slow_gets_less() {
    // so slow that the other one is quicker on a busy machine too
    for (algorithm, delay, most) in [("peak-ewma", 1_000, 20), ("least-request", 100, 80)] {
        let block = Block::claim();
        let slow = Pod::slow(block.addr(130, 8080), Duration::from_millis(delay));
        let quick = Pod::named(block.addr(131, 8080));
        let annotation = format!("rutter.dev/load-balancer: {algorithm}");
        let site = Site::start_in(block, &manifests(&annotation, &THREE[..2]), |_| {});
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| shares(&site, 50));
            }
        });
        assert_eq!(slow.seen() + quick.seen(), 200);
        assert!(slow.seen() <= most, "{algorithm}: {} of 200", slow.seen());
    }
}

/// A value of the key, as the fields of a request or the address of a client.
fn hashed(site: &Site, key: &str, value: u8) -> String {
    match key {
        "header:x-user" => pod_of(site, &format!("X-User: user-{value}\r\n")),
        "cookie:user" => pod_of(site, &format!("Cookie: a=b; user=user-{value}\r\n")),
        _ => {
            let stream = connect_from(site.block.ip(150 + value), site.http());
            let answer = Client::of(stream.expect("a connection")).get("a.test", "/");
            assert_eq!(answer.status, 200, "{}", answer.text());
            answer.text()
        }
    }
}

#[test]
fn a_key_stays_with_its_endpoint_and_only_those_of_one_that_goes_move() {
    for key in ["header:x-user", "cookie:user", "source"] {
        let annotations =
            format!("rutter.dev/load-balancer: maglev, rutter.dev/hash-on: \"{key}\"");
        let (site, _pods) = three(&annotations);
        let ask = || (0..60).map(|value| hashed(&site, key, value)).collect::<Vec<_>>();
        let before = ask();
        assert_eq!(before.iter().collect::<BTreeSet<_>>().len(), 3, "{key}: all are used");
        assert_eq!(ask(), before, "{key}: on other connections, by whichever worker");
        site.save("main.yaml", &manifests(&annotations, &THREE[..2]));
        let gone = site.block.ip(132).to_string();
        let stay = |pod: &String| *pod != gone;
        let after = ask();
        assert!(after.iter().all(stay), "{key}: it is gone");
        let moved = before.iter().zip(&after).filter(|(old, new)| stay(old) && old != new).count();
        assert!(moved <= 3, "{key}: {moved} of 60 moved though their endpoint is there");
    }
}

#[test]
fn what_is_near_is_preferred_while_there_is_enough_of_it() {
    let block = Block::claim();
    let _pods = [130, 131].map(|last| Pod::named(block.addr(last, 8080)));
    let of = |last: u8, zone: &str, ready: bool| {
        format!(
            "{{addresses: [NET.{last}], zone: {zone}, conditions: {{ready: {ready}}}, hints: \
             {{forZones: [{{name: {zone}}}]}}}}"
        )
    };
    let with = |ready: bool| {
        let text = manifests("", &[&of(130, "here", ready), &of(131, "there", true)]);
        text.replace("spec: {ports", "spec: {trafficDistribution: PreferSameZone, ports")
    };
    let site = Site::start_in(block, &with(true), |options| options.set("zone", "here"));
    assert_eq!(shares(&site, 40), BTreeMap::from([(site.block.ip(130).to_string(), 40)]));
    site.save("main.yaml", &with(false));
    assert_eq!(shares(&site, 40), BTreeMap::from([(site.block.ip(131).to_string(), 40)]));
}

#[test]
fn an_endpoint_that_has_just_come_gets_its_share_by_and_by() {
    let annotations = "rutter.dev/load-balancer: round-robin, rutter.dev/slow-start: 10m";
    let block = Block::claim();
    let pods = named_pods(&block);
    // a worker that sends nothing to a Service does not notice who comes
    let one = |options: &mut Options| options.set("workers", 1);
    let site = Site::start_in(block, &manifests(annotations, &THREE), one);
    site.save("main.yaml", &manifests(annotations, &THREE[..2]));
    let before = pods[2].seen();
    shares(&site, 40);
    assert_eq!(pods[2].seen(), before, "it is gone");
    site.save("main.yaml", &manifests(annotations, &THREE));
    shares(&site, 300);
    let first = pods[2].seen() - before;
    assert!(first < 60, "{first} of 300 in its first seconds of ten minutes");
}

/// A request whose answer takes a while, on a connection of its own.
fn long(site: &Site) -> Client {
    let mut client = Client::connect(site.http());
    client.send(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    client
}

#[test]
fn beyond_its_limit_requests_wait_and_beyond_the_queue_they_are_refused() {
    for (limit, endpoints) in [("max-requests: \"2\"", 1), ("max-requests-per-endpoint: \"1\"", 2)]
    {
        let block = Block::claim();
        let pods = [130, 131].map(|last| Pod::slow(block.addr(last, 8080), Duration::from_secs(2)));
        let annotations = format!(
            "rutter.dev/{limit}, rutter.dev/max-queue: \"1\", rutter.dev/queue-timeout: 20s"
        );
        // one worker: they share what a limit allows
        let one = |options: &mut Options| options.set("workers", 1);
        let site = Site::start_in(block, &manifests(&annotations, &THREE[..endpoints]), one);
        let mut running = [long(&site), long(&site)];
        let seen = || pods.iter().map(Pod::seen).sum::<usize>();
        until("both to be sent", || seen() == 2);
        // one of them waits, and there is no room for the other
        let mut more = [long(&site), long(&site)];
        let answers =
            more.iter_mut().chain(&mut running).map(|it| it.response().expect("an answer"));
        let mut told: Vec<_> = answers
            .map(|it| (it.status, if it.status == 200 { String::new() } else { it.text() }))
            .collect();
        told.sort();
        let refused = (503, "rutter: 503 queue_full\n".to_owned());
        let well = (200, String::new());
        assert_eq!(told, [well.clone(), well.clone(), well, refused], "{limit}");
        assert_eq!(seen(), 3, "{limit}");
    }
}

#[test]
fn who_waits_too_long_is_told_so() {
    let block = Block::claim();
    let pod = Pod::slow(block.addr(130, 8080), Duration::from_secs(2));
    let annotations = "rutter.dev/max-requests: \"1\", rutter.dev/queue-timeout: 100ms";
    let site = Site::start_in(block, &manifests(annotations, &THREE[..1]), |options| {
        options.set("workers", 1);
    });
    let mut running = long(&site);
    until("the first to be sent", || pod.seen() == 1);
    let refused = get(&mut Client::connect(site.http()), "");
    assert_eq!(refused.text(), "rutter: 503 queue_timeout\n");
    assert_eq!(running.response().expect("an answer").status, 200);
}

#[test]
fn an_endpoint_that_fails_costs_no_get_and_is_passed_over_soon() {
    let block = Block::claim();
    let bad = Pod::closing(block.addr(130, 8080));
    let _good = [131, 132].map(|last| Pod::named(block.addr(last, 8080)));
    let annotations = "rutter.dev/load-balancer: round-robin";
    let site = Site::start_in(block, &manifests(annotations, &THREE), |options| {
        options.set("workers", 1);
    });
    let (mut client, begun) = (Client::connect(site.http()), Instant::now());
    for _ in 0..60 {
        let answer = get(&mut client, "");
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    // three resets in a row; it is asked again after a second
    let most = 3 + 3 * (begun.elapsed().as_secs() as usize + 1);
    assert!((3..=most).contains(&bad.seen()), "{} requests", bad.seen());
    assert!(metric(&site, "rutter_endpoint_ejections_total") >= 1.0);
    assert!(metric(&site, "rutter_http_retries_total") >= 3.0);
}

#[test]
fn a_service_that_fails_altogether_is_sent_a_fifth_of_retries_at_most_and_no_post_twice() {
    let block = Block::claim();
    let pods: Vec<_> = (130..133).map(|last| Pod::closing(block.addr(last, 8080))).collect();
    let site = Site::start_in(block, &manifests("", &THREE), |options| options.set("workers", 1));
    let mut client = Client::connect(site.http());
    let mut ask = |method: &str, count: usize, statuses: &[u16]| {
        let begun = Instant::now();
        for _ in 0..count {
            let fields = "Host: a.test\r\nContent-Length: 0\r\n\r\n";
            client.send(format!("{method} / HTTP/1.1\r\n{fields}").as_bytes());
            let answer = client.response().expect("an answer");
            assert!(statuses.contains(&answer.status), "{}", answer.text());
        }
        begun.elapsed().as_secs() as usize
    };
    let seen = || pods.iter().map(Pod::seen).sum::<usize>();
    assert!(ask("POST", 50, &[502]) < 20);
    assert_eq!(seen(), 50, "a POST may have been run");
    // 503: that there is no retry left is told where it is why
    let seconds = ask("GET", 500, &[502, 503]);
    let retries = seen() - 550;
    // with them 687 are sent, and 137 of those are a fifth
    let most = 137 + 10 * (seconds + 1);
    assert!((1..=most).contains(&retries), "{retries} retries in {seconds} s");
}

#[test]
fn endpoints_that_do_not_answer_checks_get_nothing() {
    for check in ["tcp", "http:/healthz", "grpc"] {
        let block = Block::claim();
        let annotations = format!(
            "rutter.dev/health-check: \"{check}\", rutter.dev/health-check-interval: 100ms, \
             rutter.dev/load-balancer: round-robin"
        );
        let well = common::backend::Backend::http(block.addr(130, 8080), "well");
        // nobody listens there; and what is no HTTP/2 is no gRPC either
        let ill = (check != "tcp").then(|| Pod::closing(block.addr(131, 8080)));
        let site = Site::start_in(block, &manifests(&annotations, &THREE[..2]), |_| {});
        let failed =
            "rutter_endpoint_checks_total{service=\"default/web\",port=\"80\",result=\"failed\"}";
        until("three failed checks", || metric(&site, failed) >= 3.0);
        let before = metric(&site, "rutter_http_retries_total");
        let mut client = Client::connect(site.http());
        for _ in 0..20 {
            assert_eq!(client.get("a.test", "/x").json()["pod"], "well", "{check}");
        }
        assert_eq!(metric(&site, "rutter_http_retries_total"), before, "{check}: none was tried");
        drop((well, ill));
    }
}

const ROUTE: &str = "\
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: rutter}
spec: {controllerName: rutter.dev/gateway-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gw}
spec:
  gatewayClassName: rutter
  addresses: [{type: IPAddress, value: NET.2}]
  listeners: [{name: http, port: 8000, protocol: HTTP}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web}
spec:
  parentRefs: [{name: gw}]
  rules:
  - backendRefs: [{name: web, port: 80}]
    sessionPersistence: {sessionName: stay}
";

#[test]
fn a_client_with_the_cookie_stays_until_its_endpoint_goes() {
    let block = Block::claim();
    let _pods = named_pods(&block);
    let with = |endpoints| manifests("", endpoints) + ROUTE;
    let site = Site::start_in(block, &with(&THREE), |_| {});
    let gateway = site.block.addr(2, 8000);
    let ask = |cookie: &str| get(&mut Client::connect(gateway), cookie);
    let sessions: Vec<_> = (0..20).map(|_| ask("")).collect();
    let cookie = |answer: &Response| {
        let set = answer.header("set-cookie").expect("a cookie").to_owned();
        let (pair, attributes) = set.split_once("; ").expect("attributes");
        assert!(pair.starts_with("stay=") && attributes.contains("HttpOnly"), "{set}");
        format!("Cookie: {pair}\r\n")
    };
    for session in &sessions {
        for _ in 0..3 {
            assert_eq!(ask(&cookie(session)).text(), session.text());
        }
    }
    site.save("main.yaml", &with(&THREE[..2]));
    let gone = site.block.ip(132).to_string();
    for session in &sessions {
        let answer = ask(&cookie(session));
        match session.text() == gone {
            true => assert_ne!(answer.text(), gone),
            false => assert_eq!(answer.text(), session.text()),
        }
    }
}

#[test]
fn an_endpoint_is_told_of_the_client_by_the_proxy_protocol() {
    for version in ["v1", "v2"] {
        let annotations = format!("rutter.dev/proxy-protocol: {version}");
        let block = Block::claim();
        let pod = TcpListener::bind(block.addr(130, 8080)).expect("a free address");
        let site = Site::start_in(block, &manifests(&annotations, &THREE[..1]), |_| {});
        let stream = TcpStream::connect(site.http()).expect("a connection");
        let client = stream.local_addr().expect("an address");
        let mut client_side = Client::of(stream);
        client_side.send(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
        let (mut stream, _) = pod.accept().expect("a connection");
        let (from, to) = (client, site.http());
        let expected = match version {
            "v1" => {
                format!("PROXY TCP4 {} {} {} {}\r\n", from.ip(), to.ip(), from.port(), to.port())
                    .into_bytes()
            }
            _ => [
                b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".as_slice(),
                &octets(from.ip()),
                &octets(to.ip()),
                &from.port().to_be_bytes(),
                &to.port().to_be_bytes(),
            ]
            .concat(),
        };
        let mut header = vec![0; expected.len()];
        stream.read_exact(&mut header).expect("a header");
        assert_eq!(header, expected, "{version}");
        let mut rest = [0; 5];
        stream.read_exact(&mut rest).expect("a request");
        assert_eq!(&rest, b"GET /", "{version}");
    }
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().into(),
        IpAddr::V6(ip) => ip.octets().into(),
    }
}
