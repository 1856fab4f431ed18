//! The lookup: from a name and a type to records, row by row of the specification.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use target::{Target, has_protocol, is_port, ports, targets};
use written::{reversed, undashed};

use super::{
    Decision, Lookup, Outcome, PodNames, Query, Record, RecordData, Rewritten, Zone, ZoneService,
    is_within,
};

mod hosts;
mod target;
mod written;

#[cfg(test)]
mod tests;

impl Zone {
    /// Answers one question. The name is in any case, without the trailing dot; owners in the
    /// answer are lower-case.
    pub fn lookup(&self, name: &str, query: Query) -> Lookup {
        let name: Arc<str> = name.to_ascii_lowercase().into();
        let rewritten = self.rewrites.rewrite(&name);
        let Some(rewritten) = rewritten else { return self.look_up(&name, query) };
        if !rewritten.is_name() {
            return Lookup { rewritten: Some(rewritten), ..outside(Decision::NoName) };
        }
        restored(self.look_up(&rewritten.name, query), rewritten)
    }

    fn look_up(&self, name: &Arc<str>, query: Query) -> Lookup {
        match self.find(name, query) {
            Found::Outside => outside(Decision::OutOfZone),
            Found::Missing(decision) if self.falls_through(name) => outside(decision),
            Found::Missing(decision) => self.negative(decision, Outcome::NxDomain, name),
            Found::Here(here) => self.positive(name, here, query),
        }
    }

    /// Whether upstreams are asked for a name that is not here.
    fn falls_through(&self, name: &str) -> bool {
        let is_meant = self.fallthrough.iter().any(|zone| is_within(name, zone));
        is_meant && self.forward.route(name).is_some()
    }

    fn positive(&self, name: &Arc<str>, here: Here, query: Query) -> Lookup {
        let Here { decision, data, mut additional } = here;
        let data = if query == Query::Any { vec![RecordData::Hinfo] } else { data };
        if data.is_empty() {
            return self.negative(decision, Outcome::NoData, name);
        }
        let mut records = self.records(name, decision, data);
        if query != Query::Cname {
            self.follow(&mut records, &mut additional, query);
        }
        let outcome = Outcome::Records(records);
        Lookup { rewritten: None, decision, outcome, authority: None, additional }
    }

    fn negative(&self, decision: Decision, outcome: Outcome, name: &Arc<str>) -> Lookup {
        // of a reverse zone we know single names only: each is a zone of its own
        let is_reverse = matches!(decision, Decision::Reverse | Decision::NoSuchAddress);
        let apex = if is_reverse { name } else { &self.domain };
        // a hosts file is no zone, so nothing is said of how long to remember what it has not
        let has_zone = !matches!(decision, Decision::HostsName | Decision::HostsAddress);
        let authority = has_zone.then(|| self.record(apex, self.start_of_authority()));
        Lookup { rewritten: None, decision, outcome, authority, additional: Vec::new() }
    }

    /// Adds what the alias at the end leads to, as far as it is in the zone. What is outside, or
    /// does not exist, or leads back, ends the chain where it is, as with CoreDNS.
    fn follow(&self, records: &mut Vec<Record>, additional: &mut Vec<Record>, query: Query) {
        for _ in 0..LONGEST_CHAIN {
            let Some(RecordData::Cname(target)) = records.last().map(|last| &last.data) else {
                return;
            };
            let target = target.clone();
            if records.iter().any(|record| record.name == target) {
                return;
            }
            let Found::Here(here) = self.find(&target, query) else { return };
            records.extend(self.records(&target, here.decision, here.data));
            additional.extend(here.additional);
        }
    }

    fn find(&self, name: &str, query: Query) -> Found {
        if let Some(found) = self.in_hosts(name, query) {
            return found;
        }
        if name.ends_with(".arpa") {
            return self.reverse(name, query);
        }
        let Some(inner) = self.inner(name) else { return Found::Outside };
        let labels: Vec<&str> = inner.rsplit('.').collect();
        match labels.as_slice() {
            [""] => self.apex(query),
            ["dns-version"] => {
                let version = RecordData::Txt(SCHEMA_VERSION.into());
                Found::here(Decision::DnsVersion, only(query == Query::Txt, version))
            }
            ["svc" | "pod" | "dns"] => Found::here(Decision::InnerName, Vec::new()),
            ["dns", "ns"] => {
                Found::here(Decision::NameServer, addresses(self.own_addresses(), query))
            }
            ["svc", namespace, below @ ..] => self.in_namespace(namespace, below, query),
            ["pod", namespace, below @ ..] => self.pod(namespace, below, query),
            _ => Found::Missing(Decision::UnknownName),
        }
    }

