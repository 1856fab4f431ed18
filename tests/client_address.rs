//! Whose address pods see with `--keep-client-address`, across machines that are network namespaces.

mod common;

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::process::Command;

use common::PATIENCE;
use common::backend::Backend;
use common::netns::{Namespace, Rutter, as_root};

/// Three Services of the pod B, and one of the pod A.
const MANIFESTS: &str = r#"
apiVersion: v1
kind: Service
metadata: {name: local}
spec: {type: LoadBalancer, clusterIP: 10.96.1.1, externalTrafficPolicy: Local, ports: [{name: web, port: 80}, {name: dns, port: 53, protocol: UDP}]}
status: {loadBalancer: {ingress: [{ip: 198.51.100.1}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: local, labels: {kubernetes.io/service-name: local}}
addressType: IPv4
ports: [{name: web, port: 8080}, {name: dns, port: 8080, protocol: UDP}]
endpoints: [{addresses: [10.1.2.2], nodeName: node-a}]
---
apiVersion: v1
kind: Service
metadata: {name: cluster}
spec: {type: LoadBalancer, clusterIP: 10.96.1.2, ports: [{name: web, port: 80}, {name: dns, port: 53, protocol: UDP}]}
status: {loadBalancer: {ingress: [{ip: 198.51.100.2}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: cluster, labels: {kubernetes.io/service-name: cluster}}
addressType: IPv4
ports: [{name: web, port: 8080}, {name: dns, port: 8080, protocol: UDP}]
endpoints: [{addresses: [10.1.2.2], nodeName: node-a}]
---
apiVersion: v1
kind: Service
metadata: {name: itself}
spec: {clusterIP: 10.96.1.3, ports: [{name: web, port: 80}, {name: dns, port: 53, protocol: UDP}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: itself, labels: {kubernetes.io/service-name: itself}}
addressType: IPv4
ports: [{name: web, port: 8080}, {name: dns, port: 8080, protocol: UDP}]
endpoints: [{addresses: [10.1.1.2], nodeName: node-a}]
---
apiVersion: v1
kind: Service
metadata: {name: six}
spec: {clusterIP: "fd00:96::1", ipFamilies: [IPv6], ports: [{name: web, port: 80}, {name: dns, port: 53, protocol: UDP}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: six, labels: {kubernetes.io/service-name: six}}
addressType: IPv6
ports: [{name: web, port: 8080}, {name: dns, port: 8080, protocol: UDP}]
endpoints: [{addresses: ["fd00:2::2"], nodeName: node-a}]
"#;

/// The address that the pod sees.
fn seen(at: &str) -> IpAddr {
    let addr: SocketAddr = at.parse().expect("an address");
    let mut stream =
        TcpStream::connect_timeout(&addr, PATIENCE).unwrap_or_else(|error| panic!("{at}: {error}"));
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    let request =
        b"GET / HTTP/1.1\r\nHost: h\r\nAccept: application/json\r\nConnection: close\r\n\r\n";
    stream.write_all(request).expect("it must be sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a response");
    let told: serde_json::Value = serde_json::from_str(body).expect("JSON");
    let client: SocketAddr = told["client"].as_str().expect("text").parse().expect("an address");
    client.ip()
}

/// The same over UDP, where answers come back by the same way.
fn seen_by_udp(at: &str) -> SocketAddr {
    let addr: SocketAddr = at.parse().expect("an address");
    let any = if addr.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let client = UdpSocket::bind(any).expect("a socket");
    client.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    client.connect(addr).expect("a route");
    client.send(b"who am I?").expect("to be sent");
    let mut answer = [0; 100];
    let length = client.recv(&mut answer).unwrap_or_else(|error| panic!("{at}: {error}"));
    let text = String::from_utf8_lossy(&answer[..length]);
    let seen: SocketAddr = text.parse().expect("an address");
    let own = client.local_addr().expect("an address");
    // who keeps the address keeps the port
    assert_eq!(seen.ip() == own.ip(), seen == own, "{seen} of {own}");
    seen
}

/// Answers datagrams with the address that they come from, until the test ends.
fn telling(addr: SocketAddr) {
    let socket = UdpSocket::bind(addr).expect("an address");
    std::thread::spawn(move || {
        while let Ok((_, from)) = socket.recv_from(&mut [0; 100]) {
            let _ = socket.send_to(from.to_string().as_bytes(), from);
        }
    });
}

/// The node, with a cable to each of the pods A and B and to the outside.
fn machines() -> [Namespace; 4] {
    let [node, a, b, outside] = [(); 4].map(|()| Namespace::new());
    for machine in [&node, &a, &b] {
        // link-local addresses too: neighbours are asked from them
        machine.sysctl("ipv6/conf/default/accept_dad", "0");
    }
    node.join(("pod-a", "10.1.1.1/24"), &a, ("eth0", "10.1.1.2/24"));
    node.join(("pod-b", "10.1.2.1/24"), &b, ("eth0", "10.1.2.2/24"));
    node.join(("net", "192.168.0.1/24"), &outside, ("eth0", "192.168.0.9/24"));
    for (pod, number) in [(&a, 1), (&b, 2)] {
        node.ip(&format!(
            "address add fd00:{number}::1/64 dev pod-{} nodad",
            ["", "a", "b"][number]
        ));
        pod.ip(&format!("address add fd00:{number}::2/64 dev eth0 nodad"));
        pod.ip(&format!("-6 route add default via fd00:{number}::1"));
        pod.ip(&format!("route add default via 10.1.{number}.1"));
    }
    outside.ip("route add default via 192.168.0.1");
    for network in ["10.96.0.0/16", "198.51.100.0/24"] {
        node.ip(&format!("route add local {network} dev lo"));
    }
    node.ip("address add fd00:96::1/128 dev lo nodad");
    // what pods answer to clients comes back to rutter
    for (family, any) in [("-4", "0.0.0.0/0"), ("-6", "::/0")] {
        node.ip(&format!("{family} rule add iif pod-a lookup 100"));
        node.ip(&format!("{family} rule add iif pod-b lookup 100"));
        node.ip(&format!("{family} route add local {any} dev lo table 100"));
    }
    [node, a, b, outside]
}

#[test]
fn pods_see_the_address_of_the_client_where_kube_proxy_would_keep_it() {
    as_root("pods_see_the_address_of_the_client_where_kube_proxy_would_keep_it", || {
        let [node, a, b, outside] = machines();
        let addr = |ip: &str| SocketAddr::new(ip.parse().expect("an address"), 8080);
        let _pods = [
            a.run(|| Backend::http(addr("10.1.1.2"), "a")),
            b.run(|| Backend::http(addr("10.1.2.2"), "b")),
            b.run(|| Backend::http(addr("fd00:2::2"), "b")),
        ];
        a.run(|| telling(addr("10.1.1.2")));
        b.run(|| telling(addr("10.1.2.2")));
        b.run(|| telling(addr("fd00:2::2")));
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("main.yaml"), MANIFESTS).expect("a file");
        let manifests = format!("--manifests={}", dir.path().display());
        let _rutter = Rutter::start(
            &node,
            &[
                &manifests,
                "--keep-client-address=on",
                "--service-cidr=10.96.0.0/16,fd00:96::/112",
                "--pod-cidr=10.1.0.0/16,fd00:1::/64,fd00:2::/64",
                "--node-ip=192.168.0.1",
                "--node-name=node-a",
                "--dns-listen=off",
                "--workers=2",
            ],
        );
        let rows = [
            (&outside, "198.51.100.1:80", "192.168.0.9"),
            (&outside, "198.51.100.2:80", "10.1.2.1"),
            (&a, "10.96.1.1:80", "10.1.1.2"),
            (&a, "10.96.1.2:80", "10.1.1.2"),
            (&a, "10.96.1.3:80", "10.1.1.1"),
            (&node, "10.96.1.1:80", "10.1.2.1"),
            (&a, "[fd00:96::1]:80", "fd00:1::2"),
        ];
        for (client, at, expected) in rows {
            for _ in 0..3 {
                assert_eq!(client.run(|| seen(at)).to_string(), expected, "{at}");
            }
            let at = at.replace(":80", ":53");
            for _ in 0..3 {
                let seen = client.run(|| seen_by_udp(&at));
                assert_eq!(seen.ip().to_string(), expected, "{at} over UDP");
            }
        }
    });
}

#[test]
fn who_may_not_keep_the_address_of_clients_is_told_at_the_start() {
    // root there, and nobody in the network of this machine
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user"]).arg(common::rutter()).args(["run", "-m"]);
    command.args([concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/types/in.yaml")]);
    command.args(["--keep-client-address=on", "--http-port=off", "--https-port=off"]);
    let output = command.args(["--dns-listen=off", "--admin=off"]).output().expect("unshare");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    assert!(
        said.contains("cannot keep the addresses of clients (--keep-client-address)"),
        "{said}"
    );
    assert!(said.contains("CAP_NET_ADMIN"), "{said}");
}
