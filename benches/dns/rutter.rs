//! rutter, for names only.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::cluster::Cluster;
use crate::options::Options;
use crate::process::{Running, SERVER_CPU, Server, free_port};
use crate::{Outcome, names};

/// Writes the objects into a directory, starts it on one CPU with one thread, and waits until it
/// answers for them.
pub fn start(
    options: &Options,
    dir: &Path,
    cluster: &Cluster,
    upstream: SocketAddr,
) -> Outcome<Server> {
    start_at(options, dir, cluster, upstream, free_port()?)
}

/// The same, at a port that others know already.
pub fn start_at(
    options: &Options,
    dir: &Path,
    cluster: &Cluster,
    upstream: SocketAddr,
    port: u16,
) -> Outcome<Server> {
    let manifests = manifests(dir);
    std::fs::create_dir_all(&manifests)?;
    cluster.write(&manifests)?;
    let addr = SocketAddr::from(([127, 0, 0, 1], port));
    let process = Running::start(
        SERVER_CPU,
        &options.rutter,
        &[
            "run",
            "--manifests",
            manifests.to_str().ok_or("the path is not UTF-8")?,
            "--dns-listen",
            &addr.to_string(),
            "--dns-upstream",
            &upstream.to_string(),
            "--dns-ttl=30",
            "--http-port=off",
            "--https-port=off",
            "--admin",
            &format!("127.0.0.1:{}", free_port()?),
            "--workers=1",
            "--log=warn",
        ],
        &[],
    )?;
    Server { name: "rutter", addr, process }.wait_for(&names::last(cluster))
}

/// Where the manifests of a rutter are that has this directory.
pub fn manifests(dir: &Path) -> PathBuf {
    dir.join("manifests")
}
