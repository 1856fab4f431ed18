//! Load balancers without a cloud: two nodes on a switch, and a client that finds an address of both
//! by ARP and NDP at one of them.

mod common;

use std::io::{BufRead, BufReader};
use std::net::{IpAddr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use common::PATIENCE;
use common::backend::Backend;
use common::http;
use common::netns::{Namespace, Rutter, as_root};
use tempfile::TempDir;

/// Of the two nodes, the first choice for 192.168.0.100 is node-b, for fd00::100 it is node-a (the
/// order of SHA-256 of node#address).
const V4: &str = "192.168.0.100";
const V6: &str = "fd00::100";
/// Given to a Service without endpoints.
const UNUSED: &str = "192.168.0.101";

/// A node with rutter, its manifests, and a pod of its own that says where it is.
struct Node {
    name: &'static str,
    mac: &'static str,
    namespace: Namespace,
    manifests: TempDir,
    _pods: [Backend; 2],
    rutter: Option<Rutter>,
}

impl Node {
    /// Node number `number`, at the switch. Both addresses are on loopback, as those of load balancers
    /// are on every node; that the kernel does not answer for them is the user's to say.
    fn new(switch: &Namespace, number: u8, name: &'static str, mac: &'static str) -> Self {
        let namespace = Namespace::new();
        namespace.sysctl("ipv4/conf/all/arp_ignore", "1");
        namespace.sysctl("ipv4/conf/all/arp_announce", "2");
        plug(switch, &namespace, number, mac);
        for address in [format!("{V4}/32"), format!("{UNUSED}/32"), format!("{V6}/128")] {
            namespace.ip(&format!("address add {address} dev lo"));
        }
        let at = |ip: IpAddr| namespace.run(|| Backend::http(SocketAddr::new(ip, 8080), name));
        let pods = [at([192, 168, 0, number].into()), at(v6(number))];
        let manifests = tempfile::tempdir().expect("a directory");
        let node = Self { name, mac, namespace, manifests, _pods: pods, rutter: None };
        node.write("service.yaml", &services(number));
        node
    }

    fn start(&mut self, announce: &str) {
        let arguments = [
            format!("--manifests={}", self.manifests.path().display()),
            format!("--node-name={}", self.name),
            format!("--announce={announce}"),
            format!("--lb-pool={V4}/32,{UNUSED}/32,{V6}/128"),
            "--service-cidr=127.96.0.0/16,fd96::/112".to_owned(),
            "--dns-listen=off".to_owned(),
            "--workers=2".to_owned(),
            "--poll=100ms".to_owned(),
        ];
        let arguments = arguments.each_ref().map(String::as_str);
        self.rutter = Some(Rutter::start(&self.namespace, &arguments));
    }

    /// Writes a file as an editor does.
    fn write(&self, name: &str, text: &str) {
        let draft = self.manifests.path().join(".draft");
        std::fs::write(&draft, text).expect("a file");
        std::fs::rename(draft, self.manifests.path().join(name)).expect("a file in place");
    }

    /// Of the admin API.
    fn ask(&self, path: &str) -> String {
        let admin = "127.0.0.1:9901".parse().expect("an address");
        self.namespace.run(|| http::get(admin, "localhost", path)).text()
    }

    /// What is counted of an address: `requests_received`, …
    fn counted(&self, what: &str, ip: &str) -> u64 {
        let line = format!("rutter_announce_{what}_total{{ip=\"{ip}\"}} ");
        let metrics = self.ask("/metrics");
        let count = metrics.lines().find_map(|it| it.strip_prefix(&line));
        count.map_or(0, |count| count.parse().expect("a number"))
    }
}

fn v6(number: u8) -> IpAddr {
    IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, u16::from(number)])
}

/// Connects a machine: `eth0` with 192.168.0.N, fd00::N and this MAC.
fn plug(switch: &Namespace, machine: &Namespace, number: u8, mac: &str) {
    let (port, address) = (format!("port{number}"), format!("192.168.0.{number}/24"));
    switch.join((&port, &format!("169.254.0.{number}/32")), machine, ("eth0", &address));
    switch.ip(&format!("link set {port} master br0"));
    machine.ip(&format!("link set eth0 address {mac}"));
    machine.ip(&format!("address add fd00::{number}/64 dev eth0 nodad"));
}

