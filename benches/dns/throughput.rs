//! Queries a second of the server's CPU, beside CoreDNS.

use crate::cluster::Cluster;
use crate::load::{self, Transport};
use crate::names::Queries;
use crate::options::Options;
use crate::process::{Server, median};
use crate::{Outcome, coredns, responder, rutter};

/// What is compared.
pub struct Comparison {
    transport: Transport,
    is_forwarded: bool,
    /// How many times as good rutter shall be.
    target: f64,
}

impl Comparison {
    pub const UDP: Self = Self { transport: Transport::Udp, is_forwarded: false, target: 3.0 };
    pub const TCP: Self = Self { transport: Transport::Tcp, is_forwarded: false, target: 2.0 };
    pub const FORWARDED: Self = Self { transport: Transport::Udp, is_forwarded: true, target: 2.0 };
}

/// Runs all rounds, and gives the problem if the ratio is below what it shall be.
pub fn compare(comparison: &Comparison, options: &Options) -> Outcome<Option<String>> {
    let dir = tempfile::tempdir()?;
    let cluster = Cluster::new(10_000);
    let queries = if comparison.is_forwarded {
        Queries::of_others(dir.path())?
    } else {
        Queries::of_cluster(dir.path(), &cluster)?
    };
    let upstream = responder::start()?;
    let servers = [
        rutter::start(options, dir.path(), &cluster, upstream)?,
        coredns::start(dir.path(), &cluster, upstream)?,
    ];
    let mut rounds = Vec::new();
    for round in 1..=options.rounds {
        let mut figures = Vec::new();
        for server in &servers {
            let figure = measure(server, comparison.transport, &queries, options.seconds)?;
            println!("round {round}: {:8} {figure}", server.name);
            figures.push(figure);
        }
        let [ours, theirs] = figures.try_into().map_err(|_| "two servers")?;
        if !ours.is_like(&theirs) {
            return Err(format!("round {round}: the servers give different answers").into());
        }
        rounds.push((ours.per_cpu_second, theirs.per_cpu_second));
    }
    let ratio = median(rounds.iter().map(|(ours, theirs)| ours / theirs));
    println!(
        "median of {} rounds: rutter {:.0}, coredns {:.0} queries a CPU second; {ratio:.2} × CoreDNS",
        rounds.len(),
        median(rounds.iter().map(|(ours, _)| *ours)),
        median(rounds.iter().map(|(_, theirs)| *theirs)),
    );
    let wanted = options.min_ratio.unwrap_or(comparison.target);
    Ok((ratio < wanted).then(|| format!("{ratio:.2} × CoreDNS, below {wanted}")))
}

struct Figure {
    per_cpu_second: f64,
    rate: f64,
    lost: u64,
    codes: Vec<(String, f64)>,
    size: u64,
}

impl Figure {
    /// Whether the answers are of the same kinds, as far as samples of the same queries tell.
    fn is_like(&self, other: &Self) -> bool {
        let share = |figure: &Self, name: &str| {
            figure.codes.iter().find(|(code, _)| code == name).map_or(0.0, |(_, share)| *share)
        };
        let codes = self.codes.iter().chain(&other.codes);
        codes.into_iter().all(|(name, _)| (share(self, name) - share(other, name)).abs() < 1.0)
    }
}

impl std::fmt::Display for Figure {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { per_cpu_second, rate, lost, codes, size } = self;
        write!(
            out,
            "{per_cpu_second:8.0} queries a CPU second, {rate:7.0} a second, {lost} lost, {size} \
             bytes an answer"
        )?;
        codes.iter().try_for_each(|(name, share)| write!(out, ", {share:.0} % {name}"))
    }
}

fn measure(
    server: &Server,
    transport: Transport,
    queries: &Queries,
    seconds: u32,
) -> Outcome<Figure> {
    load::run(server.addr, transport, queries, 1)?;
    let before = server.process.cpu_seconds()?;
    let told = load::run(server.addr, transport, queries, seconds)?;
    let used = server.process.cpu_seconds()? - before;
    Ok(Figure {
        per_cpu_second: told.completed as f64 / used,
        rate: told.rate,
        lost: told.lost,
        codes: told.codes,
        size: told.size,
    })
}
