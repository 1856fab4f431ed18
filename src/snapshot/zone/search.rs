//! Search lists: the names that a resolver tries on its way from a short name to one that exists.
//!
//! kubelet writes `search <namespace>.svc.<zone> svc.<zone> <zone> <domains of the host>` and
//! `ndots:5` into each Pod, so that a name of the Internet costs four questions that lead nowhere,
//! for each family of addresses.

use std::net::IpAddr;
use std::sync::Arc;

use super::Zone;

/// A name that does not exist, as a search list makes it of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search<'z> {
    /// Whose list it is: that of the client, else what the name says if there is such a one.
    pub namespace: Option<&'z Arc<str>>,
    zone: &'z Zone,
    /// The name that the list was applied to.
    base: &'z str,
    /// What hosts add to the list, if the rest of it is answered for.
    domains: Option<&'z [Arc<str>]>,
}

impl Zone {
    /// What a name that does not exist is in search lists; `None`: in no list, as it is a name of
    /// something that exists but has no endpoint, or not in the zone. The name is lower-case,
    /// without the trailing dot.
    ///
    /// Of two Pods' lists one name may be the first name of the one and the second of the other:
    /// `a.com.svc.<zone>` is taken for the name `a` of a client in namespace `com`, as by CoreDNS.
    pub fn search<'z>(&'z self, client: IpAddr, name: &'z str) -> Option<Search<'z>> {
        let inner = self.inner(name).filter(|inner| !inner.is_empty())?;
        let (kind, below) = match inner.rsplit_once('.') {
            Some((below, kind)) => (kind, below),
            None => (inner, ""),
        };
        let (base, namespace) = match kind {
            "pod" => return None,
            "svc" => match below.rsplit_once('.') {
                Some((base, namespace)) => (base, Some(namespace)),
                None => (below, None),
            },
            _ => (inner, None),
        };
        let known = namespace.and_then(|namespace| self.namespaces.get(namespace));
        let service = known.and_then(|namespace| self.service(namespace, base));
        if service.is_some() {
            return None;
        }
        let client = self.clients.get(client);
        let is_first = client
            .is_some_and(|client| !client.has_own_domains && namespace == Some(&*client.namespace));
        Some(Search {
            namespace: client.map(|client| &client.namespace).or(known),
            zone: self,
            base,
            domains: self.search_domains.as_deref().filter(|_| is_first),
        })
    }
}

impl Search<'_> {
    /// Whether the rest of the list is gone through for the client: `--dns-search` is on, and the
    /// name is the first that its list makes.
    pub fn is_answered(&self) -> bool {
        self.domains.is_some()
    }

    /// The names that the client would ask for next, the last as it is; none if the list is not
    /// gone through for it.
    pub fn names(&self) -> impl Iterator<Item = String> {
        let (base, zone) = (self.base, &self.zone.domain);
        self.domains.into_iter().flat_map(move |domains| {
            let of_hosts = domains.iter().map(move |domain| format!("{base}.{domain}"));
            let of_cluster = [format!("{base}.svc.{zone}"), format!("{base}.{zone}")];
            of_cluster.into_iter().chain(of_hosts).chain([base.to_owned()])
        })
    }
}
