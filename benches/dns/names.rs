//! What clients of a cluster ask for.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Outcome;
use crate::cluster::{Cluster, NAMESPACES, PODS};
use crate::wire::{self, A, AAAA, SRV};

/// A name that every server knows as soon as it has the objects: of the last in each list.
pub fn last(cluster: &Cluster) -> String {
    let place = cluster.of_a_kind() - 1;
    format!("pod{}.headless{place}.ns{}.svc.cluster.local", PODS - 1, place % NAMESPACES)
}

/// Queries in the form that dnsperf reads: as over TCP, one behind the other.
pub struct Queries {
    pub file: PathBuf,
}

impl Queries {
    fn write(dir: &Path, name: &str, messages: impl Iterator<Item = Vec<u8>>) -> Outcome<Self> {
        let file = dir.join(name);
        let mut bytes = Vec::new();
        for message in messages {
            bytes.extend((message.len() as u16).to_be_bytes());
            bytes.extend(message);
        }
        fs::write(&file, bytes)?;
        Ok(Self { file })
    }

    /// Names of the cluster, in the proportions of what clients with `ndots:5` ask: 60 % addresses
    /// that are there, 20 % IPv6 addresses that are not, 15 % expansions of the search path that
    /// lead to nothing, 5 % ports of headless Services.
    pub fn of_cluster(dir: &Path, cluster: &Cluster) -> Outcome<Self> {
        let mut draw = Draw(1);
        let messages = (0..QUERIES).map(|_| {
            let place = draw.below(cluster.of_a_kind());
            let namespace = place % NAMESPACES;
            let web = format!("web{place}.ns{namespace}.svc.cluster.local");
            let headless = format!("headless{place}.ns{namespace}.svc.cluster.local");
            match draw.below(100) {
                0..50 => wire::query(0, &web, A, false),
                50..60 => wire::query(0, &headless, A, false),
                60..80 => wire::query(0, &web, AAAA, false),
                80..95 => wire::query(0, &expansion(&mut draw, namespace), A, false),
                _ => wire::query(0, &format!("_http._tcp.{headless}"), SRV, true),
            }
        });
        Self::write(dir, "cluster.queries", messages)
    }

    /// A thousand names of others, of which a fifth is asked for IPv6 addresses.
    pub fn of_others(dir: &Path) -> Outcome<Self> {
        let mut draw = Draw(2);
        let messages = (0..QUERIES).map(|_| {
            let name = format!("host{}.example.org", draw.below(1_000));
            wire::query(0, &name, if draw.below(5) == 0 { AAAA } else { A }, false)
        });
        Self::write(dir, "others.queries", messages)
    }

    /// Names of the cluster that do not exist, none like another.
    pub fn random(dir: &Path) -> Outcome<Self> {
        let mut draw = Draw(3);
        let messages =
            (0..QUERIES).map(|_| wire::query(0, &random_name(&mut draw, CLUSTER), A, false));
        Self::write(dir, "random.queries", messages)
    }
}

/// Some name below a domain, which nobody has asked for before.
pub fn random_name(draw: &mut Draw, domain: &str) -> String {
    format!("x{:015x}.{domain}", draw.next() >> 4)
}

/// Another such name in a query for one.
pub fn rename(query: &mut [u8], draw: &mut Draw) {
    let mut bits = draw.next();
    // behind the header, the length and the x
    for letter in &mut query[14..29] {
        *letter = b'a' + (bits & 0xf) as u8;
        bits >>= 4;
    }
}

/// What the search path makes of names that do not end here.
fn expansion(draw: &mut Draw, namespace: usize) -> String {
    let outside = format!("www{}.example.com", draw.below(1_000));
    match draw.below(4) {
        0 => format!("{outside}.ns{namespace}.svc.cluster.local"),
        1 => format!("{outside}.svc.cluster.local"),
        2 => format!("{outside}.cluster.local"),
        _ => format!("web{}.ns0.ns{namespace}.svc.cluster.local", draw.below(1_000)),
    }
}

/// Numbers that are the same in every run (splitmix64).
pub struct Draw(pub u64);

impl Draw {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}

/// Where random names of the cluster are: of Services in one of its namespaces.
pub const CLUSTER: &str = "ns7.svc.cluster.local";
/// Where random names of others are.
pub const OTHERS: &str = "example.org";

/// Different queries in a file.
const QUERIES: usize = 100_000;
