//! The lookup in hosts files, which comes before that of the zone.

use super::written::reversed;
use super::{Found, Here, VERSION_TTL, addresses};
use crate::snapshot::zone::{Decision, Query, RecordData, Zone};

impl Zone {
    /// What hosts files say of a name, or of the address that it stands for.
    pub(super) fn in_hosts(&self, name: &str, query: Query) -> Option<Found> {
        if self.hosts.is_empty() {
            return None;
        }
        if let Some(entry) = self.hosts.name(name) {
            return Some(Found::here(Decision::HostsName, addresses(&entry.addresses, query)));
        }
        let names = self.hosts.address(reversed(name)?)?.iter();
        let names = names.filter(|_| query == Query::Ptr).cloned().map(RecordData::Ptr);
        Some(Found::Here(Here {
            decision: Decision::HostsAddress,
            data: names.collect(),
            additional: Vec::new(),
        }))
    }

    /// Seconds for which an answer is good.
    pub(super) fn ttl_of(&self, decision: Decision) -> u32 {
        if decision == Decision::DnsVersion {
            return VERSION_TTL;
        }
        let is_of_hosts = matches!(decision, Decision::HostsName | Decision::HostsAddress);
        if is_of_hosts { self.hosts.ttl } else { self.ttl }
    }
}
