//! Resident memory of servers that know a cluster and have been asked about it.

use crate::cluster::{Cluster, PODS};
use crate::load::{self, Transport};
use crate::names::Queries;
use crate::options::Options;
use crate::{Outcome, coredns, responder, rutter};

/// Measures both, and gives the problem if rutter takes more than it shall.
pub fn measure(options: &Options) -> Outcome<Option<String>> {
    let dir = tempfile::tempdir()?;
    let cluster = Cluster::new(10_000);
    let queries = Queries::of_cluster(dir.path(), &cluster)?;
    let upstream = responder::start()?;
    let servers = [
        rutter::start(options, dir.path(), &cluster, upstream)?,
        coredns::start(dir.path(), &cluster, upstream)?,
    ];
    let mut figures = Vec::new();
    for server in &servers {
        let idle = server.process.rss_mib()?;
        load::run(server.addr, Transport::Udp, &queries, options.seconds)?;
        let used = server.process.rss_mib()?;
        println!(
            "{:8} {idle:.0} MiB once it answers, {used:.0} MiB after queries; {} Services, {} \
             endpoints",
            server.name,
            2 * cluster.of_a_kind(),
            PODS * cluster.of_a_kind(),
        );
        figures.push(used);
    }
    Ok((figures[0] > LIMIT).then(|| format!("{:.0} MiB, above {LIMIT}", figures[0])))
}

/// MiB.
const LIMIT: f64 = 60.0;
