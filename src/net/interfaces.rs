//! The interfaces of the machine.

use std::fs;
use std::io;

use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use nix::net::if_::InterfaceFlags;
use nix::sys::socket::LinkAddr;

use super::Mac;

/// An interface by which there are neighbours: up, with a MAC, no loopback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// What the user calls it: `eth0`.
    pub name: String,
    /// What the kernel calls it; another one of the same name has another index.
    pub index: u32,
    /// Its address.
    pub mac: Mac,
    pub(super) link: LinkAddr,
}

/// Every interface by which there are neighbours now, in the order of the kernel.
pub fn interfaces() -> io::Result<Vec<Interface>> {
    Ok(getifaddrs()?.filter_map(Interface::read).collect())
}

impl Interface {
    fn read(found: InterfaceAddress) -> Option<Self> {
        let link = *found.address.as_ref()?.as_link_addr()?;
        let has_neighbours = InterfaceFlags::IFF_UP | InterfaceFlags::IFF_BROADCAST;
        let has_none = InterfaceFlags::IFF_LOOPBACK | InterfaceFlags::IFF_NOARP;
        let mac = Mac(link.addr().filter(|_| link.halen() == 6)?);
        let is_usable = found.flags.contains(has_neighbours) && !found.flags.intersects(has_none);
        let index = u32::try_from(link.ifindex()).ok()?;
        let interface = Self { name: found.interface_name, index, mac, link };
        (is_usable && mac.0 != [0; 6] && !mac.is_group()).then_some(interface)
    }

    /// Whether the kernel answers ARP here for addresses that other interfaces have, as loopback has
    /// those of load balancers. Then every node does so, whoever announces. (`arp_ignore` of all
    /// interfaces and of this one: the larger one counts.)
    pub fn answers_for_others(&self) -> bool {
        let read = |name: &str| {
            let text = fs::read_to_string(format!("/proc/sys/net/ipv4/conf/{name}/arp_ignore"));
            text.ok()?.trim().parse::<u8>().ok()
        };
        let values = ["all", &self.name].map(read);
        values.contains(&Some(0)) && !values.iter().flatten().any(|value| *value > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_has_no_neighbours() {
        let found = interfaces().expect("interfaces");
        assert!(found.iter().all(|it| it.name != "lo" && it.index > 0), "{found:?}");
    }
}
