//! CoreDNS, built from its source where it is not there yet.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cluster::Cluster;
use crate::process::{Running, SERVER_CPU, Server, free_port};
use crate::{Outcome, api, names};

/// Starts it on one CPU with one thread, and waits until it has the objects.
pub fn start(dir: &Path, cluster: &Cluster, upstream: SocketAddr) -> Outcome<Server> {
    let binary = built()?;
    let (port, metrics, api) = (free_port()?, free_port()?, api::start(cluster)?);
    let config = dir.join("Corefile");
    let text = COREFILE
        .replace("PORT", &port.to_string())
        .replace("METRICS", &metrics.to_string())
        .replace("API", &api.to_string())
        .replace("UPSTREAM", &upstream.to_string());
    fs::write(&config, text)?;
    let (binary, config) = (binary.display().to_string(), config.display().to_string());
    let process = Running::start(SERVER_CPU, &binary, &["-conf", &config], &[("GOMAXPROCS", "1")])?;
    let addr = SocketAddr::from(([127, 0, 0, 1], port));
    Server { name: "coredns", addr, process }.wait_for(&names::last(cluster))
}

/// The binary below target/tools. The checksum is ours to compare; what CoreDNS depends on is
/// compared with the go.sum that is part of it.
fn built() -> Outcome<PathBuf> {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools");
    let binary = tools.join("bin").join(format!("coredns-{VERSION}"));
    if binary.exists() {
        return Ok(binary);
    }
    println!("building CoreDNS {VERSION}, which takes some minutes");
    let go = |dir: &Path, args: &[&str]| {
        let mut command = Command::new("go");
        command.args(args).current_dir(dir);
        command.env("GOMODCACHE", tools.join("gomod")).env("GOFLAGS", "-modcacherw");
        command.env("GOTOOLCHAIN", "local").env("GOSUMDB", "off").env("CGO_ENABLED", "0");
        command.output().map_err(|error| format!("go (Debian package golang-go): {error}"))
    };
    fs::create_dir_all(&tools)?;
    let module = format!("{MODULE}@{VERSION}");
    let told = go(&tools, &["mod", "download", "-json", &module])?;
    let told: serde_json::Value = serde_json::from_slice(&told.stdout)?;
    if told["Sum"] != SUM {
        return Err(format!("{module} has another checksum than {SUM}: {told}").into());
    }
    let source = told["Dir"].as_str().ok_or("go tells no folder")?;
    let output = binary.display().to_string();
    let built = go(Path::new(source), &["build", "-mod=readonly", "-o", &output, "."])?;
    if built.status.success() {
        return Ok(binary);
    }
    Err(format!("go build: {}", String::from_utf8_lossy(&built.stderr)).into())
}

const MODULE: &str = "github.com/coredns/coredns";
const VERSION: &str = "v1.14.7";
/// As go.sum has it.
const SUM: &str = "h1:UPDkn4QN+xyNfjz3U5ldgoLszDYpMZEJoy3+ze9au4Q=";

/// That of kubeadm, without what only a pod needs: health, ready, reload, and the probe for loops.
const COREFILE: &str = "
.:PORT {
    bind 127.0.0.1
    errors
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        endpoint http://API
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
        ttl 30
    }
    prometheus 127.0.0.1:METRICS
    forward . UPSTREAM {
        max_concurrent 1000
    }
    cache 30 {
        disable success cluster.local
        disable denial cluster.local
    }
    loadbalance
}
";
