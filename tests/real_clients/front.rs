//! A rutter with HTTP, HTTPS and a few Services, and programs that are run against it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use crate::common::backend::Backend;
use crate::common::tls::Authority;
use crate::common::{Block, Options, Site};
use crate::origin::Origin;

/// `app.test` in the clear and over TLS: `/echo` is the built-in backend, `/h2c` the same over
/// HTTP/2, everything else the [`Origin`]. `grpc.test` is whatever listens on `grpc`.
pub struct Front {
    pub site: Site,
    pub origin: Origin,
    /// Where `/pysocket` goes, for a server that the caller starts.
    pub pysocket: SocketAddr,
    /// The certificate of the authority that signed that of `app.test` and `grpc.test`.
    pub ca: PathBuf,
    _outside: tempfile::TempDir,
    _echo: Backend,
}

const MANIFESTS: &str = r#"
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: app}
spec:
  ingressClassName: rutter
  tls: [{hosts: [app.test, grpc.test], secretName: app}]
  rules:
  - host: app.test
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: origin, port: {number: 80}}}}
      - {path: /ws, pathType: Prefix, backend: {service: {name: echo, port: {name: h1}}}}
      - {path: /sse, pathType: Prefix, backend: {service: {name: echo, port: {name: h1}}}}
      - {path: /echo, pathType: Prefix, backend: {service: {name: echo, port: {name: h1}}}}
      - {path: /h2c, pathType: Prefix, backend: {service: {name: echo, port: {name: h2}}}}
      - {path: /pysocket, pathType: Prefix, backend: {service: {name: pysocket, port: {number: 80}}}}
  - host: grpc.test
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: grpc, port: {number: 80}}}}
      - {path: /nobody, pathType: Prefix, backend: {service: {name: nobody, port: {number: 80}}}}
"#;

impl Front {
    pub fn start() -> Self {
        Self::start_with(|_| {})
    }

    /// The same with other options.
    pub fn start_with(change: impl FnOnce(&mut Options)) -> Self {
        let block = Block::claim();
        let nobody = block.addr(132, 8080);
        Self::start_in(block, nobody, change)
    }

    /// The same with an endpoint of gRPC, which the caller starts.
    pub fn with_grpc(grpc: SocketAddr) -> Self {
        Self::start_in(Block::claim(), grpc, |_| {})
    }

    fn start_in(block: Block, grpc: SocketAddr, change: impl FnOnce(&mut Options)) -> Self {
        let origin = Origin::start(block.addr(130, 8080));
        let echo = Backend::http(block.addr(131, 8080), "echo-0");
        let pysocket = block.addr(133, 8080);
        let authority = Authority::new();
        let manifests = [
            MANIFESTS.to_owned(),
            service("origin", &[("http", "http", block.addr(130, 8080))]),
            service(
                "echo",
                &[
                    ("h1", "http", block.addr(131, 8080)),
                    ("h2", "kubernetes.io/h2c", block.addr(131, 8080)),
                ],
            ),
            service("grpc", &[("grpc", "kubernetes.io/h2c", grpc)]),
            service("pysocket", &[("http", "http", pysocket)]),
            "---\napiVersion: v1\nkind: Service\nmetadata: {name: nobody}\nspec: {ports: [{port: 80, \
             appProtocol: kubernetes.io/h2c}]}\n"
                .to_owned(),
            authority.secret("app", &["app.test", "grpc.test"]),
        ];
        let site = Site::start_in(block, &manifests.concat(), change);
        let outside = tempfile::tempdir().expect("a directory");
        let ca = outside.path().join("ca.pem");
        std::fs::write(&ca, authority.pem()).expect("a file");
        Self { site, origin, pysocket, ca, _outside: outside, _echo: echo }
    }

    pub fn ca(&self) -> String {
        self.ca.display().to_string()
    }

    /// Runs curl against `app.test`: what it prints.
    #[track_caller]
    pub fn curl(&self, arguments: &[&str], url: &str) -> String {
        let ip = self.site.http().ip();
        let resolve = [format!("app.test:80:{ip}"), format!("app.test:443:{ip}")];
        let ca = self.ca();
        let common = [
            "-sS",
            "--max-time",
            "20",
            "--noproxy",
            "*",
            "--cacert",
            &ca,
            "--resolve",
            &resolve[0],
        ];
        run("curl", &[&common[..], &["--resolve", &resolve[1]], arguments, &[url]].concat())
    }
}

/// A Service with ports (name, protocol, its only endpoint), and their EndpointSlices.
fn service(name: &str, ports: &[(&str, &str, SocketAddr)]) -> String {
    let mut text = format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec:\n  ports:\n"
    );
    for (place, (port, protocol, _)) in ports.iter().enumerate() {
        let number = 80 + place;
        text += &format!("  - {{name: {port}, port: {number}, appProtocol: {protocol}}}\n");
    }
    for (port, _, endpoint) in ports {
        text += &format!(
            "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: \
             {name}-{port}, labels: {{kubernetes.io/service-name: {name}}}}}\naddressType: IPv4\n\
             endpoints: [{{addresses: [{}]}}]\nports: [{{name: {port}, port: {}}}]\n",
            endpoint.ip(),
            endpoint.port(),
        );
    }
    text
}

/// What a program prints; it must succeed.
#[track_caller]
pub fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| {
        panic!("{program} must be installed ({error}): tests/run.sh does it")
    });
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {text}{error}\n(what it needs is installed by tests/run.sh)"
    );
    text
}

/// A program of `target/tools/bin`, which `tests/run.sh` builds.
pub fn tool(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/tools/bin").join(name);
    assert!(path.exists(), "{} must be built: tests/run.sh does it", path.display());
    path.display().to_string()
}
