//! The keys of server blocks, and zones as Corefiles write them.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::Reading;
use crate::manifest::Code;
use crate::manifest::corefile::{Corefile, Directive, ServerBlock, Word};

/// A server block whose keys are understood.
#[derive(Debug)]
pub(super) struct Block<'c> {
    /// Where it begins.
    pub(super) key: &'c Word,
    /// Lower-case, without the trailing dot; the root is empty. Never none.
    pub(super) zones: Vec<Arc<str>>,
    pub(super) directives: &'c [Directive],
}

impl<'c> Block<'c> {
    pub(super) fn named(&self, name: &str) -> impl Iterator<Item = &'c Directive> {
        self.directives.iter().filter(move |it| it.name.text == name)
    }
}

impl Reading<'_, '_> {
    /// The blocks that are served: each zone once, whatever port it names.
    pub(super) fn blocks<'c>(&mut self, corefile: &'c Corefile) -> Vec<Block<'c>> {
        let mut taken = BTreeSet::new();
        let mut blocks = Vec::new();
        for ServerBlock { keys, directives } in &corefile.blocks {
            let Some(key) = keys.first() else { continue };
            let mut zones = Vec::new();
            for word in keys {
                for zone in self.zones_of_key(word) {
                    if taken.insert(zone.clone()) {
                        zones.push(zone);
                    } else {
                        let message = format!("{} has a block above: that one counts", word.text);
                        let help = "rutter serves one block a zone, on the address of --dns-listen";
                        self.warn(word, Code::Conflict, message, help);
                    }
                }
            }
            if !zones.is_empty() {
                blocks.push(Block { key, zones, directives });
            }
        }
        blocks
    }

    /// `dns://example.org:53` → `example.org`.
    fn zones_of_key(&mut self, word: &Word) -> Vec<Arc<str>> {
        let (scheme, rest) = word.text.split_once("://").unwrap_or(("dns", &word.text));
        if scheme != "dns" {
            let message = format!("{scheme}:// of the Corefile is not served");
            let help = "see --dns-tls-listen, --dns-https-listen and --dns-certificate";
            self.warn(word, Code::NotCarried, message, help);
            return Vec::new();
        }
        let (zone, port) = match rest.rsplit_once(':') {
            Some((zone, port)) if port.parse::<u16>().is_ok() => (zone, port),
            _ => (rest, "53"),
        };
        if port != "53" {
            let message = format!("the port {port} is not looked at");
            self.note(word, message, "where DNS listens is told by --dns-listen");
        }
        // a key that is a port only is for the root
        let zones = if zone.is_empty() { Ok(vec!["".into()]) } else { zones(zone) };
        self.told(word, zones)
    }

    /// The zones of a word, or that it has none.
    pub(super) fn zones_of(&mut self, word: &Word) -> Vec<Arc<str>> {
        self.told(word, zones(&word.text))
    }

    fn told(&mut self, word: &Word, zones: Result<Vec<Arc<str>>, String>) -> Vec<Arc<str>> {
        zones.unwrap_or_else(|problem| {
            self.error(word, Code::BadValue, problem, "");
            Vec::new()
        })
    }
}

/// `Example.org.` → `example.org`; `10.0.0.0/8` → `10.in-addr.arpa`.
fn zones(text: &str) -> Result<Vec<Arc<str>>, String> {
    if let Ok(net) = text.parse::<IpNet>() {
        return reverse_zones(net)
            .ok_or_else(|| format!("the prefix of {text} does not end at a label of its names"));
    }
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    let is_label = |label: &str| {
        let is_ours = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (1..=63).contains(&label.len()) && label.bytes().all(is_ours)
    };
    if !name.is_empty() && (name.len() > 253 || !name.split('.').all(is_label)) {
        return Err(format!("{text:?} is no zone"));
    }
    Ok(vec![name.into()])
}

