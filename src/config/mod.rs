//! Process options: [`Args`] (as typed) → [`Config`] (checked).
//!
//! In: the command line, and a YAML file whose keys are the names of the options. Out: a
//! [`Config`] that needs no further checking, or every problem at once ([`ConfigError`]), as
//! linkerd2-proxy does: a user who fixes one line at a time gives up before the last. Called by
//! `cli`.
//!
//! The border between the two halves: `Args` and the file hold text; nothing outside this folder
//! ever sees text that is not parsed.

mod acme;
mod announce;
mod args;
mod conflicts;
mod hosts;
mod layers;
mod limits;
mod machine;
mod parse;
mod search;
mod upstreams;

#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use tracing_subscriber::filter::{LevelFilter, Targets};

use crate::compile::{NodePortAddresses, Settings};
use crate::plane::Limits;

pub use acme::{Acme, AcmeChallenge};
pub use announce::Announce;
pub use args::Args;
use layers::Layers;
pub use limits::{LIMITS, Limit};
use upstreams::DnsListeners;

/// The checked options of a process.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Files and directories of manifests.
    pub manifests: Vec<PathBuf>,
    /// What `compile` must know.
    pub settings: Settings,
    /// Where DNS listens.
    pub dns: DnsListen,
    /// Where DNS over TLS listens; `None` = off.
    pub dns_tls: Option<SocketAddr>,
    /// Where DNS over HTTPS listens; `None` = off.
    pub dns_https: Option<SocketAddr>,
    /// How many answers over UDP a client gets; `None` = as many as it asks for.
    pub dns_rate_limit: Option<DnsRateLimit>,
    /// Which TLS clients may speak.
    pub tls_profile: TlsProfile,
    /// On which interfaces addresses of load balancers are announced.
    pub announce: Announce,
    /// Where certificates are ordered; `None` = nowhere.
    pub acme: Option<Acme>,
    /// Where the admin API listens; `None` = off.
    pub admin: Option<SocketAddr>,
    /// Where kube-proxy's own pages are.
    pub kube_proxy: Vec<SocketAddr>,
    /// Whether the admin address is the default, so that it may be given up when it is taken.
    pub admin_is_default: bool,
    /// Whose names metrics have beside our own.
    pub metrics_compat: Vec<MetricsCompat>,
    /// Worker threads.
    pub workers: usize,
    /// Where access lines go.
    pub access_log: AccessLog,
    /// Filter of the process log.
    pub log: Targets,
    /// Silence after which the peer of a TCP connection is probed; `None` = never.
    pub tcp_keepalive: Option<Duration>,
    /// TCP_USER_TIMEOUT of both ends; `None` = as long as the kernel has it.
    pub tcp_user_timeout: Option<Duration>,
    /// Limits of connections, requests and memory.
    pub limits: Limits,
    /// How long sessions may finish after SIGTERM.
    pub drain_timeout: Duration,
    /// How often the directory is compared with what was read, as a guarantee beside the watch.
    pub poll: Duration,
}

/// Where DNS listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DnsListen {
    /// Nowhere.
    Off,
    /// Here, or the process does not start.
    At(SocketAddr),
    /// On the tenth address of the service CIDR, as clusters do; if that is not permitted, rutter
    /// warns and goes on.
    Auto(SocketAddr),
}

/// Answers a second over UDP, of all workers together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DnsRateLimit {
    /// For an address (IPv6: a /64).
    pub client: u32,
    /// For a /24 (IPv6: a /56).
    pub prefix: u32,
    /// Whether clients of private addresses are limited too.
    pub everybody: bool,
}

impl Default for DnsRateLimit {
    /// For those who can be reached from everywhere.
    fn default() -> Self {
        Self { client: 100, prefix: 500, everybody: false }
    }
}

/// Where access lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessLog {
    /// Nowhere.
    Off,
    /// One readable line a request, on standard output.
    Text,
    /// One JSON object a line, on standard output.
    Json,
    /// One JSON object a line, appended to a file.
    File(PathBuf),
}

/// Whose names metrics have beside our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricsCompat {
    /// `coredns_*`.
    Coredns,
    /// `kubeproxy_*`.
    KubeProxy,
}

/// Which TLS clients may speak, as Mozilla's guidelines name it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsProfile {
    /// TLS 1.2 and 1.3.
    #[default]
    Intermediate,
    /// TLS 1.3.
    Modern,
}

/// What is wrong with the options: all of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", problems.join("\n"))]
pub struct ConfigError {
    /// One line a problem, each naming the option and where it was given.
    pub problems: Vec<String>,
}

impl Config {
    /// Checks the options. Reads the files that they name, and /etc/resolv.conf where the options
    /// do not say who is asked about other names, or what hosts add to search lists.
    pub fn new(args: &Args) -> Result<Self, ConfigError> {
        Self::check(Layers::read(args))
    }

    /// The same, for a process that has nothing but the manifests of the options to serve.
    pub fn to_serve(args: &Args) -> Result<Self, ConfigError> {
        let mut layers = Layers::read(args);
        if !layers.is_given("manifests") {
            layers.problem("nothing to serve: name manifests with -m PATH".to_owned());
        }
        Self::check(layers)
    }

