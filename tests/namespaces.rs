//! Services across machines: a node with its pods, and strangers, each in a network namespace.
//! What clients see of every policy, with real sockets.

mod common;

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use common::PATIENCE;
use common::backend::Backend;
use common::netns::{Namespace, Rutter, as_root};
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;
use tokio::time::Instant;

/// Where the node is for pods, and for strangers.
const NODE: [&str; 2] = ["10.1.0.1", "192.168.0.1"];
/// An address of the node that no option names.
const SECOND: &str = "192.168.7.1";

/// The node has a pod of the network 10.1.0.0/16. Whatever else there is, is at the other end of
/// another cable: strangers, and a pod of another node, 10.2.0.2.
struct World {
    node: Namespace,
    pod: Namespace,
    outside: Namespace,
    _rutter: Rutter,
    _pods: Vec<Backend>,
    _manifests: TempDir,
}

impl World {
    fn new() -> Self {
        let (node, pod, outside) = (Namespace::new(), Namespace::new(), Namespace::new());
        node.join(("pods", "10.1.0.1/16"), &pod, ("eth0", "10.1.0.2/16"));
        node.join(("net", "192.168.0.1/24"), &outside, ("eth0", "192.168.0.9/24"));
        node.ip(&format!("address add {SECOND}/32 dev lo"));
        pod.ip("route add default via 10.1.0.1");
        outside.ip("route add default via 192.168.0.1");
        outside.ip("address add 10.2.0.2/32 dev lo");
        node.ip("route add 10.2.0.0/16 via 192.168.0.9");
        for network in ["10.96.0.0/16", "198.51.100.0/24", "198.18.0.0/24"] {
            node.ip(&format!("route add local {network} dev lo"));
        }
        let addr = |ip: &str, port| SocketAddr::new(ip.parse().expect("an address"), port);
        let pods = [(&pod, "10.1.0.2", "here"), (&outside, "10.2.0.2", "far")];
        let pods = pods.into_iter().flat_map(|(namespace, ip, name)| {
            let tcp = namespace.run(|| Backend::http(addr(ip, 8080), name));
            [tcp, namespace.run(|| Backend::udp(addr(ip, 53)))]
        });
        let pods = pods.collect();
        let dir = tempfile::tempdir().expect("a directory");
        let manifests: String = services().iter().map(Service::manifest).collect();
        std::fs::write(dir.path().join("main.yaml"), manifests).expect("a file");
        let manifests = dir.path().display().to_string();
        let arguments = [
            "--manifests=".to_owned() + &manifests,
            "--service-cidr=10.96.0.0/16".to_owned(),
            "--pod-cidr=10.1.0.0/16".to_owned(),
            "--node-ip=192.168.0.1".to_owned(),
            // the host's name may be written so
            "--node-name=Node-A".to_owned(),
            "--dns-listen=off".to_owned(),
            "--workers=2".to_owned(),
        ];
        let rutter = Rutter::start(&node, &arguments.each_ref().map(String::as_str));
        Self { node, pod, outside, _rutter: rutter, _pods: pods, _manifests: dir }
    }

    fn clients(&self) -> [(Client, &Namespace); 3] {
        [(Client::Pod, &self.pod), (Client::Node, &self.node), (Client::Outside, &self.outside)]
    }
}

/// Where a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Client {
    Pod,
    Node,
    Outside,
}

/// By which address it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exposure {
    ClusterIp,
    NodePort,
    LoadBalancer,
    ExternalIp,
}

const EXPOSURES: [Exposure; 4] =
    [Exposure::ClusterIp, Exposure::NodePort, Exposure::LoadBalancer, Exposure::ExternalIp];

/// One Service of the matrix.
#[derive(Clone, Debug)]
struct Service {
    number: usize,
    internal_local: bool,
    external_local: bool,
    /// Names of its pods.
    pods: &'static [&'static str],
    ranges: Option<&'static str>,
}

/// Ranges with the node and the strangers; and with nobody.
const RANGES: [Option<&str>; 3] = [None, Some("192.168.0.0/24"), Some("203.0.113.0/24")];

/// Everything that is written, with everything else.
fn services() -> Vec<Service> {
    let pods: [&[&str]; 4] = [&[], &["here"], &["far"], &["far", "here"]];
    let mut services = Vec::new();
    for ranges in RANGES {
        for pods in pods {
            for policies in 0..4 {
                services.push(Service {
                    number: services.len(),
                    internal_local: policies & 1 != 0,
                    external_local: policies & 2 != 0,
                    pods,
                    ranges,
                });
            }
        }
    }
    services
}

