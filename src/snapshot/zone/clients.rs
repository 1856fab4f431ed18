//! In which namespace a client is, by its address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// Pods by address, compact: an IPv4 address takes 8 bytes, an IPv6 address 20. Asked only about
/// names that do not exist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clients {
    /// Each once, in order.
    clients: Box<[Client]>,
    /// In order of address, with the place of the client.
    v4: Box<[(Ipv4Addr, u32)]>,
    v6: Box<[(Ipv6Addr, u32)]>,
}

/// Whoever asks from the address of a Pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Client {
    /// Of the Pod; lower-case.
    pub namespace: Arc<str>,
    /// Whether the Pod has search domains of its own (`dnsConfig.searches`) besides those that
    /// every Pod has: nobody else knows what its whole list is.
    pub has_own_domains: bool,
}

impl Clients {
    /// Whose address it is; `None`: nobody's, or that of Pods of several namespaces.
    pub fn get(&self, ip: IpAddr) -> Option<&Client> {
        let place = match ip.to_canonical() {
            IpAddr::V4(ip) => find(&self.v4, ip),
            IpAddr::V6(ip) => find(&self.v6, ip),
        };
        self.clients.get(usize::try_from(place?).ok()?)
    }
}

fn find<A: Ord + Copy>(entries: &[(A, u32)], ip: A) -> Option<u32> {
    let at = entries.binary_search_by_key(&ip, |(address, _)| *address).ok()?;
    entries.get(at).map(|(_, place)| *place)
}

/// From what is said of addresses; `None`: that many may ask from it, as from that of a node. What
/// several say of one address must agree on the namespace.
impl FromIterator<(IpAddr, Option<Client>)> for Clients {
    fn from_iter<I: IntoIterator<Item = (IpAddr, Option<Client>)>>(said: I) -> Self {
        let mut said: Vec<_> = said.into_iter().map(|(ip, it)| (ip.to_canonical(), it)).collect();
        // `None` comes first, and of one namespace the last is the one with domains of its own
        said.sort();
        let mut known: Vec<(IpAddr, Client)> = Vec::with_capacity(said.len());
        for of_one in said.chunk_by(|(left, _), (right, _)| left == right) {
            if let [(ip, Some(first)), ..] = of_one
                && let Some((_, Some(last))) = of_one.last()
                && first.namespace == last.namespace
            {
                known.push((*ip, last.clone()));
            }
        }
        let mut clients: Vec<Client> = known.iter().map(|(_, client)| client.clone()).collect();
        clients.sort();
        clients.dedup();
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for (ip, client) in &known {
            let place = clients.binary_search(client).unwrap_or_default();
            let Ok(place) = u32::try_from(place) else { continue };
            match ip {
                IpAddr::V4(ip) => v4.push((*ip, place)),
                IpAddr::V6(ip) => v6.push((*ip, place)),
            }
        }
        Self { clients: clients.into(), v4: v4.into(), v6: v6.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(namespace: &str, has_own_domains: bool) -> Option<Client> {
        Some(Client { namespace: namespace.into(), has_own_domains })
    }

    #[test]
    fn an_address_is_that_of_one_namespace_or_of_nobody() {
        let said = [
            ("10.1.0.1", client("shop", false)),
            ("10.1.0.2", client("shop", false)),
            ("10.1.0.2", client("shop", true)),
            ("10.1.0.3", client("shop", false)),
            ("10.1.0.3", client("bank", false)),
            ("10.1.0.4", client("shop", false)),
            ("10.1.0.4", None),
            ("10.1.0.5", None),
            ("fd00::1", client("bank", false)),
            ("::ffff:10.1.0.6", client("bank", false)),
        ];
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        let clients: Clients = said.map(|(text, client)| (ip(text), client)).into_iter().collect();
        let rows = [
            ("10.1.0.1", client("shop", false)),
            ("::ffff:10.1.0.1", client("shop", false)),
            ("10.1.0.2", client("shop", true)),
            ("10.1.0.3", None),
            ("10.1.0.4", None),
            ("10.1.0.5", None),
            ("10.1.0.6", client("bank", false)),
            ("fd00::1", client("bank", false)),
            ("fd00::2", None),
        ];
        for (text, expected) in rows {
            assert_eq!(clients.get(ip(text)), expected.as_ref(), "{text}");
        }
        assert_eq!(Clients::default().get(ip("10.1.0.1")), None);
    }

    #[test]
    fn fifty_thousand_pods_take_less_than_half_a_megabyte() {
        let pods = (0..50_000u32).map(|number| {
            let ip = IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + number));
            (ip, client(&format!("ns-{}", number % 100), false))
        });
        let clients: Clients = pods.collect();
        let bytes = size_of_val(&*clients.v4) + size_of_val(&*clients.clients);
        assert!(clients.clients.len() == 100 && bytes < 500_000, "{bytes}");
    }
}
