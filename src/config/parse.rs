//! One option's text → its value, or a clause that says what is wrong and what is expected.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use tracing_subscriber::filter::Targets;

use super::{AccessLog, DnsRateLimit, MetricsCompat, TlsProfile};
use crate::compile::{AddressRange, PoolRange};
use crate::manifest::similar::closest;
use crate::manifest::{ObjectKey, is_subdomain};

pub(super) fn ip(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| format!("{text:?} is not an IP address"))
}

pub(super) fn addr(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("{text:?} is not ADDRESS:PORT, such as 127.0.0.1:9901"))
}

pub(super) fn addr_or_off(text: &str) -> Result<Option<SocketAddr>, String> {
    if text == "off" { Ok(None) } else { addr(text).map(Some) }
}

pub(super) fn port_or_off(text: &str) -> Result<Option<u16>, String> {
    match text.parse() {
        _ if text == "off" => Ok(None),
        Ok(port) if port > 0 => Ok(Some(port)),
        _ => Err(format!("{text:?} is not a port (1 to 65535) or off")),
    }
}

pub(super) fn on_or_off(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(format!("{text:?} is neither on nor off")),
    }
}

/// Not every build has it.
pub(super) fn http3(text: &str) -> Result<bool, String> {
    match on_or_off(text) {
        Ok(true) if !cfg!(feature = "http3") => {
            Err("this build has no HTTP/3: build it with `--features http3`".to_owned())
        }
        other => other,
    }
}

pub(super) fn cidr(text: &str) -> Result<IpNet, String> {
    let net: IpNet =
        text.parse().map_err(|_| format!("{text:?} is not a CIDR, such as 127.96.0.0/16"))?;
    if net.trunc() != net {
        return Err(format!("{text:?} has bits below its prefix; you may mean {}", net.trunc()));
    }
    Ok(net)
}

/// `10.0.0.0/24` or `10.0.0.5`.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    match text.parse::<IpAddr>() {
        Ok(address) => Ok(address.into()),
        Err(_) if !text.contains('/') => Err(format!("{text:?} is neither an address nor a CIDR")),
        Err(_) => cidr(text),
    }
}

pub(super) fn port(text: &str) -> Result<u16, String> {
    let port = text.parse().ok().filter(|port| *port > 0);
    port.ok_or_else(|| format!("{text:?} is no port: 1 to 65535"))
}

/// `10.0.0.0/24`, `10.0.0.5-10.0.0.9` or `10.0.0.5`.
pub(super) fn address_range(text: &str) -> Result<AddressRange, String> {
    if let Ok(address) = text.parse() {
        return Ok(AddressRange { first: address, last: address });
    }
    if let Ok(net) = text.parse::<IpNet>() {
        return Ok(AddressRange { first: net.network(), last: net.broadcast() });
    }
    let wrong = || format!("{text:?} is not a CIDR, FIRST-LAST or an address");
    let (first, last) = text.split_once('-').ok_or_else(wrong)?;
    let (first, last) = (ip(first.trim())?, ip(last.trim())?);
    if first.is_ipv4() != last.is_ipv4() || first > last {
        return Err(format!(
            "{text:?} does not run from a lower to a higher address of one family"
        ));
    }
    Ok(AddressRange { first, last })
}

/// A range, or `NAME=RANGE`: one of a pool that has a name.
pub(super) fn pool_range(text: &str) -> Result<PoolRange, String> {
    let (pool, range) = match text.split_once('=') {
        Some((name, range)) => (object_name(name.trim())?, range.trim()),
        None => (Arc::default(), text),
    };
    Ok(PoolRange { pool, range: address_range(range)? })
}

/// Addresses among those of the node: itself, `primary`, or all within a CIDR.
pub(super) fn among(text: &str, node_ips: &[IpAddr]) -> Result<Vec<IpAddr>, String> {
    if text == "primary" {
        return Ok(node_ips.to_vec());
    }
    if let Ok(address) = text.parse() {
        return Ok(vec![address]);
    }
    let net: IpNet =
        text.parse().map_err(|_| format!("{text:?} is not an address, a CIDR or primary"))?;
    let within: Vec<_> = node_ips.iter().copied().filter(|ip| net.contains(ip)).collect();
    if within.is_empty() {
        return Err(format!("{text:?} contains none of the node's addresses (--node-ip)"));
    }
    Ok(within)
}

pub(super) fn domain(text: &str) -> Result<Arc<str>, String> {
    let name = text.trim_end_matches('.').to_ascii_lowercase();
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    if name.len() > 200 || !name.split('.').all(label) {
        return Err(format!("{text:?} is not a domain name"));
    }
    Ok(name.into())
}

/// A domain of a search list, in which labels may have underscores.
pub(super) fn search_domain(text: &str) -> Result<Arc<str>, String> {
    domain(&text.replace('_', "-"))
        .map_err(|_| format!("{text:?} is not on, off or a domain name"))?;
    Ok(text.trim_end_matches('.').to_ascii_lowercase().into())
}

/// The name of an object of the cluster, such as a node.
pub(super) fn object_name(text: &str) -> Result<Arc<str>, String> {
    if is_subdomain(text) { Ok(text.into()) } else { Err(format!("{text:?} is no valid name")) }
}

/// `NAMESPACE/NAME`.
pub(super) fn object_key(text: &str) -> Result<ObjectKey, String> {
    match text.split_once('/') {
        Some((namespace, name)) if is_subdomain(namespace) && is_subdomain(name) => {
            Ok(ObjectKey::new(namespace, name))
        }
        _ => Err(format!("{text:?} is not NAMESPACE/NAME, such as default/dns")),
    }
}

