//! Options and objects → pools.
//!
//! A bad range costs that range only. Where two pools have one address, it is the older one's.

use std::sync::Arc;

use ipnet::IpNet;

use super::super::space::{AddressSpace, count, without};
use super::{Audience, Pool, Pools};
use crate::compile::address::parse_ip;
use crate::compile::order::Seniority;
use crate::compile::report::{Findings, Subject};
use crate::compile::settings::{AddressRange, PoolRange};
use crate::manifest::meta::LabelSelector;
use crate::manifest::pool::{CiliumLoadBalancerIpPool, IpAddressPool, IpBlock};
use crate::manifest::{Code, Kind, Origin};
use crate::store::{Objects, Stored};

impl<'a> Pools<'a> {
    pub(in super::super) fn read(
        objects: &'a Objects,
        options: &[PoolRange],
        findings: &mut Findings,
    ) -> Self {
        let mut reader = Reader { drawn: Vec::new(), pools: Vec::new(), findings };
        reader.options(options);
        let metallb = objects.ip_address_pools.iter().map(|(key, stored)| {
            (Seniority::of(&stored.object.metadata, key), Written::Metallb(stored))
        });
        let cilium = objects.cilium_pools.iter().map(|(key, stored)| {
            (Seniority::of(&stored.object.metadata, key), Written::Cilium(stored))
        });
        let mut written: Vec<_> = metallb.chain(cilium).collect();
        written.sort_by_key(|(seniority, _)| *seniority);
        for (seniority, written) in written {
            match written {
                Written::Metallb(stored) => {
                    let subject = Subject::new(Kind::IpAddressPool, seniority.key(), stored);
                    reader.metallb(subject, &stored.object);
                }
                Written::Cilium(stored) => {
                    let kind = Kind::CiliumLoadBalancerIpPool;
                    let subject = Subject::new(kind, seniority.key(), stored);
                    reader.cilium(subject, &stored.object);
                }
            }
        }
        Self { pools: reader.pools, objects }
    }
}

