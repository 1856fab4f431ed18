//! Load by dnsperf.

use std::net::SocketAddr;
use std::process::Command;

use crate::Outcome;
use crate::names::Queries;

/// How dnsperf asks.
#[derive(Clone, Copy)]
pub enum Transport {
    Udp,
    Tcp,
}

/// What came back.
pub struct Told {
    pub completed: u64,
    pub lost: u64,
    /// Queries completed a second.
    pub rate: f64,
    /// Response codes and their share in per cent.
    pub codes: Vec<(String, f64)>,
    /// Bytes of an answer, on average.
    pub size: u64,
}

/// Asks as fast as answers come, for some seconds.
pub fn run(
    server: SocketAddr,
    transport: Transport,
    queries: &Queries,
    seconds: u32,
) -> Outcome<Told> {
    let file = queries.file.to_str().ok_or("the path is not UTF-8")?;
    let mode = match transport {
        Transport::Udp => "udp",
        Transport::Tcp => "tcp",
    };
    let output = Command::new("taskset")
        .args(["-c", "1", "dnsperf", "-B", "-d", file, "-m", mode, "-T", "1"])
        .args(["-s", &server.ip().to_string(), "-p", &server.port().to_string()])
        .args(["-c", "8", "-q", "100", "-t", "1", "-l", &seconds.to_string()])
        .output()
        .map_err(|error| format!("dnsperf (Debian package dnsperf): {error}"))?;
    let printed = String::from_utf8(output.stdout)?;
    let told = read(&printed);
    told.ok_or_else(|| {
        format!("dnsperf:\n{printed}{}", String::from_utf8_lossy(&output.stderr)).into()
    })
}

fn read(printed: &str) -> Option<Told> {
    let line = |name: &str| {
        let line = printed.lines().find_map(|line| line.trim().strip_prefix(name))?;
        Some(line.trim_start_matches(':').trim())
    };
    let number = |name: &str| line(name)?.split_whitespace().next()?.parse::<f64>().ok();
    // NOERROR 85 (85.00%), NXDOMAIN 15 (15.00%)
    let code = |text: &str| {
        let mut words = text.split([' ', '(', ')', '%']).filter(|word| !word.is_empty());
        let (name, _count) = (words.next()?, words.next()?);
        Some((name.to_owned(), words.next()?.parse().ok()?))
    };
    Some(Told {
        completed: number("Queries completed")? as u64,
        lost: number("Queries lost")? as u64,
        rate: number("Queries per second")?,
        codes: line("Response codes")?.split(", ").filter_map(code).collect(),
        size: line("Average packet size")?.split_whitespace().last()?.parse().ok()?,
    })
}
