//! In which namespace a client is, by its address.

use std::net::IpAddr;
use std::sync::Arc;

use crate::snapshot::SortedMap;

/// What is said of addresses, and how often. Asked only about names that do not exist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clients {
    said: SortedMap<Mention, u32>,
}

/// What somebody says of an address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mention {
    address: IpAddr,
    client: Option<Arc<Client>>,
}

impl Mention {
    /// Who asks from an address; `None`: that many may, as from that of a node.
    pub fn new(address: IpAddr, client: Option<Arc<Client>>) -> Self {
        Self { address: address.to_canonical(), client }
    }
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
        let ip = ip.to_canonical();
        let mut of_one = self.said.range(move |it| it.address.cmp(&ip)).map(|(it, _)| it);
        // `None` comes first, and of one namespace the last is the one with domains of its own
        let first = of_one.next()?.client.as_ref()?;
        let last = of_one.last().map_or(Some(first), |it| it.client.as_ref())?;
        (first.namespace == last.namespace).then_some(last)
    }

    /// Something is said once more.
    pub fn add(&mut self, mention: Mention) {
        let count = self.said.get(&mention).copied().unwrap_or_default();
        self.said.insert(mention, count.saturating_add(1));
    }

    /// Something is said once less.
    pub fn remove(&mut self, mention: &Mention) {
        match self.said.get(mention).copied().unwrap_or_default() {
            0 | 1 => drop(self.said.remove(mention)),
            count => drop(self.said.insert(mention.clone(), count - 1)),
        }
    }
}

/// What several say of one address must agree on the namespace.
impl FromIterator<Mention> for Clients {
    fn from_iter<I: IntoIterator<Item = Mention>>(said: I) -> Self {
        let mut said: Vec<Mention> = said.into_iter().collect();
        said.sort_unstable();
        let counted = said.chunk_by(PartialEq::eq).filter_map(|same| {
            Some((same.first()?.clone(), u32::try_from(same.len()).unwrap_or(u32::MAX)))
        });
        Self { said: counted.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(namespace: &str, has_own_domains: bool) -> Option<Arc<Client>> {
        Some(Arc::new(Client { namespace: namespace.into(), has_own_domains }))
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
        let said = said.map(|(text, client)| Mention::new(ip(text), client));
        let mut clients: Clients = said.iter().cloned().collect();
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
            assert_eq!(clients.get(ip(text)), expected.as_deref(), "{text}");
        }
        said.iter().for_each(|mention| clients.add(mention.clone()));
        said.iter().for_each(|mention| clients.remove(mention));
        assert_eq!(clients, said.iter().cloned().collect());
        said.iter().for_each(|mention| clients.remove(mention));
        assert_eq!(clients, Clients::default());
        assert_eq!(Clients::default().get(ip("10.1.0.1")), None);
    }

    #[test]
    fn fifty_thousand_pods_take_no_more_than_two_megabytes() {
        let pods = 50_000;
        let bytes = pods * size_of::<(Mention, u32)>();
        assert!(bytes <= 2_000_000, "{bytes}");
    }
}