enum Written<'a> {
    Metallb(&'a Stored<IpAddressPool>),
    Cilium(&'a Stored<CiliumLoadBalancerIpPool>),
}

struct Reader<'a, 'f> {
    /// Every range so far, with the name of its pool.
    drawn: Vec<(AddressRange, Arc<str>)>,
    pools: Vec<Pool<'a>>,
    findings: &'f mut Findings,
}

impl<'a> Reader<'a, '_> {
    /// Ranges of one name are one pool.
    fn options(&mut self, ranges: &[PoolRange]) {
        let mut names: Vec<&Arc<str>> = Vec::new();
        for range in ranges {
            if !names.contains(&&range.pool) {
                names.push(&range.pool);
            }
        }
        for name in names {
            let title = match &**name {
                "" => "--lb-pool".to_owned(),
                name => format!("pool {name} (--lb-pool)"),
            };
            let of_pool = ranges.iter().filter(|it| it.pool == *name);
            let of_pool: Vec<_> = of_pool.map(|it| (String::new(), it.range)).collect();
            let space = self.draw(None, &title.as_str().into(), of_pool);
            self.pools.push(Pool::new(name.clone(), title, Origin::default(), space));
        }
    }

    fn metallb(&mut self, subject: Subject<'a>, pool: &'a IpAddressPool) {
        let spec = &pool.spec;
        let mut ranges = Vec::new();
        for (place, written) in spec.addresses.iter().enumerate() {
            let field = format!("spec.addresses[{place}]");
            match range(written) {
                Ok(range) => ranges.push((field, range)),
                Err(problem) => self.refuse(subject, &field, problem),
            }
        }
        if spec.addresses.is_empty() {
            self.refuse(subject, "spec.addresses", ("the pool has no addresses".to_owned(), None));
        }
        let space = self.draw_for(subject, ranges);
        let mut pool = Pool::of(subject, space);
        pool.avoids_buggy = spec.avoid_buggy_ips;
        pool.is_automatic = spec.auto_assign.unwrap_or(true);
        if let Some(allocation) = &spec.service_allocation {
            let priority = allocation.priority.and_then(|it| u64::try_from(it).ok());
            pool.rank = priority.filter(|it| *it > 0).unwrap_or(PINNED);
            pool.audience = Some(Audience {
                namespaces: &allocation.namespaces,
                namespace_selectors: &allocation.namespace_selectors,
                services: &allocation.service_selectors,
            });
            let field = "spec.serviceAllocation.namespaceSelectors";
            self.check(subject, field, &allocation.namespace_selectors);
            let field = "spec.serviceAllocation.serviceSelectors";
            self.check(subject, field, &allocation.service_selectors);
        }
        self.pools.push(pool);
    }

    fn cilium(&mut self, subject: Subject<'a>, pool: &'a CiliumLoadBalancerIpPool) {
        let spec = &pool.spec;
        let yes_or_no = spec.allow_first_last_ips.as_deref().unwrap_or("Yes");
        subject.one_of(self.findings, "spec.allowFirstLastIPs", yes_or_no, &["Yes", "No"]);
        let (mut ranges, mut reserved) = (Vec::new(), Vec::new());
        for (list, blocks) in [("spec.blocks", &spec.blocks), ("spec.cidrs", &spec.cidrs)] {
            for (place, written) in blocks.iter().enumerate() {
                match block(written) {
                    Ok(range) => {
                        // of two addresses or one nothing would be left
                        if yes_or_no == "No" && has_cidr(written) && count(range) > 2 {
                            reserved.extend([range.first, range.last]);
                        }
                        ranges.push((format!("{list}[{place}]"), range));
                    }
                    Err((part, problem)) => {
                        let field = format!("{list}[{place}].{part}");
                        self.refuse(subject, &field, (problem, None));
                    }
                }
            }
        }
        if spec.blocks.is_empty() && spec.cidrs.is_empty() {
            self.refuse(subject, "spec.blocks", ("the pool has no addresses".to_owned(), None));
        }
        let space = self.draw_for(subject, ranges);
        let mut pool = Pool::of(subject, space);
        pool.reserved = reserved;
        pool.is_disabled = spec.disabled;
        if let Some(selector) = &spec.service_selector {
            pool.rank = PINNED;
            let services = std::slice::from_ref(selector);
            pool.audience = Some(Audience { services, ..Audience::default() });
            self.check_selector(subject, "spec.serviceSelector", selector);
        }
        self.pools.push(pool);
    }

    fn draw_for(
        &mut self,
        subject: Subject<'a>,
        ranges: Vec<(String, AddressRange)>,
    ) -> AddressSpace {
        self.draw(Some(subject), &subject.named().into(), ranges)
    }

    /// The addresses of these ranges that no pool has yet.
    fn draw(
        &mut self,
        subject: Option<Subject<'_>>,
        name: &Arc<str>,
        ranges: Vec<(String, AddressRange)>,
    ) -> AddressSpace {
        let mut kept = Vec::new();
        for (field, range) in ranges {
            let mut rest = vec![range];
            for (other, owner) in &self.drawn {
                let before = rest.clone();
                rest = rest.into_iter().flat_map(|it| without(it, *other)).collect();
                let Some(subject) = subject.filter(|_| rest != before) else { continue };
                let message = format!("{range} overlaps {other} of {owner}, which gives those");
                let finding = subject.error(Code::Conflict, &field, message);
                let help = "give each address to one pool";
                self.findings.push(finding.help(help));
            }
            kept.extend(rest);
            self.drawn.push((range, name.clone()));
        }
        AddressSpace::new(kept.into_iter())
    }

    fn refuse(
        &mut self,
        subject: Subject<'_>,
        field: &str,
        (message, help): (String, Option<String>),
    ) {
        let mut finding = subject.error(Code::BadValue, field, message);
        finding.help = help;
        self.findings.push(finding);
    }

    fn check(&mut self, subject: Subject<'_>, field: &str, selectors: &[LabelSelector]) {
        for (place, selector) in selectors.iter().enumerate() {
            self.check_selector(subject, &format!("{field}[{place}]"), selector);
        }
    }

    fn check_selector(&mut self, subject: Subject<'_>, field: &str, selector: &LabelSelector) {
        for (place, it) in selector.match_expressions.iter().enumerate() {
            let field = format!("{field}.matchExpressions[{place}].operator");
            let operators = ["In", "NotIn", "Exists", "DoesNotExist"];
            subject.one_of(self.findings, &field, &it.operator, &operators);
        }
    }
}

