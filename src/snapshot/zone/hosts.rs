//! Names and addresses that somebody wrote down: hosts(5).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::manifest::Origin;

/// What hosts files say. It is answered before the zone and upstreams; for a name that is not here
/// they are asked (`fallthrough` of CoreDNS). All names are lower-case, without the trailing dot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hosts {
    /// Time to live of answers, in seconds.
    pub ttl: u32,
    names: BTreeMap<Arc<str>, HostsEntry>,
    /// Names by address, each list in the order of the lines.
    reverse: BTreeMap<IpAddr, Vec<Arc<str>>>,
}

/// One name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostsEntry {
    /// Of both families, in the order of the lines; never empty.
    pub addresses: Vec<IpAddr>,
    /// The first line that names it.
    pub origin: Origin,
}

/// Nothing; with the time to live that the `hosts` plugin of CoreDNS has by default.
impl Default for Hosts {
    fn default() -> Self {
        Self { ttl: 3600, names: BTreeMap::new(), reverse: BTreeMap::new() }
    }
}

impl Hosts {
    /// Adds what one line says of one name, which must be lower-case, without the trailing dot.
    pub fn add(&mut self, address: IpAddr, name: &Arc<str>, origin: &Origin) {
        self.put(address, name, origin, true);
    }

    fn put(&mut self, address: IpAddr, name: &Arc<str>, origin: &Origin, is_reverse: bool) {
        let new = || HostsEntry { addresses: Vec::new(), origin: origin.clone() };
        let entry = self.names.entry(name.clone()).or_insert_with(new);
        if !entry.addresses.contains(&address) {
            entry.addresses.push(address);
            if is_reverse {
                self.reverse.entry(address).or_default().push(name.clone());
            }
        }
    }

    /// Forgets the names of addresses.
    pub fn forget_addresses(&mut self) {
        self.reverse.clear();
    }

    /// Adds what others say, behind what is said here.
    pub fn extend(&mut self, others: &Self) {
        for (name, entry) in &others.names {
            for address in &entry.addresses {
                let is_reverse = others.reverse.get(address).is_some_and(|it| it.contains(name));
                self.put(*address, name, &entry.origin, is_reverse);
            }
        }
    }

    /// What is said of a name.
    pub fn name(&self, name: &str) -> Option<&HostsEntry> {
        self.names.get(name)
    }

    /// The names of an address.
    pub fn address(&self, address: IpAddr) -> Option<&[Arc<str>]> {
        self.reverse.get(&address).map(Vec::as_slice)
    }

    /// How many names there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether nothing is said at all.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}
