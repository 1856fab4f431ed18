//! The options as typed. Everything is text here, so that every problem can be told at once.

use std::path::PathBuf;

/// Options of `run`; `check` and `explain` share those that decide what manifests mean.
#[derive(Clone, Debug, Default, clap::Args)]
#[group(id = "options")]
pub struct Args {
    /// File or directory of manifests; may repeat
    #[arg(short, long, value_name = "PATH")]
    pub manifests: Vec<String>,

    /// YAML file with any of these options, by their long names
    #[arg(long, value_name = "FILE", env = "RUTTER_CONFIG")]
    pub config: Option<PathBuf>,

    /// Where Services get their virtual addresses, one CIDR a family [default: 127.96.0.0/16]
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    pub service_cidr: Vec<String>,

    /// Addresses of pods [default: 127.97.0.0/16]
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    pub pod_cidr: Vec<String>,

    /// Domain of service names [default: cluster.local]
    #[arg(long, value_name = "NAME")]
    pub cluster_domain: Option<String>,

    /// Name of this node [default: the host name]
    #[arg(long, value_name = "NAME")]
    pub node_name: Option<String>,

    /// Address of this node; LoadBalancers without a pool get it [default: that of the default route]
    #[arg(long, value_name = "IP", value_delimiter = ',')]
    pub node_ip: Vec<String>,

    /// Zone of this node
    #[arg(long, value_name = "NAME")]
    pub zone: Option<String>,

    /// Port of HTTP for Ingress, or off [default: 80]
    #[arg(long, value_name = "PORT|off")]
    pub http_port: Option<String>,

    /// Port of HTTPS for Ingress, or off [default: 443]
    #[arg(long, value_name = "PORT|off")]
    pub https_port: Option<String>,

    /// Which TLS clients may speak, by Mozilla's guidelines: 1.2 and 1.3, or 1.3 alone
    /// [default: intermediate]
    #[arg(long, value_name = "intermediate|modern")]
    pub tls_profile: Option<String>,

    /// Address on which Ingress listens [default: every address]
    #[arg(long, value_name = "IP", value_delimiter = ',')]
    pub ingress_address: Vec<String>,

    /// Name of the IngressClass that is served even without an IngressClass object [default: rutter]
    #[arg(long, value_name = "NAME")]
    pub ingress_class: Option<String>,

    /// Addresses for LoadBalancer Services, beside IPAddressPool objects: CIDR, FIRST-LAST or one
    /// address; ranges of one NAME are a pool that Services can ask for
    #[arg(long, value_name = "[NAME=]RANGE", value_delimiter = ',')]
    pub lb_pool: Vec<String>,

    /// Interfaces on which the addresses of --lb-pool and IPAddressPools are announced, by ARP and NDP
    /// and by one node each; needs CAP_NET_RAW [default: off]
    #[arg(long, value_name = "off|all|INTERFACE,…", value_delimiter = ',')]
    pub announce: Vec<String>,

    /// Addresses for Gateways, one each: CIDR, FIRST-LAST or one address
    #[arg(long, value_name = "RANGE", value_delimiter = ',')]
    pub gateway_pool: Vec<String>,

    /// Where NodePorts listen: addresses, `primary`, or CIDRs among --node-ip [default: every address]
    #[arg(long, value_name = "IP|CIDR|primary", value_delimiter = ',')]
    pub nodeport_addresses: Vec<String>,

    /// Whether spec.externalIPs of Services are served [default: on]
    #[arg(long, value_name = "on|off")]
    pub external_ips: Option<String>,

    /// Whether pods see the address of the client where kube-proxy would keep it; needs CAP_NET_ADMIN,
    /// and routes that bring the answers of pods back to this node [default: off]
    #[arg(long, value_name = "on|off")]
    pub keep_client_address: Option<String>,

    /// Proxies in front whose X-Forwarded-* and Forwarded fields are believed, and by which the
    /// PROXY protocol may come [default: nobody]
    #[arg(long, value_name = "IP|CIDR", value_delimiter = ',')]
    pub trusted_proxies: Vec<String>,

    /// TCP ports of Ingress and Gateways where every connection begins with the PROXY protocol (v1 or
    /// v2), written by one of the trusted proxies [default: none]
    #[arg(long, value_name = "PORT", value_delimiter = ',')]
    pub proxy_protocol: Vec<String>,

    /// Whether HTTP/3 is served on the port of each HTTPS listener, over UDP, and told of by Alt-Svc;
    /// for builds with the feature http3 [default: off]
    #[arg(long, value_name = "on|off")]
    pub http3: Option<String>,

    /// In which codings responses may be sent to clients that take them, the preferred one first; on is
    /// zstd,br,gzip. A Service says it itself by the annotation rutter.dev/compress [default: off]
    #[arg(long, value_name = "on|off|CODING,…")]
    pub compress: Option<String>,

