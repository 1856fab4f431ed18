//! Addresses of LoadBalancers, in MetalLB's order: what a Service has and may still have; what it
//! asks for; one of the pool that it asks for; one of any pool that is for it, by priority.
//!
//! A round goes through all Services, the oldest first, before the next one begins: nobody's
//! address is given to another. Services of another `loadBalancerClass`, and those whose status
//! names addresses of no pool, have what their status says.

mod tell;
mod wish;

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::compile::address::Family;
use crate::compile::report::Findings;
use crate::compile::services::{Exposed, FamilyPolicy, Services};
use crate::compile::settings::Settings;
use crate::manifest::{Code, Finding, ObjectKey};
use crate::snapshot::LoadBalancer;

use super::Allocations;
use super::claims::Claims;
use super::pools::{PoolPlace, Pools};
use super::request::Terms;
use wish::Wish;

/// Who has which addresses.
#[derive(Debug, Default)]
pub(super) struct LoadBalancers {
    pub(super) addresses: BTreeMap<ObjectKey, Vec<IpAddr>>,
    /// With whom each would share.
    pub(super) terms: BTreeMap<ObjectKey, Terms>,
    /// Why they have them.
    pub(super) told: BTreeMap<ObjectKey, LoadBalancer>,
}

pub(super) fn load_balancers(
    services: &Services<'_>,
    pools: Pools<'_>,
    settings: &Settings,
    held: &Allocations,
    findings: &mut Findings,
) -> LoadBalancers {
    let balanced = services
        .by_age()
        .map(|(_, service)| service)
        .filter(|service| service.exposed == Exposed::LoadBalancer && service.is_proxied());
    let wishes: Vec<Wish<'_, '_>> =
        balanced.map(|it| Wish::read(it, &pools, settings, held, findings)).collect();
    let mut allocation = Allocation {
        pools,
        claims: Claims::default(),
        outcomes: BTreeMap::new(),
        settings,
        findings,
    };
    // whoever changed what it shares by gives way to those who did not
    let ours = || wishes.iter().filter(|wish| !wish.is_decided);
    ours().filter(|wish| wish.is_unchanged).for_each(|wish| allocation.keep(wish));
    ours().filter(|wish| !wish.is_unchanged).for_each(|wish| allocation.keep(wish));
    wishes.iter().filter(|wish| wish.is_decided).for_each(|wish| allocation.capture(wish));
    ours().for_each(|wish| allocation.requested(wish));
    ours().for_each(|wish| allocation.choose(wish));
    ours().for_each(|wish| allocation.report_refused(wish));
    let told = ours().map(|wish| (wish.service.key.clone(), allocation.tell(wish)));
    let told = told.collect();
    let terms = ours().filter_map(|it| Some((it.service.key.clone(), it.request.terms.clone()?)));
    let terms = terms.collect();
    let outcomes = allocation.outcomes.into_iter();
    let addresses = outcomes.map(|(key, outcome)| (key.clone(), outcome.addresses)).collect();
    LoadBalancers { addresses, terms, told }
}

/// What a LoadBalancer is given.
#[derive(Debug, Default)]
struct Outcome {
    addresses: Vec<IpAddr>,
    /// Families of which it asked for an address that it cannot have: it gets no other.
    unmet: Vec<Family>,
    /// What it cannot have because others have it, and where it is written.
    refused: Vec<(IpAddr, String)>,
    /// Why it has none of some family, or not what it asked for.
    missing: Vec<String>,
}

struct Allocation<'s, 'a> {
    pools: Pools<'a>,
    claims: Claims<'s, 'a>,
    outcomes: BTreeMap<&'a ObjectKey, Outcome>,
    settings: &'s Settings,
    findings: &'s mut Findings,
}

impl<'s, 'a> Allocation<'s, 'a> {
    /// Gives what others decided on, whoever has it besides.
    fn capture(&mut self, wish: &'s Wish<'s, 'a>) {
        self.outcome(wish);
        wish.captured.iter().for_each(|ip| self.give(wish, *ip));
    }