/// Both nodes, and a Service with an endpoint on this one: what answers tells which one it is.
fn services(number: u8) -> String {
    let service = |name: &str, ips: &str, families: &str| {
        format!(
            "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}, annotations: \
             {{metallb.io/loadBalancerIPs: \"{ips}\"}}}}\nspec: {{type: LoadBalancer, \
             {families}, ports: [{{port: 80}}]}}\n"
        )
    };
    let slice = |kind: &str, ip: IpAddr| {
        format!(
            "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: web-{}, \
             labels: {{kubernetes.io/service-name: web}}}}\naddressType: {kind}\nports: [{{port: \
             8080}}]\nendpoints: [{{addresses: [\"{ip}\"]}}]\n",
            kind.to_lowercase()
        )
    };
    let both = "ipFamilyPolicy: RequireDualStack, ipFamilies: [IPv4, IPv6]";
    [
        service("web", &format!("{V4},{V6}"), both),
        service("unused", UNUSED, "ipFamilies: [IPv4]"),
        slice("IPv4", [192, 168, 0, number].into()),
        slice("IPv6", v6(number)),
    ]
    .concat()
}

/// Node objects; `name` is left alone by load balancers if it is `excluded`.
fn node_object(name: &str, excluded: bool) -> String {
    let label = "node.kubernetes.io/exclude-from-external-load-balancers";
    let labels = if excluded { format!("{label}: \"\"") } else { String::new() };
    format!("---\napiVersion: v1\nkind: Node\nmetadata: {{name: {name}, labels: {{{labels}}}}}\n")
}

struct World {
    a: Node,
    b: Node,
    client: Namespace,
    _switch: Namespace,
}

impl World {
    fn new() -> Self {
        let (switch, client) = (Namespace::new(), Namespace::new());
        switch.ip("link add br0 type bridge");
        switch.ip("link set br0 up");
        plug(&switch, &client, 9, "02:00:00:00:00:09");
        let a = Node::new(&switch, 1, "node-a", "02:00:00:00:00:0a");
        let b = Node::new(&switch, 2, "node-b", "02:00:00:00:00:0b");
        Self { a, b, client, _switch: switch }
    }

    /// Says of both nodes, to both nodes, whether load balancers leave them alone.
    fn exclude(&self, a: bool, b: bool) {
        let nodes = [node_object("node-a", a), node_object("node-b", b)].concat();
        for node in [&self.a, &self.b] {
            node.write("nodes.yaml", &nodes);
        }
    }

    /// The name of the node that answers at an address.
    fn ask(&self, ip: &str) -> String {
        let addr = SocketAddr::new(ip.parse().expect("an address"), 80);
        let answer = self.client.run(|| {
            let mut client = http::Client::connect(addr);
            client.send(b"GET / HTTP/1.1\r\nHost: h\r\nAccept: application/json\r\n\r\n");
            client.response().expect("a response")
        });
        answer.json()["pod"].as_str().expect("a name").to_owned()
    }

    /// Where the client believes an address to be.
    fn neighbour(&self, ip: &str) -> String {
        let show = || Command::new("ip").args(["neighbour", "show", ip]).output();
        let output = self.client.run(show).expect("ip (iproute2) must be there");
        mac_in(&String::from_utf8_lossy(&output.stdout)).unwrap_or_default()
    }
}

/// What stands behind `lladdr`.
fn mac_in(line: &str) -> Option<String> {
    let mut words = line.split_whitespace().skip_while(|word| *word != "lladdr").skip(1);
    words.next().map(str::to_owned)
}

/// Tells how the neighbours of a machine change.
struct Monitor {
    monitor: Child,
    lines: mpsc::Receiver<String>,
}

impl Monitor {
    /// Of a machine with `eth0`; it hears everything from now on.
    fn new(on: &Namespace) -> Self {
        let mut command = Command::new("ip");
        command.args(["monitor", "neigh"]).stdout(Stdio::piped());
        let mut monitor = on.run(|| command.spawn()).expect("ip (iproute2) must be there");
        let stdout = BufReader::new(monitor.stdout.take().expect("a pipe"));
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let monitor = Self { monitor, lines };
        for number in 0_u8.. {
            let mac = format!("02:00:00:00:01:{number:02x}");
            on.ip(&format!("neighbour replace 192.168.0.77 lladdr {mac} dev eth0"));
            if monitor.lines.recv_timeout(Duration::from_millis(50)).is_ok() {
                break;
            }
        }
        monitor
    }