impl Service {
    fn manifest(&self) -> String {
        let Self { number, pods, ranges, .. } = self;
        let policy = |is_local| if is_local { "Local" } else { "Cluster" };
        let (internal, external) = (policy(self.internal_local), policy(self.external_local));
        let ranges = ranges.map(|it| format!("loadBalancerSourceRanges: [{it}], "));
        let ranges = ranges.unwrap_or_default();
        let node_port = 30_000 + number;
        let endpoint = |pod: &&str| match *pod {
            "here" => "{addresses: [10.1.0.2], nodeName: node-a}",
            _ => "{addresses: [10.2.0.2], nodeName: node-b}",
        };
        let endpoints: Vec<_> = pods.iter().map(endpoint).collect();
        let endpoints = endpoints.join(", ");
        format!(
            "---\napiVersion: v1\nkind: Service\nmetadata: {{name: s{number}}}\nspec: {{type: \
             LoadBalancer, clusterIP: 10.96.1.{number}, externalIPs: [198.18.0.{number}], \
             internalTrafficPolicy: {internal}, externalTrafficPolicy: {external}, {ranges}ports: \
             [{{name: web, port: 80, nodePort: {node_port}}}, {{name: dns, protocol: UDP, port: \
             53}}]}}\nstatus: {{loadBalancer: {{ingress: [{{ip: 198.51.100.{number}}}]}}}}\n---\n\
             apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: s{number}, \
             labels: {{kubernetes.io/service-name: s{number}}}}}\naddressType: IPv4\nports: \
             [{{name: web, port: 8080}}, {{name: dns, protocol: UDP, port: 53}}]\nendpoints: \
             [{endpoints}]\n"
        )
    }

    fn addr(&self, exposure: Exposure, port: u16) -> SocketAddr {
        let last = u8::try_from(self.number).expect("few Services");
        let (ip, port) = match exposure {
            Exposure::ClusterIp => (IpAddr::from([10, 96, 1, last]), port),
            Exposure::NodePort => (NODE[1].parse().expect("an address"), 30_000 + u16::from(last)),
            Exposure::LoadBalancer => (IpAddr::from([198, 51, 100, last]), port),
            Exposure::ExternalIp => (IpAddr::from([198, 18, 0, last]), port),
        };
        SocketAddr::new(ip, port)
    }

    /// By the rules of kube-proxy.
    fn expected(&self, client: Client, exposure: Exposure) -> Seen {
        if self.pods.is_empty() {
            return Seen::Refused;
        }
        let may_come = match (self.ranges, client) {
            (None, _) => true,
            // the node comes by the address that it has of the load balancer
            (Some("192.168.0.0/24"), Client::Node | Client::Outside) => true,
            (Some(_), _) => false,
        };
        let is_local = match exposure {
            Exposure::ClusterIp => self.internal_local,
            Exposure::NodePort | Exposure::LoadBalancer | Exposure::ExternalIp => {
                self.external_local && client == Client::Outside
            }
        };
        let pods = self.pods.iter().filter(|pod| !is_local || **pod == "here");
        let pods: BTreeSet<_> = pods.map(|pod| (*pod).to_owned()).collect();
        if exposure == Exposure::LoadBalancer && !may_come || pods.is_empty() {
            return Seen::Dropped;
        }
        Seen::Answered(pods)
    }

    /// Source ranges concern one exposure only.
    fn exposures(&self) -> impl Iterator<Item = Exposure> {
        let has_ranges = self.ranges.is_some();
        let is_concerned = move |it: &Exposure| !has_ranges || *it == Exposure::LoadBalancer;
        EXPOSURES.into_iter().filter(is_concerned)
    }
}

/// What a client sees.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    /// One of these pods answers, each of them in time.
    Answered(BTreeSet<String>),
    /// The kernel refuses at once: RST, ICMP port unreachable.
    Refused,
    /// Nothing comes back, not in time. Over TCP it is a reset after the handshake, which the kernel
    /// makes.
    Dropped,
}

/// Asks until every pod that is expected has answered, and a few times more.
fn ask_tcp(from: Option<IpAddr>, addr: SocketAddr, expected: &Seen) -> Seen {
    let mut pods = BTreeSet::new();
    for attempt in 0..64 {
        match ask_once(from, addr) {
            Ok(pod) => pods.insert(pod),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => return Seen::Refused,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Seen::Dropped,
            Err(error) => panic!("{addr}: {error}"),
        };
        let seen = Seen::Answered(pods.clone());
        if attempt >= 5 && seen == *expected {
            return seen;
        }
    }
    Seen::Answered(pods)
}