    /// Gives what it has as far as it may still have it.
    fn keep(&mut self, wish: &'s Wish<'s, 'a>) {
        self.capture(wish);
        for ip in wish.said.iter().chain(&wish.held) {
            if self.has_address(wish, *ip) || !self.is_legal(wish, *ip) {
                continue;
            }
            if self.is_refused(wish, *ip) {
                let is_said = wish.said.contains(ip);
                let field = is_said.then(|| "status.loadBalancer".to_owned());
                self.outcome(wish).refused.extend(field.map(|field| (*ip, field)));
            } else {
                self.give(wish, *ip);
            }
        }
    }

    /// Whether a Service that has an address may keep it, as far as it and the pools are concerned.
    fn is_legal(&self, wish: &Wish<'_, 'a>, ip: IpAddr) -> bool {
        let Some(place) = self.pools.of(ip) else { return false };
        let asked = wish.request.pool.as_ref();
        let is_asked = |name: &str| self.pools.get(place).is_some_and(|it| it.is_named(name));
        let family = Family::of(ip);
        // one of each family, but all that it asks for
        let is_wanted = match wish.names(family) {
            true => wish.request.addresses.contains(&ip),
            false => !self.has(wish, family),
        };
        is_wanted
            && wish.service.families.contains(&family)
            && self.pools.admits(place, wish.service)
            && asked.is_none_or(|asked| is_asked(asked.name))
    }

    fn requested(&mut self, wish: &'s Wish<'s, 'a>) {
        if wish.request.is_void {
            self.outcome(wish).missing.push("what it asks for contradicts itself".to_owned());
            return;
        }
        for ip in &wish.request.addresses {
            if self.has_address(wish, *ip) {
                continue;
            }
            if let Some(finding) = self.obstacle(wish, *ip) {
                let missing = finding.message.clone();
                self.findings.push(finding);
                // where there are no pools the node's address is for everybody
                if self.pools.is_empty() {
                    continue;
                }
                self.outcome(wish).missing.push(missing);
            } else if self.is_refused(wish, *ip) {
                let field = wish.request.field.clone();
                self.outcome(wish).refused.push((*ip, field));
            } else {
                self.give(wish, *ip);
                continue;
            }
            let outcome = self.outcome(wish);
            outcome.unmet.push(Family::of(*ip));
            if !wish.service.families.contains(&Family::of(*ip)) {
                outcome.unmet.extend(&wish.service.families);
            }
        }
    }

    fn is_refused(&self, wish: &Wish<'_, 'a>, ip: IpAddr) -> bool {
        self.claims.refusal(ip, wish.service, wish.terms()).is_some()
    }

    /// Says who has what a Service asks for. Others may have come to that address since: when
    /// everything is given is the time to say it, or the next compilation would say it otherwise.
    fn report_refused(&mut self, wish: &Wish<'_, 'a>) {
        for (ip, field) in std::mem::take(&mut self.outcome(wish).refused) {
            let refusal = self.claims.refusal(ip, wish.service, wish.terms());
            let Some(refusal) = refusal else { continue };
            let message = format!("{ip} {}", refusal.why);
            self.outcome(wish).missing.push(message.clone());
            let finding = wish.service.subject().error(Code::AddressClash, &field, message);
            self.findings.push(finding.help(refusal.help));
        }
    }

