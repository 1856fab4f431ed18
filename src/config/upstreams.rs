//! Who is asked about names of others: `--dns-upstream`, `--dns-stub`, `--dns-policy`,
//! `--dns-upstream-ca`.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::layers::Layers;
use super::{DnsListen, parse};
use crate::compile::{
    Authorities, Forward, ForwardPolicy, Settings, Upstream, parse_authorities, parse_upstream,
};

/// Reads the options. Upstreams of resolv.conf that are this process itself are left out, as
/// where rutter is the resolver of its machine; one that was typed is a problem. The nameservers of
/// resolv.conf are also given apart, for a Corefile that names the file.
pub(super) fn forward(
    layers: &mut Layers,
    listen: DnsListeners,
    settings: &Settings,
) -> (Forward, Arc<[Upstream]>) {
    let given = layers.many("dns-upstream", vec![Upstreams::ResolvConf], upstreams);
    let stubs = layers.many("dns-stub", Vec::new(), stub);
    let policy = layers.one("dns-policy", ForwardPolicy::default(), policy);
    let authorities = layers.one("dns-upstream-ca", Authorities::System, authorities);
    let is_own = |upstream: &Upstream| is_own(upstream.addr, listen, &settings.node_ips);
    let domain = &settings.cluster_domain;
    // without a DNS listener nobody asks, and the file is of no interest
    let is_asked = listen.addresses().next().is_some();
    let text = if is_asked { resolv_conf() } else { String::new() };
    let resolv_conf: Vec<_> = nameservers(&text).into_iter().filter(|it| !is_own(it)).collect();
    let mut forward = Forward { policy, authorities, ..Forward::default() };
    for upstreams in given {
        match upstreams {
            Upstreams::Off => {}
            Upstreams::ResolvConf => forward.upstreams.extend(resolv_conf.iter().cloned()),
            Upstreams::At(upstream) if is_own(&upstream) => {
                layers.conflict("dns-upstream", &format!("{upstream} is this rutter itself"));
            }
            Upstreams::At(upstream) => forward.upstreams.push(upstream),
        }
    }
    for (stub, upstreams) in stubs {
        if let Some(upstream) = upstreams.iter().find(|it| is_own(it)) {
            layers.conflict("dns-stub", &format!("{upstream} of {stub} is this rutter itself"));
        }
        if stub == *domain || stub.ends_with(&format!(".{domain}")) {
            layers.conflict("dns-stub", &format!("{stub} is in the cluster domain {domain}"));
        }
        forward.stubs.entry(stub).or_default().extend(upstreams);
    }
    forward.upstreams = unique(forward.upstreams);
    forward.stubs =
        forward.stubs.into_iter().map(|(stub, it)| (stub, unique(it))).collect::<BTreeMap<_, _>>();
    (forward, unique(resolv_conf).into())
}

/// Where we are asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct DnsListeners {
    pub(super) plain: DnsListen,
    pub(super) tls: Option<SocketAddr>,
    pub(super) https: Option<SocketAddr>,
}

impl DnsListeners {
    pub(super) fn addresses(self) -> impl Iterator<Item = SocketAddr> {
        let plain = match self.plain {
            DnsListen::Off => None,
            DnsListen::At(listen) | DnsListen::Auto(listen) => Some(listen),
        };
        [plain, self.tls, self.https].into_iter().flatten()
    }
}

/// One value of `--dns-upstream`.
enum Upstreams {
    Off,
    ResolvConf,
    At(Upstream),
}

fn upstreams(text: &str) -> Result<Upstreams, String> {
    match text {
        "off" => Ok(Upstreams::Off),
        "resolv.conf" => Ok(Upstreams::ResolvConf),
        _ => parse_upstream(text).map(Upstreams::At),
    }
}

/// `corp.example=10.0.0.1,tls://10.0.0.2`.
fn stub(text: &str) -> Result<(Arc<str>, Vec<Upstream>), String> {
    let wrong = || format!("{text:?} is not DOMAIN=ADDRESS,…");
    let (domain, upstreams) = text.split_once('=').ok_or_else(wrong)?;
    let upstreams = upstreams.split(',').map(|upstream| parse_upstream(upstream.trim()));
    Ok((parse::domain(domain.trim())?, upstreams.collect::<Result<_, _>>()?))
}