/// The name of the pod that answers.
fn ask_once(from: Option<IpAddr>, addr: SocketAddr) -> std::io::Result<String> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
    if let Some(from) = from {
        socket.bind(&SocketAddr::new(from, 0).into())?;
    }
    socket.connect_timeout(&addr.into(), PATIENCE)?;
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(
        b"GET / HTTP/1.1\r\nHost: h\r\nAccept: application/json\r\nConnection: close\r\n\r\n",
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (_, body) = answer.split_once("\r\n\r\n").expect("a response");
    let told: serde_json::Value = serde_json::from_str(body).expect("JSON");
    // from userspace, the endpoint sees an address of the node in any case
    let client: SocketAddr = told["client"].as_str().expect("text").parse().expect("an address");
    assert!(NODE.contains(&&*client.ip().to_string()), "{client} came to the pod");
    Ok(told["pod"].as_str().expect("a name").to_owned())
}

#[test]
fn connections_are_answered_refused_or_dropped_as_policies_say() {
    as_root("connections_are_answered_refused_or_dropped_as_policies_say", || {
        let world = World::new();
        std::thread::scope(|scope| {
            for (client, namespace) in world.clients() {
                scope.spawn(move || namespace.run(|| check_tcp(client)));
            }
        });
    });
}

fn check_tcp(client: Client) {
    for service in services() {
        for exposure in service.exposures() {
            let expected = service.expected(client, exposure);
            let seen = ask_tcp(None, service.addr(exposure, 80), &expected);
            assert_eq!(seen, expected, "{client:?} by {exposure:?} to {service:?}");
        }
    }
}

/// Node ports are left out: an answer from a socket on every address leaves by the address of the
/// route, which a pod did not ask.
#[test]
fn datagrams_are_answered_refused_or_dropped_as_policies_say() {
    as_root("datagrams_are_answered_refused_or_dropped_as_policies_say", || {
        let world = World::new();
        std::thread::scope(|scope| {
            for (client, namespace) in world.clients() {
                scope.spawn(move || namespace.run(|| check_udp(client)));
            }
        });
    });
}

/// Everything is sent before anything is waited for, so that silence costs its time once.
fn check_udp(client: Client) {
    let mut asked = Vec::new();
    for service in services() {
        for exposure in service.exposures().filter(|it| *it != Exposure::NodePort) {
            let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
            socket.connect(service.addr(exposure, 53)).expect("a peer");
            socket.send(b"?").expect("to be sent");
            asked.push((service.clone(), exposure, socket));
        }
    }
    let deadline = Instant::now() + SILENCE;
    for (service, exposure, socket) in asked {
        let expected = match service.expected(client, exposure) {
            Seen::Answered(_) => Seen::Answered(BTreeSet::new()),
            other @ (Seen::Refused | Seen::Dropped) => other,
        };
        // who is to answer gets all the time that a busy machine may need
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        let wait = if expected == Seen::Dropped { left } else { PATIENCE };
        socket.set_read_timeout(Some(wait)).expect("a time-out");
        let seen = match socket.recv(&mut [0; 9]) {
            Ok(_) => Seen::Answered(BTreeSet::new()),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => Seen::Refused,
            Err(error) if error.kind() == ErrorKind::WouldBlock => Seen::Dropped,
            Err(error) => panic!("{error}"),
        };
        assert_eq!(seen, expected, "{client:?} by {exposure:?} to {service:?}");
    }
}

/// After so long nothing is expected any more.
const SILENCE: Duration = Duration::from_secs(1);

#[test]
fn a_port_of_every_address_is_none_of_virtual_ones_and_the_node_is_known_by_each_of_its_own() {
    let test =
        "a_port_of_every_address_is_none_of_virtual_ones_and_the_node_is_known_by_each_of_its_own";
    as_root(test, || {
        let world = World::new();
        let is = |service: &&Service| {
            service.external_local && !service.internal_local && service.pods == ["far"]
        };
        let services = services();
        let far = services.iter().find(is).expect("the Service");
        let port = far.addr(Exposure::NodePort, 0).port();
        let answer = Seen::Answered(["far".to_owned()].into());
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        let second = Some(ip(SECOND));
        for (from, at, expected) in [
            // virtual, with and without a Service
            (None, far.addr(Exposure::ClusterIp, port), Seen::Dropped),
            (None, "10.96.1.250:0".parse().expect("an address"), Seen::Dropped),
            // the node itself gets pods of other nodes, by whichever address
            (None, SocketAddr::new(ip(NODE[1]), port), answer.clone()),
            (None, SocketAddr::new(ip(SECOND), port), answer.clone()),
            (second, SocketAddr::new(ip(NODE[1]), port), answer.clone()),
            (second, far.addr(Exposure::LoadBalancer, 80), answer.clone()),
            (None, far.addr(Exposure::LoadBalancer, port), answer),
        ] {
            let addr = SocketAddr::new(at.ip(), if at.port() == 0 { port } else { at.port() });
            let seen = world.node.run(|| ask_tcp(from, addr, &expected));
            assert_eq!(seen, expected, "{from:?} to {addr}");
        }
    });
}
