//! Clients behind proxies that are trusted (`--trusted-proxies`).
//!
//! What such a proxy says of the client counts: `X-Forwarded-For`, `-Proto`, `-Port` and `-Host`, or
//! `Forwarded` (RFC 7239) where there is no `X-Forwarded-For`. Addresses are read from the right, as
//! each proxy adds the one that it has seen: the client is the first that is no trusted proxy, and
//! what stands before it was written by strangers and is dropped.

use std::net::{IpAddr, SocketAddr};

use super::Identity;
use super::forwarded::client_lines;
use super::h1::Name;
use super::route::canonical_host;
use crate::snapshot::Network;

impl Identity {
    /// The identity of a request that a trusted proxy has passed on; `None`: whoever is connected is
    /// the client itself, and is believed nothing.
    pub(super) fn behind_proxy<'f>(
        &self,
        fields: impl Iterator<Item = (Name, &'f [u8], &'f [u8])> + Clone,
    ) -> Option<Self> {
        let network = self.proxies.as_ref()?;
        let said = Said::of(fields, self.client.ip(), network);
        let is_secure = said.is_https.unwrap_or(self.is_secure);
        let own_port = if said.is_https.is_some() { None } else { Some(self.forwarded_port) };
        let well_known = if is_secure { 443 } else { 80 };
        let forwarded_port = said.port.or(own_port).unwrap_or(well_known);
        let chain = said.chain.iter().map(|ip| format!("{ip}, ")).collect::<String>();
        let mut lines =
            client_lines(&chain, self.client.ip(), said.client, is_secure, forwarded_port);
        if let Some(host) = &said.host {
            lines.extend_from_slice(format!("X-Forwarded-Host: {host}\r\n").as_bytes());
        }
        Some(Self {
            key: self.key,
            client: SocketAddr::new(
                said.client,
                if said.chain.is_empty() { self.client.port() } else { 0 },
            ),
            is_tls: self.is_tls,
            is_secure,
            forwarded_port,
            retires: self.retires,
            forwards_host: said.host.is_some(),
            server_name: self.server_name.clone(),
            client_lines: lines,
            proxies: self.proxies.clone(),
        })
    }
}

/// What a trusted proxy says.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    client: IpAddr,
    /// The client, then the proxies behind it but for the one that is connected.
    chain: Vec<IpAddr>,
    is_https: Option<bool>,
    port: Option<u16>,
    host: Option<String>,
}

impl Said {
    fn of<'f>(
        fields: impl Iterator<Item = (Name, &'f [u8], &'f [u8])> + Clone,
        peer: IpAddr,
        network: &Network,
    ) -> Self {
        let of = |wanted: &'static str| {
            let forwarded = fields.clone().filter(|(known, _, _)| *known == Name::Forwarded);
            let named =
                forwarded.filter(move |(_, name, _)| name.eq_ignore_ascii_case(wanted.as_bytes()));
            named.filter_map(|(_, _, value)| std::str::from_utf8(value).ok())
        };
        let list =
            |name| of(name).flat_map(|value| value.split(',')).map(str::trim).collect::<Vec<_>>();
        let (hops, elements) = (list("x-forwarded-for"), list("forwarded"));
        let by_elements = hops.is_empty();
        let hop = |element: &&str| match by_elements {
            true => address(parameter(element, "for")?),
            false => address(element),
        };
        let mut client = peer.to_canonical();
        let mut chain = Vec::new();
        let hops = if by_elements { &elements } else { &hops };
        for found in hops.iter().rev().map(hop) {
            let (true, Some(ip)) = (network.is_trusted_proxy(client), found) else { break };
            client = ip;
            chain.push(ip);
        }
        chain.reverse();
        // of the other fields the last counts: the one that the nearest proxy has written
        let last = |name| list(name).pop();
        let element = elements.last().filter(|_| by_elements);
        let own = |name, parameter_name| match element {
            Some(element) => parameter(element, parameter_name),
            None => last(name),
        };
        let is_https = own("x-forwarded-proto", "proto").and_then(|proto| match proto {
            _ if proto.eq_ignore_ascii_case("https") => Some(true),
            _ if proto.eq_ignore_ascii_case("http") => Some(false),
            _ => None,
        });
        let host = own("x-forwarded-host", "host").filter(|host| canonical_host(host).is_some());
        let port = last("x-forwarded-port").and_then(|port| port.parse().ok());
        Self { client, chain, is_https, port, host: host.map(str::to_owned) }
    }
}