impl Pool<'_> {
    fn of(subject: Subject<'_>, space: AddressSpace) -> Self {
        let title = subject.reference().to_string();
        Self::new(subject.key().name.clone(), title, subject.origin().clone(), space)
    }

    /// For everybody.
    fn new(name: Arc<str>, title: String, origin: Origin, space: AddressSpace) -> Self {
        Self {
            name,
            title: title.into(),
            origin,
            space,
            reserved: Vec::new(),
            avoids_buggy: false,
            audience: None,
            rank: u64::MAX,
            is_automatic: true,
            is_disabled: false,
        }
    }
}

/// The rank of a pool that says whom it is for, but not how much.
const PINNED: u64 = u64::MAX - 1;

/// A CIDR, or `FIRST-LAST`, as MetalLB reads it; else what is wrong, and the remedy.
fn range(written: &str) -> Result<AddressRange, (String, Option<String>)> {
    if let Some((first, last)) = written.split_once('-') {
        return from_to(first.trim(), last.trim()).map_err(|problem| (problem, None));
    }
    if let Ok(net) = written.parse::<IpNet>() {
        return Ok(whole(net));
    }
    let help = match parse_ip(written) {
        Some(ip) if ip.is_ipv4() => format!("write {ip}/32"),
        Some(ip) => format!("write {ip}/128"),
        None => "write 192.0.2.0/24 or 192.0.2.10-192.0.2.20".to_owned(),
    };
    Err((format!("{written:?} is neither a CIDR nor FIRST-LAST"), Some(help)))
}

/// Else the part that is wrong, and why.
fn block(written: &IpBlock) -> Result<AddressRange, (&'static str, String)> {
    if let Some(cidr) = filled(written.cidr.as_ref()) {
        let net = cidr.parse::<IpNet>().map_err(|_| ("cidr", format!("{cidr:?} is no CIDR")))?;
        return Ok(whole(net));
    }
    let start = filled(written.start.as_ref())
        .ok_or_else(|| ("cidr", "the block has neither cidr nor start".to_owned()))?;
    let stop = filled(written.stop.as_ref()).unwrap_or(start);
    let part = if parse_ip(start).is_none() { "start" } else { "stop" };
    from_to(start, stop).map_err(|problem| (part, problem))
}

fn has_cidr(written: &IpBlock) -> bool {
    filled(written.cidr.as_ref()).is_some()
}

fn filled(text: Option<&Arc<str>>) -> Option<&str> {
    text.map(AsRef::as_ref).filter(|text: &&str| !text.is_empty())
}

fn from_to(first: &str, last: &str) -> Result<AddressRange, String> {
    let ip = |text: &str| parse_ip(text).ok_or_else(|| format!("{text:?} is no IP address"));
    let (first, last) = (ip(first)?, ip(last)?);
    if first.is_ipv4() != last.is_ipv4() {
        return Err(format!("{first} and {last} are not of one family"));
    }
    if first > last {
        return Err(format!("{first} comes after {last}"));
    }
    Ok(AddressRange { first, last })
}

fn whole(net: IpNet) -> AddressRange {
    AddressRange { first: net.network(), last: net.broadcast() }
}
