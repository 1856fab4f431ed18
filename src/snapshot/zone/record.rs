//! What a lookup is asked for, and what it finds.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use serde::Serialize;

use super::{Decision, Rewritten};

/// The types of query that names of the zone tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Query {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Ports, with the names they are at.
    Srv,
    /// The name of an address.
    Ptr,
    /// Text; only `dns-version` has it.
    Txt,
    /// The start of authority.
    Soa,
    /// The name server.
    Ns,
    /// The alias itself, without what it leads to.
    Cname,
    /// Anything, answered by as little as possible (RFC 8482).
    Any,
    /// Every other type: no name of the zone has it.
    Other,
}

impl Query {
    /// Whether it can be answered with what another name has, by an alias to that: not if the alias
    /// itself would be the answer.
    pub fn is_searched(self) -> bool {
        !matches!(self, Self::Cname | Self::Any)
    }
}

/// Everything there is to say to a question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lookup {
    /// What was looked up instead of the name that was asked for. Records have the names that the
    /// client is to see.
    pub rewritten: Option<Rewritten>,
    /// What the name is.
    pub decision: Decision,
    /// The answer.
    pub outcome: Outcome,
    /// The start of authority that goes with [`Outcome::NoData`] and [`Outcome::NxDomain`].
    pub authority: Option<Record>,
    /// Addresses of the names in the answer, to spare the client another query.
    pub additional: Vec<Record>,
}

/// The answer to a question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Never empty; aliases stand before what they lead to.
    Records(Vec<Record>),
    /// The name exists, and has nothing of this type.
    NoData,
    /// There is no such name, nor any below it.
    NxDomain,
    /// Not ours to say.
    OutOfZone,
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Record {
    /// Its owner: lower-case, without the trailing dot.
    pub name: Arc<str>,
    /// Time to live, in seconds.
    pub ttl: u32,
    /// What it says.
    pub data: RecordData,
}

/// What a record says. Names are lower-case, without the trailing dot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum RecordData {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// An IPv6 address.
    Aaaa(Ipv6Addr),
    /// A port.
    Srv {
        /// Always 0.
        priority: u16,
        /// The share of one among all, in percent; at least 1.
        weight: u16,
        /// The port's number.
        port: u16,
        /// The name that it is at.
        target: Arc<str>,
    },
    /// The name of an address.
    Ptr(Arc<str>),
    /// The name that this one stands for.
    Cname(Arc<str>),
    /// One string.
    Txt(Arc<str>),
    /// Start of authority. Its serial is that of the snapshot, which a zone does not know: it
    /// is set by whoever sends the record.
    Soa {
        /// The primary name server.
        primary: Arc<str>,
        /// The mailbox of who is responsible, as a name.
        mailbox: Arc<str>,
        /// How long to remember that something does not exist, in seconds.
        minimum: u32,
    },
    /// A name server.
    Ns(Arc<str>),
    /// The answer to [`Query::Any`]: there is more, ask for it by type (RFC 8482 section 4.2).
    Hinfo,
}

impl RecordData {
    /// Whether it is an address of either family.
    pub fn is_address(&self) -> bool {
        self.address().is_some()
    }

    /// The address, if it is one.
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Self::A(ip) => Some(IpAddr::V4(*ip)),
            Self::Aaaa(ip) => Some(IpAddr::V6(*ip)),
            Self::Srv { .. }
            | Self::Ptr(_)
            | Self::Cname(_)
            | Self::Txt(_)
            | Self::Soa { .. }
            | Self::Ns(_)
            | Self::Hinfo => None,
        }
    }
}

/// As in a zone file (RFC 1035 section 5.1), without the serial of an SOA.
impl fmt::Display for RecordData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::A(ip) => write!(f, "A {ip}"),
            Self::Aaaa(ip) => write!(f, "AAAA {ip}"),
            Self::Srv { priority, weight, port, target } => {
                write!(f, "SRV {priority} {weight} {port} {target}")
            }
            Self::Ptr(name) => write!(f, "PTR {name}"),
            Self::Cname(name) => write!(f, "CNAME {name}"),
            Self::Txt(text) => write!(f, "TXT {text:?}"),
            Self::Soa { primary, mailbox, minimum } => {
                write!(f, "SOA {primary} {mailbox} {minimum}")
            }
            Self::Ns(name) => write!(f, "NS {name}"),
            Self::Hinfo => f.write_str("HINFO \"RFC8482\""),
        }
    }
}
