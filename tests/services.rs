//! Services of every type over real sockets, as a client sees them.

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};

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
    let snapshot = site.handle.snapshot().load();
    let balanced =
        snapshot.listeners.keys().find(|key| key.addr.port() == 81 && is_pooled(key.addr));
    assert_eq!(http(balanced.expect("an address of the pool").addr), "web-0");
}

fn is_pooled(addr: SocketAddr) -> bool {
    matches!(addr.ip(), std::net::IpAddr::V4(ip) if (64..96).contains(&ip.octets()[3]))
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
    let address = |site: &Site| {
        let snapshot = site.handle.snapshot().load();
        let addr = |listener: &rutter::snapshot::ListenerSpec| {
            let rutter::snapshot::Serve::Frontend(frontend) = &listener.serve else { return None };
            (&*frontend.owner.key.name == "web").then_some(listener.key.addr)
        };
        snapshot.listeners.values().find_map(|listener| addr(listener)).expect("an address")
    };
    let before = address(&site);
    for place in 0..20 {
        site.save("more.yaml", &service(&format!("more-{place}"), "ports: [{port: 80}]"));
        assert_eq!(address(&site), before);
    }
}