    /// Waits until an address is believed to be at a MAC.
    #[track_caller]
    fn wait(&self, ip: &str, mac: &str) {
        let mut seen = Vec::new();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => {
                    let is_of = line.split_whitespace().next() == Some(ip);
                    if is_of && mac_in(&line).as_deref() == Some(mac) {
                        return;
                    }
                    seen.push(line);
                }
                Err(error) => panic!("{ip} is not at {mac} ({error}): {seen:#?}"),
            }
        }
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        let _ = self.monitor.kill();
        let _ = self.monitor.wait();
    }
}

#[test]
fn a_client_finds_each_address_at_its_owner_and_at_the_other_node_when_that_goes() {
    let test = "a_client_finds_each_address_at_its_owner_and_at_the_other_node_when_that_goes";
    as_root(test, || {
        let mut world = World::new();
        world.exclude(false, false);
        world.a.start("all");
        world.b.start("eth0");
        // the client knows nobody yet, so it asks
        assert_eq!((world.ask(V4), world.neighbour(V4)), ("node-b".into(), world.b.mac.into()));
        assert_eq!((world.ask(V6), world.neighbour(V6)), ("node-a".into(), world.a.mac.into()));
        for (ip, owner, other) in [(V4, &world.b, &world.a), (V6, &world.a, &world.b)] {
            assert!(owner.counted("requests_received", ip) > 0, "{ip}");
            assert!(owner.counted("responses_sent", ip) > 0, "{ip}");
            assert!(owner.counted("gratuitous_sent", ip) > 0, "{ip}");
            assert_eq!(other.counted("requests_received", ip), 0, "{ip}");
        }
        let explained = world.a.ask(&format!("/explain?url=tcp://{V4}:80&format=text"));
        assert!(explained.contains("by node node-b, not by this one"), "{explained}");

        // from here on the client asks nobody: it is told
        let monitor = Monitor::new(&world.client);
        world.exclude(false, true);
        monitor.wait(V4, world.a.mac);
        assert_eq!((world.ask(V4), world.ask(V6)), ("node-a".into(), "node-a".into()));
        world.exclude(true, false);
        monitor.wait(V4, world.b.mac);
        monitor.wait(V6, world.b.mac);
        assert_eq!((world.ask(V4), world.ask(V6)), ("node-b".into(), "node-b".into()));
    });
}

#[test]
fn an_address_that_nobody_serves_is_not_found() {
    as_root("an_address_that_nobody_serves_is_not_found", || {
        let mut world = World::new();
        world.b.start("eth0");
        assert_eq!(world.ask(V4), "node-b", "alone, it announces everything");
        let unused = SocketAddr::new(UNUSED.parse().expect("an address"), 80);
        let connect = || std::net::TcpStream::connect_timeout(&unused, PATIENCE).map(drop);
        let error = world.client.run(connect).expect_err("nobody is there");
        assert_eq!(error.kind(), std::io::ErrorKind::HostUnreachable, "{error}");
        assert_eq!(world.b.counted("requests_received", UNUSED), 0);
    });
}

#[test]
fn without_the_capability_it_does_not_start_and_says_what_is_missing() {
    as_root("without_the_capability_it_does_not_start_and_says_what_is_missing", || {
        let dir = tempfile::tempdir().expect("a directory");
        let output = Command::new("setpriv")
            .args(["--bounding-set=-net_raw", "--inh-caps=-net_raw"])
            .arg(common::rutter())
            .args(["run", "--announce=all", "--dns-listen=off", "--admin=off", "--manifests"])
            .arg(dir.path())
            .output()
            .expect("setpriv (util-linux) must be there");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{said}");
        let expected = "cannot announce addresses (--announce): it needs CAP_NET_RAW: run as root";
        assert!(said.contains(expected), "{said}");
    });
}
