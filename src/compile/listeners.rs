//! The sockets that should be open, each with one owner.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use super::findings::{Findings, Subject};
use crate::manifest::{Code, ObjectRef};
use crate::snapshot::{ListenerSpec, Serve, SocketKey};

/// Collects listeners; of two that want the same address and port the first stays.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    specs: BTreeMap<SocketKey, (Arc<ListenerSpec>, ObjectRef)>,
}

impl Listeners {
    /// Adds a listener for an object, whose `field` asks for it.
    pub(super) fn add(
        &mut self,
        key: SocketKey,
        serve: Serve,
        subject: &Subject,
        field: &str,
        findings: &mut Findings,
    ) {
        if let Some((_, owner)) = self.specs.get(&key) {
            let message = format!("{key} belongs to {owner}");
            findings.add(subject).error(Code::AddressClash, field, message);
            return;
        }
        self.insert(key, serve, subject.object.clone());
    }

    fn insert(&mut self, key: SocketKey, serve: Serve, owner: ObjectRef) {
        self.specs.insert(key, (Arc::new(ListenerSpec { key, serve }), owner));
    }

    /// Who has the address and port, itself or as part of every address.
    pub(super) fn owner(&self, key: SocketKey) -> Option<&ObjectRef> {
        let wildcard = SocketKey { addr: wildcard(key.addr), ..key };
        let found = self.specs.get(&key).or_else(|| self.specs.get(&wildcard));
        found.map(|(_, owner)| owner)
    }

    /// All of them, for the snapshot.
    pub(super) fn finish(self) -> BTreeMap<SocketKey, Arc<ListenerSpec>> {
        self.specs.into_iter().map(|(key, (spec, _))| (key, spec)).collect()
    }
}

fn wildcard(addr: SocketAddr) -> SocketAddr {
    let ip: IpAddr = match addr {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    SocketAddr::new(ip, addr.port())
}
