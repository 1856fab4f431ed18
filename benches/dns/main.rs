//! Names against CoreDNS, and under duress: `cargo bench --bench dns`, or one part of it:
//! `cargo bench --bench dns -- udp`.
//!
//! | part | what | target |
//! |---|---|---|
//! | `udp` | cluster names: queries a second of the server's CPU | 3 × CoreDNS |
//! | `tcp` | the same over TCP | 2 × CoreDNS |
//! | `forwarded` | names of others that are remembered | 2 × CoreDNS |
//! | `memory` | resident, with 10,000 Services and 50,000 endpoints | 60 MiB |
//! | `change` | a saved manifest until the answer on the wire says so, 99th percentile | 100 ms |
//! | `upstreams` | a cluster name while upstreams fail and others flood, 99th percentile | 10 ms |
//! | `overload` | cluster names of a modest client during a flood of three times the capacity | 99.9 %, + 64 MiB |
//!
//! A server has one thread, on CPU 0; load, upstreams and the API server are on CPU 1. In a round
//! rutter and CoreDNS run one after the other; what counts is the median over rounds of the ratio
//! *within* a round, because the speed of a shared machine drifts by more than the differences.
//! rutter reads the objects from a directory. CoreDNS has the configuration of kubeadm and reads
//! the same objects from an API server, as much of one as its client needs (`api`); it is built
//! into target/tools when it is not there.
//!
//! Needs `dnsperf` and `taskset` (Debian packages dnsperf, util-linux), Go 1.25 for CoreDNS, and two
//! CPUs. Arguments besides the parts: `--rounds N` (5), `--seconds N` (4), `--quick` (little of
//! everything; without a part, of those that need nothing but two CPUs), `--min-ratio R` (fail below, in place
//! of the target), `--rutter PATH` (another binary).

#![allow(
    missing_debug_implementations,
    missing_docs,
    unreachable_pub,
    reason = "a program, not a library"
)]

mod api;
mod change;
mod client;
mod cluster;
mod coredns;
mod load;
mod memory;
mod names;
mod options;
mod overload;
mod process;
mod responder;
mod rutter;
mod throughput;
mod upstreams;
mod wire;

use std::error::Error;

use options::Options;
use throughput::Comparison;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let options = Options::from_args()?;
    if let Some(load) = &options.load {
        return overload::be_load(load);
    }
    process::pin_to_load_cpu()?;
    process::raise_descriptors()?;
    let mut missed = Vec::new();
    for part in &options.parts {
        println!("\n== {part}");
        let problem = match part.as_str() {
            "udp" => throughput::compare(&Comparison::UDP, &options)?,
            "tcp" => throughput::compare(&Comparison::TCP, &options)?,
            "forwarded" => throughput::compare(&Comparison::FORWARDED, &options)?,
            "memory" => memory::measure(&options)?,
            "change" => change::measure(&options)?,
            "upstreams" => upstreams::measure(&options)?,
            "overload" => overload::measure(&options)?,
            other => return Err(format!("there is no part {other}").into()),
        };
        missed.extend(problem.map(|problem| format!("{part}: {problem}")));
    }
    if missed.is_empty() { Ok(()) } else { Err(missed.join("; ").into()) }
}