    /// Where DNS listens; auto is the tenth address of the service CIDR, port 53 [default: auto]
    #[arg(long, value_name = "ADDR:PORT|auto|off")]
    pub dns_listen: Option<String>,

    /// Where DNS over TLS listens, with --dns-certificate; port 853 is usual [default: off]
    #[arg(long, value_name = "ADDR:PORT|off")]
    pub dns_tls_listen: Option<String>,

    /// Where DNS over HTTPS listens (path /dns-query), with --dns-certificate [default: off]
    #[arg(long, value_name = "ADDR:PORT|off")]
    pub dns_https_listen: Option<String>,

    /// Secret of type kubernetes.io/tls for DNS over TLS and HTTPS
    #[arg(long, value_name = "NAMESPACE/NAME")]
    pub dns_certificate: Option<String>,

    /// Answers a second over UDP for a client (IPv6: /64), and for its /24 (IPv6: /56), of all workers
    /// together. Beyond it one half is told to come by TCP, the other half gets nothing. Given, it is
    /// for every client [default: 100,500 for clients of public addresses]
    #[arg(long, value_name = "CLIENT[,PREFIX]|off")]
    pub dns_rate_limit: Option<String>,

    /// Time to live of DNS answers, in seconds [default: 5]
    #[arg(long, value_name = "SECONDS")]
    pub dns_ttl: Option<String>,

    /// Who is asked about other names: addresses, or those of /etc/resolv.conf; over UDP, or
    /// tcp://ADDR or tls://ADDR[#NAME], where NAME is that of the certificate [default: resolv.conf]
    #[arg(
        long,
        value_name = "[tcp://|tls://]ADDR[:PORT][#NAME]|resolv.conf|off",
        value_delimiter = ','
    )]
    pub dns_upstream: Vec<String>,

    /// Who is asked about the names of a domain; may repeat
    #[arg(long, value_name = "DOMAIN=UPSTREAM,…")]
    pub dns_stub: Vec<String>,

    /// Which of several upstreams is asked first [default: sequential]
    #[arg(long, value_name = "sequential|round-robin|random")]
    pub dns_policy: Option<String>,

    /// PEM file of who may sign for tls:// upstreams, read once [default: those of the system]
    #[arg(long, value_name = "FILE")]
    pub dns_upstream_ca: Option<String>,

    /// File of names and addresses, as hosts(5), that are answered before all others and read again
    /// when it changes; may repeat
    #[arg(long, value_name = "FILE")]
    pub dns_hosts: Vec<String>,

    /// Whether the search list of a Pod is gone through for it, in one round trip (CoreDNS: autopath);
    /// DOMAINs are those that hosts add to it, else those of /etc/resolv.conf [default: off]
    #[arg(long, value_name = "off|on|DOMAIN,…", value_delimiter = ',')]
    pub dns_search: Vec<String>,

    /// ConfigMap whose Corefile says how names are answered; it wins over the options of DNS [default: kube-system/coredns]
    #[arg(long, value_name = "NAMESPACE/NAME|off")]
    pub corefile: Option<String>,

    /// ACME server that certificates are ordered from, for objects with the annotation rutter.dev/acme:
    /// "true"; naming one agrees to its terms [default: off]
    #[arg(long, value_name = "letsencrypt|letsencrypt-staging|URL|off")]
    pub acme_directory: Option<String>,

    /// Whom the ACME server may write to
    #[arg(long, value_name = "EMAIL")]
    pub acme_email: Option<String>,

    /// Directory of the ACME account and of what was issued, for nobody else to read
    /// [default: certs/acme]
    #[arg(long, value_name = "DIR")]
    pub acme_state: Option<String>,

    /// How hosts are proved to the ACME server: on port 80, or on port 443 [default: http-01]
    #[arg(long, value_name = "http-01|tls-alpn-01")]
    pub acme_challenge: Option<String>,

    /// PEM file of who may sign for the ACME server itself, read once [default: those of the system]
    #[arg(long, value_name = "FILE")]
    pub acme_ca: Option<String>,

    /// Where the admin API listens [default: 127.0.0.1:9901]
    #[arg(long, value_name = "ADDR:PORT|off")]
    pub admin: Option<String>,

    /// Where kube-proxy's pages are (/healthz, /livez, /proxyMode, /metrics), as 0.0.0.0:10256; may
    /// repeat [default: nowhere]
    #[arg(long, value_name = "ADDR:PORT", value_delimiter = ',')]
    pub kube_proxy_listen: Vec<String>,

    /// Metrics that are shown under the names of others too, for their dashboards and alerts; may
    /// repeat
    #[arg(long, value_name = "coredns|kube-proxy", value_delimiter = ',')]
    pub metrics_compat: Vec<String>,

    /// Worker threads [default: one a core]
    #[arg(long, value_name = "N|auto")]
    pub workers: Option<String>,

    /// Access lines: text or json on standard output, or json appended to a file [default: off]
    #[arg(long, value_name = "off|text|json|PATH")]
    pub access_log: Option<String>,

    /// Filter of the process log, on standard error [default: info]
    #[arg(long, value_name = "FILTER", env = "RUTTER_LOG")]
    pub log: Option<String>,

    /// Silence after which the peer of a TCP connection is probed [default: 1m]
    #[arg(long, value_name = "DURATION|off")]
    pub tcp_keepalive: Option<String>,

    /// How long a TCP peer may leave what is sent to it unanswered or untaken, as a reader that pauses
    /// does, before its connection is given up [default: 5m]
    #[arg(long, value_name = "DURATION|off")]
    pub tcp_user_timeout: Option<String>,

    /// A limit of connections, requests or memory, as client-idle=90s; `rutter limits` prints all of
    /// them; may repeat
    #[arg(long, value_name = "NAME=VALUE", value_delimiter = ',')]
    pub limit: Vec<String>,

    /// How long sessions may finish after SIGTERM [default: 30s]
    #[arg(long, value_name = "DURATION")]
    pub drain_timeout: Option<String>,

    /// How often the manifests are compared with what was read, beside the watch [default: 2s]
    #[arg(long, value_name = "DURATION")]
    pub poll: Option<String>,
}

