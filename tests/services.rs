//! Services of every type over real sockets, as a client sees them.

mod common;

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;

use common::backend::Backend;
use common::http;
use common::{Block, PATIENCE, Site};

fn pod(name: &str, last: u8, ports: &str, ready: bool) -> String {
    let ready = if ready { "True" } else { "False" };
    format!(
        "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, labels: {{app: \
         echo}}}}\nspec: {{containers: [{{name: c, ports: [{ports}]}}]}}\nstatus: {{podIP: \
         NET.{last}, phase: Running, conditions: [{{type: Ready, status: \"{ready}\"}}]}}\n"
    )
}

fn service(name: &str, spec: &str) -> String {
    format!("---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{{spec}}}\n")
}

#[track_caller]
fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&addr, PATIENCE).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    stream
}

/// What comes back for bytes that are followed by the end of the stream.
#[track_caller]
fn exchange(addr: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = connect(addr);
    stream.write_all(bytes).expect("to be sent");
    stream.shutdown(Shutdown::Write).expect("a half-close");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    answer
}

/// Whether the kernel refuses a connection (ECONNREFUSED), as kube-proxy's rules do.
fn is_refused(addr: SocketAddr) -> bool {
    let connected = TcpStream::connect_timeout(&addr, PATIENCE);
    connected.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

fn ask(addr: SocketAddr, question: &[u8]) -> Option<(Vec<u8>, SocketAddr)> {
    let socket = UdpSocket::bind((addr.ip(), 0)).expect("a socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    socket.send_to(question, addr).expect("to be sent");
    let mut answer = [0; 1500];
    let (length, from) = socket.recv_from(&mut answer).ok()?;
    Some((answer[..length].to_vec(), from))
}

#[test]
fn every_type_of_service_reaches_its_pods() {
    let block = Block::claim();
    let _pods = [
        Backend::http(block.addr(130, 8080), "web-0"),
        Backend::tcp(block.addr(130, 7)),
        Backend::udp(block.addr(130, 7)),
    ];
    let manifests = pod(
        "web-0",
        130,
        "{name: http, containerPort: 8080}, {name: echo, containerPort: 7}, {name: echo-udp, \
         containerPort: 7, protocol: UDP}",
        true,
    ) + &service(
        "cluster",
        "clusterIP: NET.20, selector: {app: echo}, ports: [{name: web, port: 80, targetPort: http}, \
         {name: echo, port: 7, targetPort: echo}, {name: echo-udp, port: 7, protocol: UDP, \
         targetPort: echo-udp}]",
    ) + &service(
        "node",
        "type: NodePort, selector: {app: echo}, ports: [{port: 80, targetPort: http, nodePort: \
         30080}]",
    ) + &service(
        "balanced",
        "type: LoadBalancer, selector: {app: echo}, ports: [{port: 81, targetPort: http}]",
    ) + &service(
        "given",
        "type: LoadBalancer, externalIPs: [NET.99], selector: {app: echo}, ports: [{port: 82, \
         targetPort: 8080}]",
    );
    let site = Site::start_in(block, &manifests, |_| {});
    let http = |addr| http::get(addr, "any", "/x").json()["pod"].clone();
    assert_eq!(http(site.block.addr(20, 80)), "web-0");
    assert_eq!(exchange(site.block.addr(20, 7), b"hello"), b"hello");
    let (answer, from) = ask(site.block.addr(20, 7), b"hello").expect("an answer");
    assert_eq!((answer.as_slice(), from), (b"hello".as_slice(), site.block.addr(20, 7)));
    assert_eq!(http(site.block.addr(2, 30080)), "web-0");
    assert_eq!(http(site.block.addr(99, 82)), "web-0");
    let addresses = site.frontends("default", "balanced");
    let balanced = addresses.into_iter().find(|addr| is_pooled(*addr));
    assert_eq!(http(balanced.expect("an address of the pool")), "web-0");
}

fn is_pooled(addr: SocketAddr) -> bool {
    matches!(addr.ip(), std::net::IpAddr::V4(ip) if (64..96).contains(&ip.octets()[3]))
}

#[test]
fn ranges_of_ports_lead_to_the_same_ports_of_pods() {
    let block = Block::claim();
    let _pods = [
        Backend::http(block.addr(130, 8080), "media-0"),
        Backend::tcp(block.addr(130, 30_001)),
        Backend::udp(block.addr(130, 30_001)),
        Backend::udp(block.addr(130, 30_002)),
        Backend::udp(block.addr(131, 30_002)),
    ];
    let media = |ranges: &str| {
        service(
            "media",
            "clusterIP: NET.20, selector: {app: echo}, ports: [{port: 30000, targetPort: 8080}]",
        )
        .replace(
            "name: media",
            &format!("name: media, annotations: {{rutter.dev/port-ranges: '{ranges}'}}"),
        )
    };
    let pods = |first: bool| pod("media-0", 130, "", first) + &pod("media-1", 131, "", !first);
    let all = "tcp:30000-30003, udp:30001-30003";
    let site = Site::start_in(block, &(media(all) + &pods(true)), |_| {});
    let at = |port| site.block.addr(20, port);
    assert_eq!(http::get(at(30_000), "any", "/x").json()["pod"], "media-0", "the port of the spec");
    assert_eq!(exchange(at(30_001), b"hello"), b"hello");
    for port in [30_001, 30_002] {
        let (answer, from) = ask(at(port), b"hello").expect("an answer");
        assert_eq!((answer.as_slice(), from), (b"hello".as_slice(), at(port)));
    }
    assert!(is_refused(at(30_004)), "beyond the range");

    // a flow goes on with the pod that is there, at the same port
    let client = UdpSocket::bind((site.block.ip(1), 0)).expect("a socket");
    client.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    client.connect(at(30_002)).expect("an address");
    let mut answer = [0; 16];
    let mut is_answered = || {
        client.send(b"hello").expect("to be sent");
        client.recv(&mut answer).is_ok_and(|length| length == 5)
    };
    assert!(is_answered());
    for first in [false, true] {
        site.save("main.yaml", &(media(all) + &pods(first)));
        assert!(is_answered());
    }

    site.save("main.yaml", &(media("udp:30002") + &pods(true)));
    assert!(is_refused(at(30_001)), "no longer in a range");
    assert!(ask(at(30_002), b"hello").is_some());
}

#[test]
fn a_service_without_a_ready_pod_refuses_at_once() {
    let manifests = pod("web-0", 130, "{containerPort: 7}", false)
        + &service("cluster", "clusterIP: NET.20, selector: {app: echo}, ports: [{port: 7}]");
    let site = Site::start(&manifests);
    assert!(is_refused(site.block.addr(20, 7)));
}

#[test]
fn a_udp_service_without_a_ready_pod_refuses_at_once() {
    let block = Block::claim();
    let _pod = Backend::udp(block.addr(130, 7));
    let ports = "{containerPort: 7, protocol: UDP}";
    let manifests = pod("web-0", 130, ports, false)
        + &service(
            "cluster",
            "clusterIP: NET.20, selector: {app: echo}, ports: [{port: 7, protocol: UDP}]",
        );
    let site = Site::start_in(block, &manifests, |_| {});
    let vip = site.block.addr(20, 7);
    let client = UdpSocket::bind((vip.ip(), 0)).expect("a socket");
    client.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    client.connect(vip).expect("an address");
    client.send(b"hello").expect("to be sent");
    let error = client.recv(&mut [0; 9]).expect_err("nobody answers");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    let ready = manifests.replace("\"False\"", "\"True\"");
    site.save("main.yaml", &ready);
    assert!(ask(vip, b"hello").is_some(), "the pod is ready now");
}

#[test]
fn a_pod_that_becomes_ready_is_used_and_one_that_goes_is_not() {
    let block = Block::claim();
    let _pod = Backend::tcp(block.addr(130, 7));
    let cluster =
        service("cluster", "clusterIP: NET.20, selector: {app: echo}, ports: [{port: 7}]");
    let site = Site::start_in(block, &cluster, |_| {});
    let vip = site.block.addr(20, 7);
    assert!(is_refused(vip));
    site.save("pod.yaml", &pod("web-0", 130, "{containerPort: 7}", true));
    let mut kept = connect(vip);
    kept.write_all(b"x").expect("to be sent");
    site.remove("pod.yaml");
    assert!(is_refused(vip));
    let mut byte = [0];
    kept.read_exact(&mut byte).expect("an established session must live on");
    assert_eq!(&byte, b"x");
}

#[test]
fn a_pod_that_refuses_is_passed_over() {
    let block = Block::claim();
    let _pod = Backend::tcp(block.addr(131, 7));
    let manifests = pod("dead", 130, "{containerPort: 7}", true)
        + &pod("alive", 131, "{containerPort: 7}", true)
        + &service("cluster", "clusterIP: NET.20, selector: {app: echo}, ports: [{port: 7}]");
    let site = Site::start_in(block, &manifests, |_| {});
    for _ in 0..20 {
        assert_eq!(exchange(site.block.addr(20, 7), b"on"), b"on");
    }
}

#[test]
fn an_end_stays_an_end_and_a_reset_a_reset_in_both_directions() {
    let block = Block::claim();
    let pods = TcpListener::bind(block.addr(130, 7)).expect("a pod");
    let manifests = pod("web-0", 130, "{containerPort: 7}", true)
        + &service("cluster", "clusterIP: NET.20, selector: {app: echo}, ports: [{port: 7}]");
    let site = Site::start_in(block, &manifests, |_| {});
    let session = || {
        let mut client = connect(site.block.addr(20, 7));
        client.write_all(b"a").expect("to be sent");
        let (mut pod, _) = pods.accept().expect("the session");
        pod.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        pod.read_exact(&mut [0]).expect("the byte");
        (client, pod)
    };
    let (client, mut pod) = session();
    reset(client);
    let error = pod.read(&mut [0]).expect_err("a reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);

    let (mut client, pod) = session();
    reset(pod);
    let error = client.read(&mut [0]).expect_err("a reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);

    let (mut client, mut pod) = session();
    client.shutdown(Shutdown::Write).expect("a half-close");
    assert_eq!(pod.read(&mut [0]).expect("an end"), 0);
    pod.write_all(b"late").expect("the other half must be open");
    pod.shutdown(Shutdown::Write).expect("an end");
    let mut late = String::new();
    client.read_to_string(&mut late).expect("what came after the half-close");
    assert_eq!(late, "late");
}

fn reset(stream: TcpStream) {
    socket2::SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO)).expect("an option");
    drop(stream);
}

#[test]
fn ports_are_added_and_removed_live() {
    let block = Block::claim();
    let _pod = Backend::tcp(block.addr(130, 7));
    let with = |ports: &str| {
        pod("web-0", 130, "{containerPort: 7}", true)
            + &service(
                "cluster",
                &format!("clusterIP: NET.20, selector: {{app: echo}}, ports: [{ports}]"),
            )
    };
    let first = "{name: a, port: 1001, targetPort: 7}";
    let both = format!("{first}, {{name: b, port: 1002, targetPort: 7}}");
    let site = Site::start_in(block, &with(first), |_| {});
    let (a, b) = (site.block.addr(20, 1001), site.block.addr(20, 1002));
    assert!(is_refused(b));
    site.save("main.yaml", &with(&both));
    assert_eq!(exchange(b, b"new"), b"new");
    site.save("main.yaml", &with("{name: b, port: 1002, targetPort: 7}"));
    assert!(is_refused(a));
    assert_eq!(exchange(b, b"kept"), b"kept");
}

#[test]
fn a_virtual_address_is_stable_between_runs_and_unmoved_by_others() {
    let block = Block::claim();
    let web = service("web", "ports: [{port: 80}]");
    let site = Site::start_in(block, &web, |_| {});
    let addresses = || site.frontends("default", "web");
    let before = addresses();
    assert_eq!(before.len(), 1);
    for place in 0..20 {
        site.save("more.yaml", &service(&format!("more-{place}"), "ports: [{port: 80}]"));
        assert_eq!(addresses(), before);
    }
}

#[test]
fn requests_of_one_connection_are_spread_where_a_service_asks_for_it() {
    let block = Block::claim();
    let _pods =
        [130, 131].map(|last| Backend::http(block.addr(last, 8080), &format!("web-{last}")));
    let manifests = pod("web-130", 130, "{name: http, containerPort: 8080}", true)
        + &pod("web-131", 131, "{name: http, containerPort: 8080}", true)
        + &service(
            "spread",
            "clusterIP: NET.20, selector: {app: echo}, ports: [{name: web, port: 80, targetPort: \
             http, appProtocol: kubernetes.io/h2c}]",
        )
        .replace("name: spread", "name: spread, annotations: {rutter.dev/balance: request}")
        + &service(
            "pinned",
            "clusterIP: NET.21, selector: {app: echo}, ports: [{name: web, port: 80, targetPort: \
             http, appProtocol: kubernetes.io/h2c}]",
        );
    let site = Site::start_in(block, &manifests, |_| {});
    for (last, expected) in [(20, 2), (21, 1)] {
        let addr = site.block.addr(last, 80);
        // curl 7.88 cannot use a connection of this kind twice
        let program = format!(
            "import httpx\nwith httpx.Client(http1=False, http2=True) as client:\n  for n in \
             range(8): print(client.get(f'http://{addr}/{{n}}').json()['pod'])"
        );
        let output = Command::new("/usr/bin/python3")
            .args(["-c", &program])
            .output()
            .expect("python3 is needed: apt-get install python3-httpx python3-h2");
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8_lossy(&output.stdout);
        let pods: BTreeSet<&str> = text.lines().collect();
        assert_eq!((pods.len(), text.lines().count()), (expected, 8), "{text}");
    }
    let over_http1 = http::get(site.block.addr(20, 80), "any.example", "/x");
    assert_eq!(over_http1.status, 200, "HTTP/1 goes there too");
}
