//! Pools of addresses for LoadBalancers: which address is whose to give, and to whom.
//!
//! They come from `--lb-pool` and from objects ([`read`]). An annotation names a pool by its name,
//! wherever it comes from; this is resolved here.

mod read;

use std::net::IpAddr;
use std::sync::Arc;

use crate::compile::address::Family;
use crate::compile::selector::{namespace_label, selects};
use crate::compile::services::CheckedService;
use crate::manifest::meta::LabelSelector;
use crate::manifest::{ObjectKey, Origin};
use crate::store::Objects;

use super::space::AddressSpace;

/// Every pool: those of the options first, then the oldest. No address is of two of them.
#[derive(Debug)]
pub(super) struct Pools<'a> {
    pools: Vec<Pool<'a>>,
    objects: &'a Objects,
}

/// Addresses under one set of rules.
#[derive(Debug)]
pub(super) struct Pool<'a> {
    /// What annotations call it; empty: they cannot.
    name: Arc<str>,
    /// What people call it: `IPAddressPool metallb-system/lan`.
    pub(super) title: Arc<str>,
    /// Where it is written; no file: in the options.
    pub(super) origin: Origin,
    space: AddressSpace,
    /// Addresses that are given to nobody.
    reserved: Vec<IpAddr>,
    /// None that end in 0 or 255, either.
    avoids_buggy: bool,
    /// `None`: everybody.
    audience: Option<Audience<'a>>,
    /// The lowest is asked first.
    rank: u64,
    /// Also for those that did not ask for it.
    is_automatic: bool,
    /// Only for those that have one already.
    is_disabled: bool,
}

/// Whom a pool is for: Services of these namespaces that one of these selectors selects; an empty
/// list is no condition.
#[derive(Debug, Default)]
struct Audience<'a> {
    namespaces: &'a [Arc<str>],
    namespace_selectors: &'a [LabelSelector],
    services: &'a [LabelSelector],
}

/// A pool among all, in the order in which they are listed.
pub(super) type PoolPlace = usize;

impl<'a> Pools<'a> {
    pub(super) fn is_empty(&self) -> bool {
        self.pools.is_empty()
    }

    pub(super) fn get(&self, place: PoolPlace) -> Option<&Pool<'a>> {
        self.pools.get(place)
    }

    /// The pool that has an address.
    pub(super) fn of(&self, ip: IpAddr) -> Option<PoolPlace> {
        self.pools.iter().position(|pool| pool.space.contains(ip))
    }

    pub(super) fn all(&self) -> impl Iterator<Item = PoolPlace> + use<> {
        0..self.pools.len()
    }

    /// Those of a name.
    pub(super) fn named(&self, name: &str) -> Vec<PoolPlace> {
        let is_it = |place: &PoolPlace| self.get(*place).is_some_and(|pool| pool.is_named(name));
        self.all().filter(is_it).collect()
    }

    /// Every name.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.pools.iter().map(|pool| &*pool.name).filter(|name| !name.is_empty())
    }

    /// Those that a Service gets an address of without asking, the first choice first.
    pub(super) fn automatic(&self, service: &CheckedService<'a>) -> Vec<PoolPlace> {
        let rank = |place: &PoolPlace| self.get(*place).map_or(u64::MAX, |pool| pool.rank);
        let is_automatic = |place: &PoolPlace| {
            let pool = self.get(*place);
            pool.is_some_and(|pool| pool.is_automatic) && self.admits(*place, service)
        };
        let mut places: Vec<_> = self.all().filter(is_automatic).collect();
        places.sort_by_key(rank);
        places
    }

    /// Whether a pool is for a Service.
    pub(super) fn admits(&self, place: PoolPlace, service: &CheckedService<'a>) -> bool {
        self.get(place).is_some_and(|pool| {
            let audience = pool.audience.as_ref();
            audience.is_none_or(|audience| audience.has(service, self.objects))
        })
    }

    /// A free address of a pool; it is not taken yet.
    pub(super) fn find(&self, place: PoolPlace, family: Family, name: &str) -> Option<IpAddr> {
        let pool = self.get(place)?;
        pool.space.find(family, name, |ip| pool.gives(ip))
    }

    /// Nobody will find it any more.
    pub(super) fn take(&mut self, ip: IpAddr) {
        let pool = self.of(ip).and_then(|place| self.pools.get_mut(place));
        pool.into_iter().for_each(|pool| pool.space.take(ip));
    }
}

impl Pool<'_> {
    pub(super) fn is_named(&self, name: &str) -> bool {
        *self.name == *name
    }

    pub(super) fn has_family(&self, family: Family) -> bool {
        self.space.has_family(family)
    }

    /// Whether somebody who does not have this address of it can be given it.
    pub(super) fn gives(&self, ip: IpAddr) -> bool {
        let is_kept_back = self.reserved.contains(&ip) || self.avoids_buggy && is_buggy(ip);
        !self.is_disabled && !is_kept_back
    }

    /// As messages name it.
    pub(super) fn named(&self) -> String {
        match &*self.origin.file {
            "" => self.title.to_string(),
            _ => format!("{} ({})", self.title, self.origin),
        }
    }
}

/// What some old routers take for the address of a network, or for a broadcast.
fn is_buggy(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => matches!(ip.octets(), [.., 0 | 255]),
        IpAddr::V6(_) => false,
    }
}

impl<'a> Audience<'a> {
    fn has(&self, service: &CheckedService<'a>, objects: &'a Objects) -> bool {
        let key: &'a ObjectKey = service.key;
        let namespace = |name: &str| namespace_label(objects, &key.namespace, name);
        let is_in = self.namespaces.contains(&key.namespace)
            || self.namespace_selectors.iter().any(|it| selects(it, namespace))
            || self.namespaces.is_empty() && self.namespace_selectors.is_empty();
        let label = |name: &str| label(service, name);
        is_in && (self.services.is_empty() || self.services.iter().any(|it| selects(it, label)))
    }
}

/// A label of a Service; two stand for its metadata, as Cilium has them.
fn label<'a>(service: &CheckedService<'a>, name: &str) -> Option<&'a str> {
    match name {
        "io.kubernetes.service.namespace" => Some(&service.key.namespace),
        "io.kubernetes.service.name" => Some(&service.key.name),
        _ => service.stored.object.metadata.label(name),
    }
}