    /// Why a Service cannot have an address that it asks for, whoever else has it.
    fn obstacle(&self, wish: &Wish<'_, 'a>, ip: IpAddr) -> Option<Finding> {
        let (subject, field) = (wish.service.subject(), wish.request.field.as_str());
        let family = Family::of(ip);
        if !wish.service.families.contains(&family) {
            let message = format!("{ip} is {family}, and the Service is not");
            let help =
                format!("say {family} in spec.ipFamilies, or ipFamilyPolicy PreferDualStack");
            return Some(subject.error(Code::BadValue, field, message).help(help));
        }
        if self.pools.is_empty() {
            let message = format!("there is no pool with {ip}; the node's address is given");
            let help = format!("start rutter with --lb-pool {ip}");
            return Some(subject.warning(Code::UnservedAddress, field, message).help(help));
        }
        let place = self.pools.of(ip);
        let Some((place, pool)) = place.and_then(|it| Some((it, self.pools.get(it)?))) else {
            let message = format!("no pool has the address {ip}");
            let help = format!("start rutter with --lb-pool {ip}, or add it to a pool");
            return Some(subject.error(Code::UnservedAddress, field, message).help(help));
        };
        let named = pool.named();
        let asked = wish.request.pool.as_ref().filter(|asked| !pool.is_named(asked.name));
        let problem = if !self.pools.admits(place, wish.service) {
            Some((Code::UnservedAddress, format!("{named} has {ip}, but is not for this Service")))
        } else if let Some(asked) = asked {
            let name = asked.name;
            Some((Code::BadValue, format!("{named} has {ip}, and the pool {name} is asked for")))
        } else if !pool.gives(ip) {
            Some((Code::UnservedAddress, format!("{named} has {ip}, but does not give it")))
        } else {
            None
        };
        let (code, message) = problem?;
        let help = "ask for another address, or none to be given one";
        Some(subject.error(code, field, message).help(help))
    }

    /// Gives what is missing still.
    fn choose(&mut self, wish: &'s Wish<'s, 'a>) {
        let outcome = self.outcomes.get(wish.key());
        let is_unmet = |family: &Family| outcome.is_some_and(|it| it.unmet.contains(family));
        let wanted = wish.service.families.iter().copied();
        let missing: Vec<Family> =
            wanted.filter(|family| !self.has(wish, *family) && !is_unmet(family)).collect();
        if missing.is_empty() || wish.request.is_void {
            return;
        }
        let candidates = self.candidates(wish, &missing);
        let mut lost = Vec::new();
        for family in missing {
            let shared = self.shareable(wish, family, &candidates);
            let name = wish.key().to_string();
            let find = || candidates.iter().find_map(|pool| self.pools.find(*pool, family, &name));
            match shared.or_else(find) {
                Some(ip) => self.give(wish, ip),
                None if self.has_node_address(wish, family) => {}
                None => lost.push(family),
            }
        }
        lost.into_iter().for_each(|family| self.nothing(wish, family, &candidates));
    }

    /// The pools that may give it an address, the first choice first: the one that gave it one
    /// already, then those that have one of every missing family.
    fn candidates(&mut self, wish: &Wish<'_, 'a>, missing: &[Family]) -> Vec<PoolPlace> {
        let mut candidates = match &wish.request.pool {
            None => self.pools.automatic(wish.service),
            Some(asked) => {
                let mut named = self.pools.named(asked.name);
                if self.is_unknown(asked.name) {
                    self.report_unknown_pool(wish);
                }
                named.retain(|place| self.pools.admits(*place, wish.service));
                named
            }
        };
        let outcome = self.outcomes.get(wish.key());
        let before = outcome.and_then(|it| self.pools.of(*it.addresses.first()?));
        let name = wish.key().to_string();
        candidates.sort_by_cached_key(|place| {
            let has_all = missing.len() < 2
                || missing.iter().all(|it| self.pools.find(*place, *it, &name).is_some());
            (Some(*place) != before, !has_all)
        });
        candidates
    }

    fn report_unknown_pool(&mut self, wish: &Wish<'_, '_>) {
        let Some(asked) = &wish.request.pool else { return };
        let message = format!("no pool is named {:?}", asked.name);
        let subject = wish.service.subject();
        let mut finding = subject.error(Code::MissingObject, &asked.field, message);
        finding.help = self.findings.did_you_mean(asked.name, self.pools.names());
        self.findings.push(finding);
    }

    /// An address that others have under the same key.
    fn shareable(
        &self,
        wish: &Wish<'_, 'a>,
        family: Family,
        candidates: &[PoolPlace],
    ) -> Option<IpAddr> {
        let accept = |ip: IpAddr| {
            let pool = self.pools.of(ip).filter(|pool| candidates.contains(pool));
            let pool = pool.and_then(|pool| self.pools.get(pool));
            Family::of(ip) == family && pool.is_some_and(|pool| pool.gives(ip))
        };
        self.claims.shareable(wish.service, wish.terms()?, accept)
    }