/// The zone of a prefix; a prefix between two labels would be several.
fn reverse_zones(net: IpNet) -> Option<Vec<Arc<str>>> {
    let zone = match net.trunc() {
        IpNet::V4(net) if net.prefix_len() % 8 == 0 => {
            let octets = net.addr().octets();
            let labels = octets.iter().take(usize::from(net.prefix_len() / 8)).rev();
            labels.map(|octet| format!("{octet}.")).collect::<String>() + V4_ZONE
        }
        IpNet::V6(net) if net.prefix_len() % 4 == 0 => {
            let digits = format!("{:032x}", net.addr().to_bits());
            let digits = digits.get(..usize::from(net.prefix_len() / 4))?;
            digits.chars().rev().map(|digit| format!("{digit}.")).collect::<String>() + V6_ZONE
        }
        IpNet::V4(_) | IpNet::V6(_) => return None,
    };
    Some(vec![zone.into()])
}

/// The addresses that have their names in a zone; `None` if it is no zone of addresses.
pub(super) fn addresses(zone: &str) -> Option<IpNet> {
    let labels = |text: &str| -> Vec<String> {
        let text = text.trim_end_matches('.');
        text.rsplit('.').filter(|it| !it.is_empty()).map(str::to_owned).collect()
    };
    if let Some(octets) = zone.strip_suffix(V4_ZONE) {
        let mut octets: Vec<u8> =
            labels(octets).iter().map(|it| it.parse().ok()).collect::<Option<_>>()?;
        let prefix = u8::try_from(octets.len() * 8).ok()?;
        octets.resize(4, 0);
        let addr = Ipv4Addr::from(<[u8; 4]>::try_from(octets).ok()?);
        return Ipv4Net::new(addr, prefix).ok().map(IpNet::V4);
    }
    let mut digits = labels(zone.strip_suffix(V6_ZONE)?).concat();
    let prefix = u8::try_from(digits.len() * 4).ok()?;
    digits.extend(std::iter::repeat_n('0', 32usize.checked_sub(digits.len())?));
    let bits = u128::from_str_radix(&digits, 16).ok()?;
    Ipv6Net::new(Ipv6Addr::from_bits(bits), prefix).ok().map(IpNet::V6)
}

/// Both families.
pub(super) fn every_address() -> Vec<IpNet> {
    let any = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
    any.into_iter().filter_map(|ip| IpNet::new(ip, 0).ok()).collect()
}

pub(super) const REVERSE_ZONES: [&str; 2] = [V4_ZONE, V6_ZONE];
const V4_ZONE: &str = "in-addr.arpa";
const V6_ZONE: &str = "ip6.arpa";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_zones_and_zones_of_addresses_are_prefixes() {
        for (prefix, zone) in [
            ("10.0.0.0/8", "10.in-addr.arpa"),
            ("10.96.0.0/16", "96.10.in-addr.arpa"),
            ("192.0.2.7/32", "7.2.0.192.in-addr.arpa"),
            ("0.0.0.0/0", "in-addr.arpa"),
            ("fd00::/8", "d.f.ip6.arpa"),
            ("::/0", "ip6.arpa"),
        ] {
            assert_eq!(zones(prefix), Ok(vec![zone.into()]));
            assert_eq!(addresses(zone).map(|net| net.to_string()).as_deref(), Some(prefix));
        }
        assert!(zones("10.96.0.0/12").is_err());
        for zone in ["example.org", "x.in-addr.arpa", "300.in-addr.arpa", "1.2.3.4.5.in-addr.arpa"]
        {
            assert_eq!(addresses(zone), None, "{zone}");
        }
    }

    #[test]
    fn zones_are_names() {
        for (text, zone) in [(".", ""), ("Example.ORG.", "example.org"), ("_x.y", "_x.y")] {
            assert_eq!(zones(text), Ok(vec![zone.into()]), "{text}");
        }
        for text in ["a..b", "a b", "*.b", &"x".repeat(64), "/etc/hosts"] {
            assert!(zones(text).is_err(), "{text}");
        }
    }
}
