//! What the machine says where the options say nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::sync::Arc;

/// The default name of the node, as kubelet registers it.
pub(super) fn name() -> Arc<str> {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    super::parse::node_name(&name).unwrap_or_else(|_| name.into())
}

/// The address that the default route leaves by. Connecting a UDP socket looks up the route and
/// sends nothing; 192.0.2.1 is reserved for documentation (RFC 5737). Loopback without a route.
pub(super) fn primary_ip() -> IpAddr {
    let lookup = || {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9))?;
        socket.local_addr()
    };
    lookup().map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |addr| addr.ip())
}

/// The addresses of the interfaces; none where there is no /proc. Those of loopback are left out.
pub(super) fn addresses() -> Vec<IpAddr> {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let v4 = of_fib_trie(&read("/proc/net/fib_trie")).into_iter().map(IpAddr::V4);
    let v6 = of_if_inet6(&read("/proc/net/if_inet6")).into_iter().map(IpAddr::V6);
    let mut all: Vec<_> = v4.chain(v6).filter(|ip| !ip.is_loopback()).collect();
    all.sort();
    all.dedup();
    all
}

/// Each address stands in a line of its own, and what it is in those below.
fn of_fib_trie(text: &str) -> Vec<Ipv4Addr> {
    let (mut found, mut at) = (Vec::new(), None::<Ipv4Addr>);
    for line in text.lines() {
        match line.trim_start().strip_prefix("|-- ") {
            Some(address) => at = address.parse().ok(),
            None if line.trim_start() == "/32 host LOCAL" => found.extend(at),
            None => {}
        }
    }
    found
}

/// An address a line, in 32 digits, before what else there is to say.
fn of_if_inet6(text: &str) -> Vec<Ipv6Addr> {
    let digits = text.lines().filter_map(|line| line.split_whitespace().next());
    let digits = digits.filter_map(|digits| u128::from_str_radix(digits, 16).ok());
    digits.map(Ipv6Addr::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_from_the_tables_of_the_kernel() {
        let trie = "\
Local:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 127.0.0.0/8 2 0 2
        |-- 127.0.0.0
           /8 host LOCAL
        |-- 127.0.0.1
           /32 host LOCAL
     |-- 192.0.2.0
        /24 link UNICAST
     |-- 192.0.2.2
        /32 host LOCAL
     |-- 192.0.2.255
        /32 link BROADCAST
";
        assert_eq!(of_fib_trie(trie), [Ipv4Addr::LOCALHOST, Ipv4Addr::new(192, 0, 2, 2)]);
        let inet6 = "\
00000000000000000000000000000001 01 80 10 80       lo
fd000000000000000000000000000002 04 40 00 82     eth0
";
        let expected = [Ipv6Addr::LOCALHOST, "fd00::2".parse().expect("an address")];
        assert_eq!(of_if_inet6(inet6), expected);
        assert_eq!(of_fib_trie("no trie"), Vec::<Ipv4Addr>::new());
        assert_eq!(of_if_inet6("no addresses\n\n"), Vec::<Ipv6Addr>::new());
    }

    #[test]
    fn the_address_of_the_default_route_is_among_those_of_the_machine() {
        let primary = primary_ip();
        assert!(primary.is_loopback() || addresses().contains(&primary), "{primary}");
    }
}