/// Who is trusted by a PEM bundle, which is read once.
pub(super) fn authorities(path: &str) -> Result<Authorities, String> {
    let pem = std::fs::read(path).map_err(|error| format!("cannot read {path}: {error}"))?;
    parse_authorities(path, &pem).map(|bundle| Authorities::Bundle(bundle.into()))
}

fn policy(text: &str) -> Result<ForwardPolicy, String> {
    match text {
        "sequential" => Ok(ForwardPolicy::Sequential),
        "round-robin" => Ok(ForwardPolicy::RoundRobin),
        "random" => Ok(ForwardPolicy::Random),
        _ => Err(format!("{text:?} is not sequential, round-robin or random")),
    }
}

/// A machine without the file has no nameservers.
pub(super) fn resolv_conf() -> String {
    std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default()
}

/// The `nameserver` lines (resolv.conf(5)). Those with a zone, as in `fe80::1%eth0`, are left out.
fn nameservers(text: &str) -> Vec<Upstream> {
    let nameserver = |line: &str| {
        let mut words = line.split_whitespace();
        if words.next()? != "nameserver" {
            return None;
        }
        let ip: IpAddr = words.next()?.parse().ok()?;
        (!ip.is_unspecified()).then(|| SocketAddr::new(ip, 53).into())
    };
    text.lines().filter_map(nameserver).collect()
}

/// Whether asking there is asking this process: it listens there, or on every address and this is
/// one of the machine.
fn is_own(addr: SocketAddr, listen: DnsListeners, node_ips: &[IpAddr]) -> bool {
    let ip = addr.ip().to_canonical();
    let is_local = ip.is_loopback() || node_ips.contains(&ip);
    listen.addresses().any(|listen| {
        addr.port() == listen.port()
            && (ip == listen.ip().to_canonical() || listen.ip().is_unspecified() && is_local)
    })
}

/// Without repetitions, in the order of the first ones.
fn unique(upstreams: Vec<Upstream>) -> Vec<Upstream> {
    let mut unique = Vec::new();
    for upstream in upstreams {
        if !unique.contains(&upstream) {
            unique.push(upstream);
        }
    }
    unique
}

#[cfg(test)]
mod tests {
    use super::super::{Args, Config};
    use super::*;

    fn config(upstreams: &[&str], stubs: &[&str]) -> Result<Arc<Forward>, Vec<String>> {
        let args = Args {
            dns_listen: Some("127.0.0.1:53".into()),
            dns_upstream: upstreams.iter().map(|text| (*text).into()).collect(),
            dns_stub: stubs.iter().map(|text| (*text).into()).collect(),
            ..Args::default()
        };
        let config = Config::new(&args).map_err(|error| error.problems)?;
        Ok(config.settings.dns_forward)
    }

    #[test]
    fn upstreams_have_port_53_unless_they_say_another() {
        let forward = config(
            &["10.0.0.1", "[fd00::1]:5353", "fd00::2", "10.0.0.1:53", "tcp://10.0.0.1"],
            &["Corp.Example.=10.1.0.1,10.1.0.2:54", "corp.example=tls://10.1.0.3#dns.example"],
        );
        let forward = forward.expect("the options must be good");
        let texts =
            |upstreams: &[Upstream]| upstreams.iter().map(Upstream::to_string).collect::<Vec<_>>();
        assert_eq!(
            texts(&forward.upstreams),
            ["10.0.0.1:53", "[fd00::1]:5353", "[fd00::2]:53", "tcp://10.0.0.1:53"]
        );
        let stub = forward.stubs.get("corp.example").expect("the stub domain must be there");
        assert_eq!(texts(stub), ["10.1.0.1:53", "10.1.0.2:54", "tls://10.1.0.3:853#dns.example"]);
        assert_eq!(config(&["off"], &[]), Ok(Arc::default()));
    }

