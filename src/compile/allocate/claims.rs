//! Who has which address of a pool.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::compile::services::CheckedService;

use super::request::Terms;

/// Every address that somebody has.
#[derive(Debug, Default)]
pub(super) struct Claims<'s, 'a> {
    by_ip: BTreeMap<IpAddr, Vec<Claim<'s, 'a>>>,
    /// Those that are shared, by the key.
    by_key: BTreeMap<Arc<str>, BTreeSet<IpAddr>>,
}

#[derive(Debug)]
struct Claim<'s, 'a> {
    service: &'s CheckedService<'a>,
    terms: Option<&'s Terms>,
}

/// Why an address cannot be had.
#[derive(Debug)]
pub(super) struct Refusal {
    /// `is taken by Service …`.
    pub(super) why: String,
    /// What to do about it.
    pub(super) help: &'static str,
}

impl<'s, 'a> Claims<'s, 'a> {
    /// Why a Service cannot have an address; `None`: it can. Of several reasons that of the first
    /// by name, whoever came first.
    pub(super) fn refusal(
        &self,
        ip: IpAddr,
        service: &CheckedService<'_>,
        terms: Option<&Terms>,
    ) -> Option<Refusal> {
        let others = self.by_ip.get(&ip)?.iter().filter(|it| it.service.key != service.key);
        let refusals = others.filter_map(|other| Some((other, other.refusal(terms)?)));
        refusals.min_by_key(|(other, _)| other.service.key).map(|(_, refusal)| refusal)
    }

    /// The first address of these that a Service can share.
    pub(super) fn shareable(
        &self,
        service: &CheckedService<'_>,
        terms: &Terms,
        accept: impl Fn(IpAddr) -> bool,
    ) -> Option<IpAddr> {
        let mut shared = self.by_key.get(&terms.key)?.iter().copied().filter(|ip| accept(*ip));
        shared.find(|ip| self.refusal(*ip, service, Some(terms)).is_none())
    }

    /// The others at an address.
    pub(super) fn others(
        &self,
        ip: IpAddr,
        service: &CheckedService<'_>,
    ) -> impl Iterator<Item = &'s CheckedService<'a>> {
        let all = self.by_ip.get(&ip).into_iter().flatten();
        all.map(|claim| claim.service).filter(|it| it.key != service.key)
    }

    pub(super) fn take(
        &mut self,
        ip: IpAddr,
        service: &'s CheckedService<'a>,
        terms: Option<&'s Terms>,
    ) {
        self.by_ip.entry(ip).or_default().push(Claim { service, terms });
        if let Some(terms) = terms {
            self.by_key.entry(terms.key.clone()).or_default().insert(ip);
        }
    }
}

impl Claim<'_, '_> {
    /// Why nobody with these terms can have the address as well.
    fn refusal(&self, terms: Option<&Terms>) -> Option<Refusal> {
        let who = self.service.subject().named();
        let Some((own, theirs)) = terms.zip(self.terms) else {
            return Some(Refusal { why: format!("is taken by {who}"), help: TO_SHARE });
        };
        let refusal = own.refusal(theirs)?;
        Some(Refusal { why: format!("is taken by {who}, {refusal}"), help: TO_SHARE_BETTER })
    }
}

const TO_SHARE: &str = "ask for another address; to share it, give both Services the annotation \
                        metallb.io/allow-shared-ip with one value, and different ports";

const TO_SHARE_BETTER: &str = "ask for another address, or meet the conditions: one key, \
                               different ports, and both with externalTrafficPolicy Cluster or \
                               with one selector";