/// An address as proxies write it: bare, with a port, in brackets.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let ip = bracketed.unwrap_or(text).parse::<IpAddr>().ok();
    ip.or_else(|| text.parse::<SocketAddr>().ok().map(|addr| addr.ip())).map(|ip| ip.to_canonical())
}

/// A parameter of an element of `Forwarded`, without its quotes.
fn parameter<'a>(element: &'a str, name: &str) -> Option<&'a str> {
    let pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    let found = pairs.into_iter().find(|(key, _)| key.trim().eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.trim().trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is believed of these fields that came from 10.0.0.1, where 10.0.0.0/8 is trusted.
    fn said(
        fields: &[(&str, &str)],
    ) -> (String, String, Option<bool>, Option<u16>, Option<String>) {
        let network = Network {
            trusted_proxies: vec!["10.0.0.0/8".parse().expect("a CIDR")],
            ..Network::default()
        };
        let fields = fields
            .iter()
            .map(|(name, value)| (Name::of(name.as_bytes()), name.as_bytes(), value.as_bytes()));
        let said = Said::of(fields, IpAddr::from([10, 0, 0, 1]), &network);
        let chain: Vec<_> = said.chain.iter().map(IpAddr::to_string).collect();
        (said.client.to_string(), chain.join(" "), said.is_https, said.port, said.host)
    }

    #[test]
    fn the_client_is_the_first_from_the_right_that_is_no_trusted_proxy() {
        let rows: [(&[&str], &str, &str); 10] = [
            (&[], "10.0.0.1", ""),
            (&["203.0.113.9"], "203.0.113.9", "203.0.113.9"),
            (&["203.0.113.9, 10.0.0.2"], "203.0.113.9", "203.0.113.9 10.0.0.2"),
            (&["203.0.113.9", "10.0.0.2"], "203.0.113.9", "203.0.113.9 10.0.0.2"),
            // written by the client itself
            (&["127.0.0.1, 203.0.113.9"], "203.0.113.9", "203.0.113.9"),
            (&["10.0.0.9, 203.0.113.9, 10.0.0.2"], "203.0.113.9", "203.0.113.9 10.0.0.2"),
            (&["nobody, 10.0.0.2"], "10.0.0.2", "10.0.0.2"),
            (&["203.0.113.9:4711"], "203.0.113.9", "203.0.113.9"),
            (&["[2001:db8::9]:4711"], "2001:db8::9", "2001:db8::9"),
            (&["2001:db8::9"], "2001:db8::9", "2001:db8::9"),
        ];
        for (values, client, chain) in rows {
            let fields: Vec<_> = values.iter().map(|it| ("X-Forwarded-For", *it)).collect();
            let (seen, seen_chain, ..) = said(&fields);
            assert_eq!((&*seen, &*seen_chain), (client, chain), "{values:?}");
        }
    }

    #[test]
    fn scheme_port_and_host_are_those_of_the_nearest_proxy() {
        let fields = [
            ("X-Forwarded-For", "203.0.113.9"),
            ("X-Forwarded-Proto", "http, https"),
            ("X-Forwarded-Port", "8443"),
            ("X-Forwarded-Host", "shop.test"),
        ];
        let (_, _, is_https, port, host) = said(&fields);
        assert_eq!((is_https, port, host.as_deref()), (Some(true), Some(8443), Some("shop.test")));
        let (.., is_https, port, host) = said(&[
            ("X-Forwarded-Proto", "gopher"),
            ("X-Forwarded-Port", "x"),
            ("X-Forwarded-Host", "a/b"),
        ]);
        assert_eq!((is_https, port, host), (None, None, None));
    }

    #[test]
    fn forwarded_is_read_where_nothing_else_says_it() {
        let forwarded =
            "for=192.0.2.60, for=\"[2001:db8::17]:4711\";proto=https;host=shop.test;by=10.0.0.1";
        let (client, chain, is_https, _, host) = said(&[("Forwarded", forwarded)]);
        assert_eq!((&*client, &*chain), ("2001:db8::17", "2001:db8::17"));
        assert_eq!((is_https, host.as_deref()), (Some(true), Some("shop.test")));
        let both =
            [("X-Forwarded-For", "203.0.113.9"), ("Forwarded", "for=192.0.2.60;proto=https")];
        let (client, _, is_https, ..) = said(&both);
        assert_eq!((&*client, is_https), ("203.0.113.9", None));
    }
}
