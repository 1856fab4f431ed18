//! What is wrong with options only beside each other.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::{Config, DnsListen};

/// Every conflict, with the option to change.
pub(super) fn find(config: &Config) -> Vec<(&'static str, String)> {
    let mut conflicts = ports(config);
    conflicts.extend(dns_certificate(config));
    if !config.settings.proxy_protocol_ports.is_empty()
        && config.settings.trusted_proxies.is_empty()
    {
        let nobody = "nobody may write the header: name the proxies with --trusted-proxies";
        conflicts.push(("proxy-protocol", nobody.to_owned()));
    }
    conflicts.extend(cidrs(&config.settings.service_cidrs, &config.settings.pod_cidrs));
    conflicts
}

/// Two listeners of this process on one address.
fn ports(config: &Config) -> Vec<(&'static str, String)> {
    let settings = &config.settings;
    let ingress = |port: Option<u16>| {
        let addresses = settings.ingress_addresses.iter();
        let sockets = port.map(|port| addresses.map(move |ip| SocketAddr::new(*ip, port)));
        sockets.into_iter().flatten().collect::<Vec<_>>()
    };
    let dns = match config.dns {
        DnsListen::At(addr) => Some(addr),
        DnsListen::Off | DnsListen::Auto(_) => None,
    };
    let listeners = [
        ("http-port", ingress(settings.http_port)),
        ("https-port", ingress(settings.https_port)),
        ("dns-listen", Vec::from_iter(dns)),
        ("dns-tls-listen", Vec::from_iter(config.dns_tls)),
        ("dns-https-listen", Vec::from_iter(config.dns_https)),
        ("admin", Vec::from_iter(config.admin)),
        ("kube-proxy-listen", config.kube_proxy.clone()),
    ];
    let mut conflicts = Vec::new();
    for (place, (option, addrs)) in listeners.iter().enumerate() {
        for (other, taken) in listeners.iter().take(place) {
            let clash = addrs.iter().find(|addr| taken.iter().any(|it| overlap(**addr, *it)));
            if let Some(addr) = clash {
                conflicts.push((*option, format!("{addr} is taken by --{other}")));
            }
        }
    }
    conflicts
}

/// A certificate that nobody shows, and listeners that have none.
fn dns_certificate(config: &Config) -> Vec<(&'static str, String)> {
    let listeners = [("dns-tls-listen", config.dns_tls), ("dns-https-listen", config.dns_https)];
    let open = listeners.iter().filter(|(_, addr)| addr.is_some()).map(|(option, _)| *option);
    if config.settings.dns_certificate.is_none() {
        let missing = "needs --dns-certificate NAMESPACE/NAME, a Secret among the manifests";
        return open.map(|option| (option, missing.to_owned())).collect();
    }
    let unused = "nobody shows it: add --dns-tls-listen or --dns-https-listen";
    if open.count() == 0 { vec![("dns-certificate", unused.to_owned())] } else { Vec::new() }
}

/// Whether only one of both can be bound. A wildcard address has the port on all of its family.
fn overlap(left: SocketAddr, right: SocketAddr) -> bool {
    let is_same = |left: IpAddr, right: IpAddr| {
        left == right
            || left.is_ipv4() == right.is_ipv4()
                && (left.is_unspecified() || right.is_unspecified())
    };
    left.port() != 0 && left.port() == right.port() && is_same(left.ip(), right.ip())
}

fn cidrs(services: &[IpNet], pods: &[IpNet]) -> Vec<(&'static str, String)> {
    let mut conflicts = Vec::new();
    for (place, net) in services.iter().enumerate() {
        let is_v4 = net.addr().is_ipv4();
        if let Some(first) = services.iter().take(place).find(|it| it.addr().is_ipv4() == is_v4) {
            conflicts
                .push(("service-cidr", format!("{net} is of the family of {first}: one each")));
        }
    }
    for net in pods {
        let is_shared = |it: &&IpNet| it.contains(&net.network()) || net.contains(&it.network());
        if let Some(service) = services.iter().find(is_shared) {
            conflicts.push(("pod-cidr", format!("{net} overlaps {service} of --service-cidr")));
        }
    }
    conflicts
}