    /// The part of a name before the zone's; empty at the apex.
    pub(super) fn inner<'n>(&self, name: &'n str) -> Option<&'n str> {
        let inner = name.strip_suffix(&*self.domain)?;
        if inner.is_empty() { Some(inner) } else { inner.strip_suffix('.') }
    }

    fn apex(&self, query: Query) -> Found {
        let server = self.name_server();
        let mut here = Here { decision: Decision::Apex, data: Vec::new(), additional: Vec::new() };
        if query == Query::Soa {
            here.data = vec![self.start_of_authority()];
        }
        if query == Query::Ns {
            here.additional = self.addresses_of(&server, self.own_addresses());
            here.data = vec![RecordData::Ns(server)];
        }
        Found::Here(here)
    }

    fn in_namespace(&self, namespace: &str, below: &[&str], query: Query) -> Found {
        if !self.namespaces.contains(namespace) {
            return Found::Missing(Decision::NoSuchNamespace);
        }
        let [name, below @ ..] = below else {
            return Found::here(Decision::InnerName, Vec::new());
        };
        let service = self.service(namespace, name);
        let owner = || format!("{name}.{namespace}.svc.{}", self.domain);
        match service {
            None => Found::Missing(Decision::NoSuchService),
            Some(ZoneService::External { name }) if below.is_empty() => {
                let alias = RecordData::Cname(name.clone());
                Found::here(Decision::ExternalName, only(query != Query::Any, alias))
            }
            Some(ZoneService::External { .. }) => Found::Missing(Decision::BelowExternalName),
            Some(ZoneService::Empty { .. }) => Found::Missing(Decision::EmptyService),
            Some(ZoneService::Headless { endpoints }) if endpoints.is_empty() => {
                Found::Missing(Decision::NoReadyEndpoint)
            }
            Some(service) => self.in_service(&targets(service), below, query, owner),
        }
    }

    fn in_service(
        &self,
        targets: &[Target<'_>],
        below: &[&str],
        query: Query,
        owner: impl Fn() -> String,
    ) -> Found {
        match below {
            [] => {
                let is_headless = targets.iter().any(|target| target.hostname.is_some());
                let decision = if is_headless {
                    Decision::HeadlessEndpoints
                } else {
                    Decision::ServiceAddress
                };
                self.answer(decision, targets, query, owner)
            }
            [protocol] if has_protocol(targets, protocol) => {
                Found::here(Decision::InnerName, Vec::new())
            }
            [hostname] => {
                let mut named = targets.to_vec();
                named.retain(|target| target.hostname == Some(hostname));
                if named.is_empty() {
                    return Found::Missing(Decision::NoSuchEndpoint);
                }
                self.answer(Decision::EndpointHostname, &named, query, owner)
            }
            [protocol, port] => {
                let ports = ports(targets, |offered| is_port(offered, port, protocol));
                if ports.is_empty() {
                    return Found::Missing(Decision::NoSuchPort);
                }
                let ports = if query == Query::Srv { ports } else { BTreeSet::new() };
                self.service_records(Decision::ServicePort, &ports, targets, owner)
            }
            _ => Found::Missing(Decision::TooManyLabels),
        }
    }

    /// Addresses of the targets, or all their named ports (SRV at the bare name, as CoreDNS).
    fn answer(
        &self,
        decision: Decision,
        targets: &[Target<'_>],
        query: Query,
        owner: impl Fn() -> String,
    ) -> Found {
        if query == Query::Srv {
            return self.service_records(decision, &ports(targets, |_| true), targets, owner);
        }
        let each = targets.iter().flat_map(|target| target.addresses);
        let mut data = addresses(each, query);
        // one that has several names is there several times, side by side
        data.dedup();
        Found::here(decision, data)
    }

    /// One SRV record for each target name and port.
    fn service_records(
        &self,
        decision: Decision,
        ports: &BTreeSet<(Option<&str>, u16)>,
        targets: &[Target<'_>],
        owner: impl Fn() -> String,
    ) -> Found {
        let share = 100 / u16::try_from(ports.len().max(1)).unwrap_or(u16::MAX);
        let (mut data, mut additional) = (Vec::new(), Vec::new());
        let mut last = None;
        for (hostname, port) in ports {
            let name: Arc<str> = match hostname {
                Some(hostname) => format!("{hostname}.{}", owner()).into(),
                None => owner().into(),
            };
            if last.replace(hostname) != Some(hostname) {
                let named = targets.iter().filter(|target| target.hostname == *hostname);
                let each = named.flat_map(|target| target.addresses);
                additional.extend(self.addresses_of(&name, each));
            }
            let (port, weight) = (*port, share.max(1));
            data.push(RecordData::Srv { priority: 0, weight, port, target: name });
        }
        Found::Here(Here { decision, data, additional })
    }

    /// `1-2-3-4.<namespace>.pod.<zone>`: not in the specification since 2019, but relied on.
    fn pod(&self, namespace: &str, below: &[&str], query: Query) -> Found {
        if self.pods == PodNames::Disabled {
            return Found::Missing(Decision::PodNamesDisabled);
        }
        if !self.namespaces.contains(namespace) {
            return Found::Missing(Decision::NoSuchNamespace);
        }
        match below {
            [] => Found::here(Decision::InnerName, Vec::new()),
            [label] => match undashed(label) {
                Some(ip) if self.has_pod(namespace, ip) => {
                    Found::here(Decision::PodName, addresses([&ip], query))
                }
                Some(_) => Found::Missing(Decision::NoSuchPod),
                None => Found::Missing(Decision::NotAnAddress),
            },
            _ => Found::Missing(Decision::TooManyLabels),
        }
    }

    fn has_pod(&self, namespace: &str, ip: IpAddr) -> bool {
        match &self.pods {
            PodNames::Disabled => false,
            PodNames::Insecure => true,
            PodNames::Verified(pods) => pods.get(namespace).is_some_and(|ips| ips.contains(&ip)),
        }
    }

    fn reverse(&self, name: &str, query: Query) -> Found {
        let Some(ip) = reversed(name) else { return Found::Outside };
        let Some(names) = self.names_of(ip) else {
            let is_ours = self.reverse_zones.iter().any(|net| net.contains(&ip));
            return if is_ours { Found::Missing(Decision::NoSuchAddress) } else { Found::Outside };
        };
        let names = names.filter(|_| query == Query::Ptr);
        Found::here(Decision::Reverse, names.map(RecordData::Ptr).collect())
    }

    /// Where this server is reached inside a cluster: the Service that every cluster has for it.
    fn own_addresses(&self) -> &[IpAddr] {
        match self.service("kube-system", "kube-dns") {
            Some(ZoneService::ClusterIp { addresses, .. }) => addresses,
            Some(
                ZoneService::Headless { .. }
                | ZoneService::External { .. }
                | ZoneService::Empty { .. },
            )
            | None => &[],
        }
    }

    fn name_server(&self) -> Arc<str> {
        format!("ns.dns.{}", self.domain).into()
    }

    fn start_of_authority(&self) -> RecordData {
        let mailbox = format!("hostmaster.{}", self.domain).into();
        RecordData::Soa { primary: self.name_server(), mailbox, minimum: self.ttl }
    }

    fn addresses_of<'i>(
        &self,
        name: &Arc<str>,
        ips: impl IntoIterator<Item = &'i IpAddr>,
    ) -> Vec<Record> {
        ips.into_iter().map(|ip| self.record(name, address(*ip))).collect()
    }

    fn records(&self, name: &Arc<str>, decision: Decision, data: Vec<RecordData>) -> Vec<Record> {
        let ttl = self.ttl_of(decision);
        data.into_iter().map(|data| Record { name: name.clone(), ttl, data }).collect()
    }

    fn record(&self, name: &Arc<str>, data: RecordData) -> Record {
        Record { name: name.clone(), ttl: self.ttl, data }
    }
}

fn outside(decision: Decision) -> Lookup {
    let (outcome, additional) = (Outcome::OutOfZone, Vec::new());
    Lookup { rewritten: None, decision, outcome, authority: None, additional }
}

/// The lookup of another name as the answer to who asked for the one that it was made of.
fn restored(mut lookup: Lookup, rewritten: Rewritten) -> Lookup {
    let answers = match &mut lookup.outcome {
        Outcome::Records(records) => records.as_mut_slice(),
        Outcome::NoData | Outcome::NxDomain | Outcome::OutOfZone => &mut [],
    };
    let records = answers.iter_mut().chain(&mut lookup.authority).chain(&mut lookup.additional);
    records.for_each(|record| rewritten.restore(record));
    Lookup { rewritten: Some(rewritten), ..lookup }
}

/// What is at a name.
enum Found {
    Outside,
    Missing(Decision),
    Here(Here),
}

/// A name that exists; without data of the type, if `data` is empty.
struct Here {
    decision: Decision,
    data: Vec<RecordData>,
    additional: Vec<Record>,
}

impl Found {
    fn here(decision: Decision, data: Vec<RecordData>) -> Self {
        Self::Here(Here { decision, data, additional: Vec::new() })
    }
}

fn addresses<'i>(ips: impl IntoIterator<Item = &'i IpAddr>, query: Query) -> Vec<RecordData> {
    let is_wanted = |ip: &&IpAddr| match ip {
        IpAddr::V4(_) => query == Query::A,
        IpAddr::V6(_) => query == Query::Aaaa,
    };
    ips.into_iter().filter(is_wanted).map(|ip| address(*ip)).collect()
}

fn address(ip: IpAddr) -> RecordData {
    match ip {
        IpAddr::V4(ip) => RecordData::A(ip),
        IpAddr::V6(ip) => RecordData::Aaaa(ip),
    }
}

fn only(is_wanted: bool, data: RecordData) -> Vec<RecordData> {
    if is_wanted { vec![data] } else { Vec::new() }
}

/// Of the specification that the names follow.
const SCHEMA_VERSION: &str = "1.1.0";

/// Seconds; the specification's own.
const VERSION_TTL: u32 = 28_800;

/// How many aliases are followed, as by CoreDNS.
const LONGEST_CHAIN: usize = 10;