    /// Without any pool a LoadBalancer is at the node, beside the others.
    fn has_node_address(&mut self, wish: &Wish<'_, 'a>, family: Family) -> bool {
        if !self.pools.is_empty() {
            return false;
        }
        let own = self.settings.node_ips.iter().copied();
        let own: Vec<_> = own.filter(|ip| Family::of(*ip) == family).collect();
        let has_any = !own.is_empty();
        self.outcome(wish).addresses.extend(own);
        has_any
    }

    /// Says why there is no address of a family.
    fn nothing(&mut self, wish: &Wish<'_, 'a>, family: Family, candidates: &[PoolPlace]) {
        let message = format!("no pool has a free address for family {family}");
        let (why, help) = self.why_none(wish, family, candidates);
        let outcome = self.outcome(wish);
        outcome.missing.push(format!("{message}: {why}"));
        let is_other = |ip: &IpAddr| Family::of(*ip) != family;
        let does_without = wish.service.family_policy == FamilyPolicy::PreferDual
            && outcome.addresses.iter().any(is_other);
        let is_said = wish.request.pool.as_ref().is_some_and(|it| self.is_unknown(it.name));
        if does_without || is_said {
            return;
        }
        let message = format!("{message}: {why}");
        let finding = wish.service.subject().error(Code::PoolExhausted, "spec", message);
        self.findings.push(finding.help(help));
    }

    /// Whether a name was told to be that of no pool.
    fn is_unknown(&self, name: &str) -> bool {
        !self.pools.is_empty() && self.pools.named(name).is_empty()
    }

    /// Why no pool gives an address, and what to do about it.
    fn why_none(
        &self,
        wish: &Wish<'_, 'a>,
        family: Family,
        candidates: &[PoolPlace],
    ) -> (String, String) {
        let named = |places: &[PoolPlace]| {
            let names = places.iter().filter_map(|it| self.pools.get(*it)).map(|it| it.named());
            names.collect::<Vec<_>>().join(", ")
        };
        let has_family =
            |place: &PoolPlace| self.pools.get(*place).is_some_and(|it| it.has_family(family));
        if let Some(asked) = wish.request.pool.as_ref().filter(|it| self.is_unknown(it.name)) {
            return (format!("none is named {:?}", asked.name), String::new());
        }
        let with_family: Vec<_> = self.pools.all().filter(has_family).collect();
        // in the order of the pools: that of the choice depends on what there is already
        let eligible = with_family.iter().copied().filter(|place| candidates.contains(place));
        let eligible: Vec<_> = eligible.collect();
        if with_family.is_empty() {
            let help = format!("give an {family} range by --lb-pool or an IPAddressPool");
            return (format!("none has an {family} range"), help);
        }
        if eligible.is_empty() {
            let why = match &wish.request.pool {
                Some(asked) => format!("the pool {} has none for this Service", asked.name),
                None => format!("not for this Service: {}", named(&with_family)),
            };
            let help = "ask for a pool by metallb.io/address-pool, or add a pool for it".to_owned();
            return (why, help);
        }
        let help = format!("give an {family} range more to {}", named(&eligible));
        (format!("nothing is left in {}", named(&eligible)), help)
    }

    fn outcome(&mut self, wish: &Wish<'_, 'a>) -> &mut Outcome {
        self.outcomes.entry(wish.key()).or_default()
    }

    fn has(&self, wish: &Wish<'_, 'a>, family: Family) -> bool {
        let outcome = self.outcomes.get(wish.key());
        outcome.is_some_and(|it| it.addresses.iter().any(|ip| Family::of(*ip) == family))
    }

    fn has_address(&self, wish: &Wish<'_, 'a>, ip: IpAddr) -> bool {
        self.outcomes.get(wish.key()).is_some_and(|it| it.addresses.contains(&ip))
    }

    fn give(&mut self, wish: &'s Wish<'s, 'a>, ip: IpAddr) {
        self.pools.take(ip);
        self.claims.take(ip, wish.service, wish.terms());
        self.outcome(wish).addresses.push(ip);
    }
}