    fn check(mut layers: Layers) -> Result<Self, ConfigError> {
        let mut settings = settings(&mut layers);
        let announce = announce::announce(&mut layers);
        settings.announce = announce != Announce::Off;
        let acme = acme::acme(&mut layers);
        settings.acme = acme.is_some();
        let dns = dns(&mut layers, &settings);
        let dns_tls = layers.one("dns-tls-listen", None, parse::addr_or_off);
        let dns_https = layers.one("dns-https-listen", None, parse::addr_or_off);
        let listen = DnsListeners { plain: dns, tls: dns_tls, https: dns_https };
        let (forward, resolv_conf) = upstreams::forward(&mut layers, listen, &settings);
        settings.dns_forward = forward.into();
        settings.resolv_conf = resolv_conf;
        settings.dns_search = search::domains(&mut layers, listen, &settings);
        let config = Self {
            manifests: layers.all("manifests").map(PathBuf::from).collect(),
            dns,
            dns_tls,
            dns_https,
            dns_rate_limit: layers.one(
                "dns-rate-limit",
                Some(DnsRateLimit::default()),
                parse::rate_limit,
            ),
            tls_profile: layers.one("tls-profile", TlsProfile::default(), parse::tls_profile),
            announce,
            acme,
            admin: layers.one("admin", Some(DEFAULT_ADMIN), parse::addr_or_off),
            kube_proxy: layers.many("kube-proxy-listen", Vec::new(), parse::addr),
            admin_is_default: !layers.is_given("admin"),
            metrics_compat: layers.many("metrics-compat", Vec::new(), parse::metrics_compat),
            workers: layers.one("workers", parse::cores(), parse::workers),
            access_log: layers.one("access-log", AccessLog::Off, parse::access_log),
            log: layers.one(
                "log",
                Targets::new().with_default(LevelFilter::INFO),
                parse::log_filter,
            ),
            tcp_keepalive: layers.one("tcp-keepalive", Some(MINUTE), parse::duration_or_off),
            tcp_user_timeout: layers.one(
                "tcp-user-timeout",
                Some(MINUTE * 5),
                parse::duration_or_off,
            ),
            limits: limits::limits(&mut layers),
            drain_timeout: layers.one("drain-timeout", Duration::from_secs(30), parse::duration),
            poll: layers.one("poll", Duration::from_secs(2), parse::duration),
            settings,
        };
        for (option, conflict) in conflicts::find(&config) {
            layers.conflict(option, &conflict);
        }
        layers.finish()?;
        Ok(config)
    }
}

fn settings(layers: &mut Layers) -> Settings {
    let default = Settings::default();
    let node_ips = layers.many("node-ip", vec![machine::primary_ip()], parse::ip);
    Settings {
        cluster_domain: layers.one("cluster-domain", default.cluster_domain, parse::domain),
        service_cidrs: layers.many("service-cidr", default.service_cidrs, parse::cidr),
        pod_cidrs: layers.many("pod-cidr", default.pod_cidrs, parse::cidr),
        node_name: layers.one("node-name", machine::name(), parse::node_name),
        host_ips: machine::addresses(),
        zone: layers.optional("zone", parse::label_value),
        http_port: layers.one("http-port", default.http_port, parse::port_or_off),
        https_port: layers.one("https-port", default.https_port, parse::port_or_off),
        ingress_addresses: layers.many("ingress-address", default.ingress_addresses, parse::ip),
        ingress_class: layers.one("ingress-class", default.ingress_class, parse::object_name),
        lb_pool: layers.many("lb-pool", default.lb_pool, parse::pool_range),
        announce: default.announce,
        gateway_pool: layers.many("gateway-pool", default.gateway_pool, parse::address_range),
        nodeport_addresses: nodeport_addresses(layers, &node_ips),
        external_ips: layers.one("external-ips", default.external_ips, parse::on_or_off),
        masquerade_all: default.masquerade_all,
        keep_client_address: layers.one(
            "keep-client-address",
            default.keep_client_address,
            parse::on_or_off,
        ),
        http3: layers.one("http3", default.http3, parse::http3),
        compress: layers.one("compress", default.compress, str::parse),
        trusted_proxies: layers.many("trusted-proxies", Vec::new(), parse::network),
        proxy_protocol_ports: layers
            .many("proxy-protocol", Vec::new(), parse::port)
            .into_iter()
            .collect(),
        dns_ttl: layers.one("dns-ttl", default.dns_ttl, parse::ttl),
        dns_forward: default.dns_forward,
        dns_hosts: hosts::hosts(layers),
        dns_certificate: layers.optional("dns-certificate", parse::object_key),
        acme: default.acme,
        issued: default.issued,
        dns_search: default.dns_search,
        corefile: layers.one("corefile", default.corefile, parse::object_key_or_off),
        resolv_conf: default.resolv_conf,
        node_ips,
    }
}

/// `--nodeport-addresses`: addresses, `primary` for those of the node, or CIDRs that choose among
/// those of the node.
fn nodeport_addresses(layers: &mut Layers, node_ips: &[IpAddr]) -> NodePortAddresses {
    let parse = |text: &str| parse::among(text, node_ips);
    let chosen = layers.many("nodeport-addresses", Vec::new(), parse).concat();
    if chosen.is_empty() { NodePortAddresses::All } else { NodePortAddresses::Only(chosen) }
}

fn dns(layers: &mut Layers, settings: &Settings) -> DnsListen {
    let tenth = settings.service_cidrs.first().and_then(parse::tenth_address);
    let auto = tenth.map_or(DnsListen::Off, |ip| DnsListen::Auto(SocketAddr::new(ip, 53)));
    layers.one("dns-listen", auto, |text| match text {
        "off" => Ok(DnsListen::Off),
        "auto" => Ok(auto),
        _ => parse::addr(text).map(DnsListen::At),
    })
}

const MINUTE: Duration = Duration::from_secs(60);

const DEFAULT_ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9901);
