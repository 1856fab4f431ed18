//! What people and tools know from kube-proxy, at a node of its own: node ports of localhost, Services
//! of both families, and its pages.

mod common;

use std::io::Write;
use std::net::{SocketAddr, UdpSocket};

use common::backend::Backend;
use common::netns::{Namespace, Rutter, as_root};
use common::{PATIENCE, http, metrics};
use tempfile::TempDir;

/// A node with a pod of each family, and a Service of both.
struct World {
    node: Namespace,
    _rutter: Rutter,
    _pods: Vec<Backend>,
    manifests: TempDir,
}

const SERVICE: &str = "
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: NodePort
  clusterIPs: [10.96.0.20, 'fd96::20']
  ipFamilies: [IPv4, IPv6]
  ipFamilyPolicy: RequireDualStack
  ports:
  - {name: web, port: 80, nodePort: 30080}
  - {name: dns, port: 53, protocol: UDP, nodePort: 30053}
";

const LEAVING: &str = "
apiVersion: v1
kind: Node
metadata: {name: here}
spec: {taints: [{key: ToBeDeletedByClusterAutoscaler, effect: NoSchedule}]}
";

impl World {
    fn new() -> Self {
        let node = Namespace::new();
        for (command, addresses) in [
            ("address add", ["10.1.0.2/32", "fd01::2/128", "192.168.0.1/32"].as_slice()),
            ("route add local", &["10.96.0.0/16"]),
            ("-6 route add local", &["fd96::/112"]),
        ] {
            addresses.iter().for_each(|it| node.ip(&format!("{command} {it} dev lo")));
        }
        let pods = ["10.1.0.2", "fd01::2"].into_iter().flat_map(|ip| {
            let addr = |port| SocketAddr::new(ip.parse().expect("an address"), port);
            node.run(|| [Backend::http(addr(8080), ip), Backend::udp(addr(53))])
        });
        let pods = pods.collect();
        let manifests = tempfile::tempdir().expect("a directory");
        let slice = |family: &str, ip: &str| {
            let lower = family.to_lowercase();
            format!(
                "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: \
                 web-{lower}, labels: {{kubernetes.io/service-name: web}}}}\naddressType: \
                 {family}\nendpoints: [{{addresses: ['{ip}'], nodeName: here}}]\nports: [{{name: \
                 web, port: 8080}}, {{name: dns, protocol: UDP, port: 53}}]\n"
            )
        };
        let text = SERVICE.to_owned() + &slice("IPv4", "10.1.0.2") + &slice("IPv6", "fd01::2");
        std::fs::write(manifests.path().join("web.yaml"), text).expect("a file");
        let directory = format!("--manifests={}", manifests.path().display());
        let rutter = Rutter::start(
            &node,
            &[
                &directory,
                "--service-cidr=10.96.0.0/16,fd96::/112",
                "--node-name=here",
                "--node-ip=192.168.0.1",
                "--dns-listen=off",
                "--workers=2",
                "--kube-proxy-listen=0.0.0.0:10256,127.0.0.1:10249",
                "--metrics-compat=kube-proxy",
            ],
        );
        Self { node, _rutter: rutter, _pods: pods, manifests }
    }

    /// Which pod answers over HTTP.
    fn pod(&self, addr: &str) -> String {
        let addr = addr.parse().expect("an address");
        self.node.run(|| http::get(addr, "any.example", "/x").json()["pod"].to_string())
    }

    /// What comes back over UDP, and from where.
    fn echo(&self, addr: &str) -> (Vec<u8>, SocketAddr) {
        let addr: SocketAddr = addr.parse().expect("an address");
        self.node.run(|| {
            let any = if addr.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
            let socket = UdpSocket::bind(any).expect("a socket");
            socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
            socket.send_to(b"hello", addr).expect("to be sent");
            let mut answer = [0; 16];
            let (length, from) = socket.recv_from(&mut answer).expect("an answer");
            (answer[..length].to_vec(), from)
        })
    }
}

#[test]
fn a_service_of_both_families_is_at_its_addresses_and_at_localhost() {
    as_root("a_service_of_both_families_is_at_its_addresses_and_at_localhost", || {
        let world = World::new();
        let rows = [
            ("10.96.0.20:80", "10.96.0.20:53", "10.1.0.2"),
            ("[fd96::20]:80", "[fd96::20]:53", "fd01::2"),
            ("192.168.0.1:30080", "192.168.0.1:30053", "10.1.0.2"),
            // kube-proxy has these for IPv4 only, with iptables, and not over UDP (KEP-6032)
            ("127.0.0.1:30080", "127.0.0.1:30053", "10.1.0.2"),
            ("[::1]:30080", "[::1]:30053", "fd01::2"),
        ];
        for (tcp, udp, pod) in rows {
            assert_eq!(world.pod(tcp), format!("{pod:?}"), "{tcp}");
            let from = udp.parse().expect("an address");
            assert_eq!(world.echo(udp), (b"hello".to_vec(), from), "{udp}");
        }
    });
}

#[test]
fn load_balancers_and_dashboards_find_what_they_ask_kube_proxy_for() {
    as_root("load_balancers_and_dashboards_find_what_they_ask_kube_proxy_for", || {
        let world = World::new();
        let get = |addr: &str, path: &str| {
            let addr = addr.parse().expect("an address");
            world.node.run(|| http::get(addr, "any.example", path))
        };
        assert_eq!(get("192.168.0.1:10256", "/healthz").json()["nodeEligible"], true);
        assert_eq!(get("127.0.0.1:10256", "/livez").status, 200);
        assert_eq!(get("127.0.0.1:10249", "/proxyMode").text(), "userspace");
        let leaving = world.manifests.path().join("node.yaml");
        let mut file = std::fs::File::create(leaving).expect("a file");
        file.write_all(LEAVING.as_bytes()).expect("to be written");
        let started = tokio::time::Instant::now();
        while get("192.168.0.1:10256", "/healthz").status != 503 {
            assert!(started.elapsed() < PATIENCE, "a node that will be deleted must be told of");
        }
        assert_eq!(get("192.168.0.1:10256", "/livez").status, 200);

        let text = get("127.0.0.1:10249", "/metrics").text();
        let names = metrics::families(&text);
        for name in [
            "kubeproxy_sync_proxy_rules_duration_seconds",
            "kubeproxy_network_programming_duration_seconds",
            "kubeproxy_sync_proxy_rules_last_timestamp_seconds",
            "kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds",
            "kubeproxy_sync_proxy_rules_no_local_endpoints_total",
            "kubeproxy_proxy_healthz",
            "kubeproxy_proxy_livez",
        ] {
            assert!(names.iter().any(|it| it == name), "{name}: {names:?}");
        }
        let count = "kubeproxy_sync_proxy_rules_duration_seconds_count{ip_family=\"IPv4\"} ";
        let count = text.lines().find_map(|line| line.strip_prefix(count)).expect("a count");
        assert!(count.parse::<u64>().expect("a number") >= 2, "{count}");
        assert!(text.contains("kubeproxy_proxy_healthz_total{code=\"503\"} "), "{text}");
    });
}