    #[test]
    fn upstreams_that_cannot_be_are_problems() {
        let told = config(
            &["dns.example", "0.0.0.0", "127.0.0.1"],
            &["corp=", "10.0.0.1", "x.cluster.local=10.0.0.1", "lab=127.0.0.1"],
        );
        assert_eq!(
            told.expect_err("they must be refused"),
            [
                "--dns-upstream: \"dns.example\" names a server that would have to be looked up; give \
                 its address, such as 10.0.0.1, and over TLS its name behind it, as in \
                 tls://10.0.0.1#dns.example",
                "--dns-upstream: \"0.0.0.0\" is not an address of a server, such as 10.0.0.1, \
                 [fd00::1]:5353, tcp://10.0.0.1 or tls://10.0.0.1#dns.example",
                "--dns-stub: \"\" is not an address of a server, such as 10.0.0.1, [fd00::1]:5353, \
                 tcp://10.0.0.1 or tls://10.0.0.1#dns.example",
                "--dns-stub: \"10.0.0.1\" is not DOMAIN=ADDRESS,…",
                "--dns-upstream: 127.0.0.1:53 is this rutter itself",
                "--dns-stub: x.cluster.local is in the cluster domain cluster.local",
                "--dns-stub: 127.0.0.1:53 of lab is this rutter itself",
            ]
        );
    }

    #[test]
    fn resolv_conf_is_read_as_resolvers_do() {
        let text = "# a comment\nnameserver 10.0.0.1\nsearch example.org\n\tnameserver\tfd00::1 \n\
                    nameserver fe80::1%eth0\nnameserver\noptions ndots:5\nnameserver 10.0.0.2 x\n";
        let found: Vec<String> = nameservers(text).iter().map(Upstream::to_string).collect();
        assert_eq!(found, ["10.0.0.1:53", "[fd00::1]:53", "10.0.0.2:53"]);
    }

    #[test]
    fn authorities_of_upstreams_are_a_pem_file_or_one_problem() {
        let dir = tempfile::tempdir().expect("a directory");
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).expect("a file");
            path.display().to_string()
        };
        let key = rcgen::KeyPair::generate().expect("a key");
        let certificate =
            rcgen::CertificateParams::default().self_signed(&key).expect("a certificate");
        let good = write("good.pem", &certificate.pem());
        let forward = |file: &str| {
            let args = Args {
                dns_upstream: vec!["off".into()],
                dns_upstream_ca: Some(file.into()),
                ..Args::default()
            };
            Config::new(&args).map(|config| config.settings.dns_forward).map_err(|it| it.problems)
        };
        let told = forward(&good).expect("the bundle must be good");
        let Authorities::Bundle(bundle) = &told.authorities else { panic!("{told:?}") };
        assert_eq!(bundle.certificates, [certificate.der().to_vec()]);
        let text = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let rows = [
            (write("empty.pem", ""), "holds no certificate"),
            (write("broken.pem", text), "is not X.509"),
            (dir.path().join("none.pem").display().to_string(), "cannot read"),
        ];
        for (file, expected) in rows {
            let told = forward(&file).expect_err("it must be refused");
            assert_eq!(told.len(), 1, "{told:?}");
            assert!(told[0].starts_with("--dns-upstream-ca: "), "{told:?}");
            assert!(told[0].contains(expected) && told[0].contains(&file), "{told:?}");
        }
    }

    #[test]
    fn a_wildcard_listener_is_on_every_address_of_the_machine() {
        let addr = |text: &str| text.parse::<SocketAddr>().expect("an address");
        let node = [IpAddr::from([10, 1, 2, 3])];
        let rows = [
            ("127.0.0.53:53", "0.0.0.0:53", true),
            ("10.1.2.3:53", "[::]:53", true),
            ("10.1.2.4:53", "0.0.0.0:53", false),
            ("10.1.2.3:54", "0.0.0.0:53", false),
            ("127.0.0.53:53", "127.0.0.1:53", false),
            ("[::ffff:127.0.0.1]:53", "127.0.0.1:53", true),
        ];
        for (upstream, listen, expected) in rows {
            let none = DnsListeners { plain: DnsListen::Off, tls: None, https: None };
            for listen in [
                DnsListeners { plain: DnsListen::At(addr(listen)), ..none },
                DnsListeners { tls: Some(addr(listen)), ..none },
            ] {
                let is_own = is_own(addr(upstream), listen, &node);
                assert_eq!(is_own, expected, "{upstream} {listen:?}");
            }
            assert!(!is_own(addr(upstream), none, &node));
        }
    }
}
