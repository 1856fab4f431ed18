//! Names: what the DNS plane answers from (Kubernetes DNS specification 1.1.0).
//!
//! In: built by `compile`. Out: [`Zone::lookup`], which `plane::dns` puts on the wire and
//! `explain` prints; and [`Zone::search`], what a name that does not exist is in search lists.
//!
//! The order is that of CoreDNS: names are rewritten, then looked up in hosts, in the zone, and at
//! upstreams.
//! Invariant: a lookup is pure; it knows no wire format, clock or socket.
//! Deliberately absent: the answers of other zones (only who is asked for them is here), wildcards (`*.svc.…`; dropped by CoreDNS 1.9.0), names of the
//! endpoints of Services that have virtual addresses (not in the specification).

mod clients;
mod decision;
mod forward;
mod hosts;
mod lookup;
mod record;
mod rewrite;
mod search;
mod upstream;

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

pub use clients::{Client, Clients, Mention};
pub use decision::Decision;
pub use forward::{
    Alternate, CachePolicy, Forward, ForwardPolicy, ForwardRoute, Unknown, is_within,
};
pub use hosts::{Hosts, HostsEntry};
pub use record::{Lookup, Outcome, Query, Record, RecordData};
pub use rewrite::{
    AnswerRewrite, NameChange, NameMatch, NamePattern, Rewrite, Rewrites, Rewritten,
};
pub use search::Search;
pub use upstream::{Upstream, UpstreamTransport};

use ipnet::IpNet;

use super::{SortedMap, Transport};
use crate::manifest::{ObjectKey, Origin};

/// The cluster zone. All names are lower-case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Zone {
    /// `cluster.local`, without the trailing dot.
    pub domain: Arc<str>,
    /// Time to live of answers, in seconds.
    pub ttl: u32,
    /// Namespaces that exist: those with an object, and those written as objects.
    pub namespaces: BTreeSet<Arc<str>>,
    /// Services by namespace and name.
    pub services: SortedMap<ObjectKey, ZoneService>,
    /// Where they are written: for `explain`.
    pub origins: SortedMap<ObjectKey, Origin>,
    /// Which Services have an address that has names; of one address in order.
    pub reverse: SortedMap<ReverseEntry, ()>,
    /// Addresses of which nobody else can know names.
    pub reverse_zones: Vec<IpNet>,
    /// Names that somebody wrote down; they win over all others.
    pub hosts: Arc<Hosts>,
    /// Who is asked about the names of others.
    pub forward: Arc<Forward>,
    /// Who asks, by address.
    pub clients: Clients,
    /// What hosts add to the search lists of their Pods, in order; `None`: clients go through their
    /// lists themselves.
    pub search_domains: Option<Arc<[Arc<str>]>>,
    /// Zones of which upstreams are asked for what is not here: lower-case, without the trailing
    /// dot; the empty one is all.
    pub fallthrough: Vec<Arc<str>>,
    /// Which names Pods have by their addresses.
    pub pods: PodNames,
    /// Which names are asked for instead of others.
    pub rewrites: Rewrites,
}

impl Zone {
    /// Where the line of the hosts file is, or else the Service, that a name is or is below of.
    pub fn origin(&self, name: &str) -> Option<&Origin> {
        if let Some(entry) = self.hosts.name(name) {
            return Some(&entry.origin);
        }
        let mut labels = self.inner(name)?.rsplit('.');
        let (kind, namespace, service) = (labels.next()?, labels.next()?, labels.next()?);
        self.origins.find(is_named(namespace, service)).filter(|_| kind == "svc")
    }

    /// What a Service's name leads to.
    pub fn service(&self, namespace: &str, name: &str) -> Option<&ZoneService> {
        self.services.find(is_named(namespace, name))
    }

    /// The names of an address, fully qualified without the trailing dot; `None` if it has none. A
    /// virtual address is that of its Service, also where it is the endpoint of another.
    pub fn names_of(&self, ip: IpAddr) -> Option<impl Iterator<Item = Arc<str>>> {
        let entries = move || self.reverse.range(move |entry| entry.address.cmp(&ip));
        let services = move || entries().map(|(entry, ())| &*entry.service);
        let has_virtual = services().any(|it| !self.is_headless(it));
        let mut services =
            services().filter(move |it| !has_virtual || !self.is_headless(it)).peekable();
        services.peek()?;
        Some(services.flat_map(move |service| self.names_in(service, ip)))
    }

    fn is_headless(&self, service: &ObjectKey) -> bool {
        let service = self.service(&service.namespace, &service.name);
        matches!(service, Some(ZoneService::Headless { .. }))
    }

    /// The names that a Service gives one of its addresses: that of each endpoint there, or its own.
    fn names_in(&self, service: &ObjectKey, ip: IpAddr) -> Vec<Arc<str>> {
        let ObjectKey { namespace, name } = service;
        let domain = &self.domain;
        let Some(ZoneService::Headless { endpoints }) = self.service(namespace, name) else {
            return vec![format!("{name}.{namespace}.svc.{domain}").into()];
        };
        let first = endpoints.partition_point(|endpoint| endpoint.address < ip);
        let there = endpoints.iter().skip(first).take_while(|endpoint| endpoint.address == ip);
        there.map(|it| format!("{}.{name}.{namespace}.svc.{domain}", it.hostname).into()).collect()
    }
}

/// How a key compares to a namespace and a name.
fn is_named<'n>(namespace: &'n str, name: &'n str) -> impl Fn(&ObjectKey) -> Ordering + 'n {
    move |key| (&*key.namespace, &*key.name).cmp(&(namespace, name))
}

/// An address that has names in a Service. Which ones, the Service tells: there are as many of these
/// as endpoints.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReverseEntry {
    /// Virtual, or that of an endpoint.
    pub address: IpAddr,
    /// Lower-case.
    pub service: Arc<ObjectKey>,
}

/// Which names `<address with dashes>.<namespace>.pod.<zone>` there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PodNames {
    /// None.
    Disabled,
    /// All, whether a Pod has the address or not.
    #[default]
    Insecure,
    /// Those of these addresses, by namespace.
    Verified(BTreeMap<Arc<str>, BTreeSet<IpAddr>>),
}

/// What a Service name leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ZoneService {
    /// Virtual addresses.
    ClusterIp {
        /// One a family.
        addresses: Vec<IpAddr>,
        /// Named ports have SRV records.
        ports: Vec<ZonePort>,
    },
    /// The endpoints themselves; none: the name does not exist.
    Headless {
        /// Ready ones, by address.
        endpoints: Arc<[ZoneEndpoint]>,
    },
    /// Nothing: no endpoint is ready, and the name is not to exist then.
    Empty {
        /// Virtual ones, which have names all the same.
        addresses: Vec<IpAddr>,
    },
    /// Another name.
    External {
        /// Without the trailing dot.
        name: Arc<str>,
    },
}

/// A named port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ZonePort {
    /// Its name, lower-case.
    pub name: Arc<str>,
    /// Its transport, the second label of SRV names.
    pub transport: Transport,
    /// Its number.
    pub port: u16,
}

/// An endpoint of a headless Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneEndpoint {
    /// First label of its name: `hostname`, else the address with dashes.
    pub hostname: Arc<str>,
    /// Its address.
    pub address: IpAddr,
    /// Its named ports, as numbered on this endpoint; shared with those that have the same.
    pub ports: Arc<[ZonePort]>,
}