impl Args {
    /// Every option by its long name, with the texts given for it.
    pub(super) fn values(&self) -> [(&'static str, Vec<String>); OPTIONS] {
        let one = |text: &Option<String>| text.iter().cloned().collect::<Vec<_>>();
        [
            ("manifests", self.manifests.clone()),
            ("service-cidr", self.service_cidr.clone()),
            ("pod-cidr", self.pod_cidr.clone()),
            ("cluster-domain", one(&self.cluster_domain)),
            ("node-name", one(&self.node_name)),
            ("node-ip", self.node_ip.clone()),
            ("zone", one(&self.zone)),
            ("http-port", one(&self.http_port)),
            ("https-port", one(&self.https_port)),
            ("tls-profile", one(&self.tls_profile)),
            ("ingress-address", self.ingress_address.clone()),
            ("ingress-class", one(&self.ingress_class)),
            ("lb-pool", self.lb_pool.clone()),
            ("announce", self.announce.clone()),
            ("gateway-pool", self.gateway_pool.clone()),
            ("nodeport-addresses", self.nodeport_addresses.clone()),
            ("external-ips", one(&self.external_ips)),
            ("keep-client-address", one(&self.keep_client_address)),
            ("trusted-proxies", self.trusted_proxies.clone()),
            ("proxy-protocol", self.proxy_protocol.clone()),
            ("http3", one(&self.http3)),
            ("compress", one(&self.compress)),
            ("dns-listen", one(&self.dns_listen)),
            ("dns-tls-listen", one(&self.dns_tls_listen)),
            ("dns-https-listen", one(&self.dns_https_listen)),
            ("dns-certificate", one(&self.dns_certificate)),
            ("dns-rate-limit", one(&self.dns_rate_limit)),
            ("dns-ttl", one(&self.dns_ttl)),
            ("dns-upstream", self.dns_upstream.clone()),
            ("dns-stub", self.dns_stub.clone()),
            ("dns-policy", one(&self.dns_policy)),
            ("dns-upstream-ca", one(&self.dns_upstream_ca)),
            ("dns-hosts", self.dns_hosts.clone()),
            ("dns-search", self.dns_search.clone()),
            ("corefile", one(&self.corefile)),
            ("acme-directory", one(&self.acme_directory)),
            ("acme-email", one(&self.acme_email)),
            ("acme-state", one(&self.acme_state)),
            ("acme-challenge", one(&self.acme_challenge)),
            ("acme-ca", one(&self.acme_ca)),
            ("admin", one(&self.admin)),
            ("kube-proxy-listen", self.kube_proxy_listen.clone()),
            ("metrics-compat", self.metrics_compat.clone()),
            ("workers", one(&self.workers)),
            ("access-log", one(&self.access_log)),
            ("log", one(&self.log)),
            ("tcp-keepalive", one(&self.tcp_keepalive)),
            ("tcp-user-timeout", one(&self.tcp_user_timeout)),
            ("limit", self.limit.clone()),
            ("drain-timeout", one(&self.drain_timeout)),
            ("poll", one(&self.poll)),
        ]
    }
}

/// How many options there are besides `--config`.
const OPTIONS: usize = 51;