/// `100`, `100,500` or `off`. A prefix gets five times what a client gets unless it is said.
pub(super) fn rate_limit(text: &str) -> Result<Option<DnsRateLimit>, String> {
    if text == "off" {
        return Ok(None);
    }
    let (client, prefix) = match text.split_once(',') {
        Some((client, prefix)) => (client, Some(prefix)),
        None => (text, None),
    };
    let number = |text: &str| text.trim().parse().ok().filter(|it| (1..=1_000_000).contains(it));
    let client: Option<u32> = number(client);
    let prefix = match prefix {
        Some(prefix) => number(prefix),
        None => client.map(|client| client * 5),
    };
    let limit = client.zip(prefix).filter(|(client, prefix)| client <= prefix);
    let limit = limit.map(|(client, prefix)| DnsRateLimit { client, prefix, everybody: true });
    limit.map(Some).ok_or_else(|| {
        format!("{text:?} is neither off nor CLIENT,PREFIX answers a second, such as 100,500")
    })
}

/// The name of a node, trimmed and in lower case, as kubelet and kube-proxy take the host's name
/// and what overrides it.
pub(super) fn node_name(text: &str) -> Result<Arc<str>, String> {
    let name = text.trim().to_ascii_lowercase();
    if is_subdomain(&name) { Ok(name.into()) } else { Err(format!("{text:?} is no valid name")) }
}

/// `NAMESPACE/NAME` of an object, or `off`.
pub(super) fn object_key_or_off(text: &str) -> Result<Option<ObjectKey>, String> {
    if text == "off" { Ok(None) } else { object_key(text).map(Some) }
}

/// The value of a label, and not an empty one.
pub(super) fn label_value(text: &str) -> Result<Arc<str>, String> {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let edges = [text.bytes().next(), text.bytes().last()];
    let is_edged = edges.into_iter().all(|it| it.is_some_and(|byte| byte.is_ascii_alphanumeric()));
    if text.len() <= 63 && text.bytes().all(is_letter) && is_edged {
        return Ok(text.into());
    }
    Err(format!("{text:?} is no value of a label"))
}

/// The default number of workers.
pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

pub(super) fn ttl(text: &str) -> Result<u32, String> {
    text.parse()
        .ok()
        .filter(|seconds| *seconds <= 3600)
        .ok_or_else(|| format!("{text:?} is not a number of seconds from 0 to 3600"))
}

pub(super) fn workers(text: &str) -> Result<usize, String> {
    if text == "auto" {
        return Ok(cores());
    }
    text.parse()
        .ok()
        .filter(|count| (1..=1024).contains(count))
        .ok_or_else(|| format!("{text:?} is not a number from 1 to 1024 or auto"))
}

/// `info`, or by part of the program: `warn,rutter::source=debug`.
pub(super) fn log_filter(text: &str) -> Result<Targets, String> {
    text.parse().map_err(|_| format!("{text:?} is not a level such as info, or PART=LEVEL,…"))
}

/// A word among those that are known.
pub(super) fn metrics_compat(text: &str) -> Result<MetricsCompat, String> {
    let known = [("coredns", MetricsCompat::Coredns), ("kube-proxy", MetricsCompat::KubeProxy)];
    if let Some((_, compat)) = known.iter().find(|(word, _)| *word == text) {
        return Ok(*compat);
    }
    let words = known.map(|(word, _)| word);
    let meant = closest(text, words).map(|meant| format!("; did you mean {meant}?"));
    Err(format!("{text:?} is none of {}{}", words.join(", "), meant.unwrap_or_default()))
}

pub(super) fn tls_profile(text: &str) -> Result<TlsProfile, String> {
    match text {
        "intermediate" => Ok(TlsProfile::Intermediate),
        "modern" => Ok(TlsProfile::Modern),
        _ => Err("write intermediate or modern".to_owned()),
    }
}

pub(super) fn access_log(text: &str) -> Result<AccessLog, String> {
    Ok(match text {
        "off" => AccessLog::Off,
        "text" => AccessLog::Text,
        "json" => AccessLog::Json,
        "" => return Err("is empty; off, text, json or a path is expected".to_owned()),
        path => AccessLog::File(path.into()),
    })
}

/// `30s`, `500ms`, `2m`, or a bare number of seconds.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a duration, such as 30s, 500ms or 2m");
    let digits = text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let millis = match unit {
        "ms" => Some(number),
        "s" | "" => number.checked_mul(1_000),
        "m" => number.checked_mul(60_000),
        "h" => number.checked_mul(3_600_000),
        _ => None,
    };
    millis.map(Duration::from_millis).ok_or_else(wrong)
}

/// A duration of a second at least, as the kernel counts keepalive, or `off`.
pub(super) fn duration_or_off(text: &str) -> Result<Option<Duration>, String> {
    if text == "off" {
        return Ok(None);
    }
    let wanted = duration(text).map_err(|error| format!("{error}, or off"))?;
    let is_sane = (Duration::from_secs(1)..=Duration::from_secs(32_400)).contains(&wanted);
    is_sane
        .then_some(Some(wanted))
        .ok_or_else(|| format!("{text:?} is not within 1s and 9h, and not off"))
}

/// The tenth address of a CIDR, where clusters have their DNS service.
pub(super) fn tenth_address(net: &IpNet) -> Option<IpAddr> {
    net.hosts().nth(9)
}
