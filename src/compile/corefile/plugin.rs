//! The plugins of CoreDNS that rutter needs not, or has not.

use super::Reading;
use crate::manifest::Code;
use crate::manifest::corefile::Directive;

/// What becomes of a plugin.
#[derive(Clone, Copy)]
enum Plugin {
    /// rutter always does that, or has no need for it.
    BuiltIn,
    /// rutter does that elsewhere: where.
    Elsewhere(&'static str),
    /// Answers are the same without it.
    Missing,
    /// Answers differ without it: what to do instead, if there is something.
    Missed(&'static str),
}

impl Reading<'_, '_> {
    pub(super) fn plugin(&mut self, directive: &Directive) {
        let name = &directive.name;
        let known = PLUGINS.iter().find(|(plugin, _)| *plugin == name.text);
        match known.map(|(_, plugin)| *plugin) {
            Some(Plugin::BuiltIn) => {}
            Some(Plugin::Elsewhere(help)) => {
                self.note(name, format!("{} is not looked at", name.text), help);
            }
            Some(Plugin::Missing) => {
                self.note(name, format!("rutter does not have the plugin {}", name.text), "");
            }
            Some(Plugin::Missed(help)) => {
                let message = format!("rutter does not have the plugin {}", name.text);
                self.warn(name, Code::NotCarried, message, help);
            }
            None => {
                let names: Vec<&str> =
                    CARRIED.into_iter().chain(PLUGINS.map(|(name, _)| name)).collect();
                self.unknown(name, "rutter does not know the plugin", &names);
            }
        }
    }
}

const CARRIED: [&str; 5] = ["kubernetes", "forward", "cache", "hosts", "rewrite"];

const ENCRYPTED: &str = "see --dns-tls-listen, --dns-https-listen and --dns-certificate";
const FORWARD: &str = "forward the zone to a server that has it";

const PLUGINS: [(&str, Plugin); 53] = [
    ("any", Plugin::BuiltIn),
    ("bufsize", Plugin::BuiltIn),
    ("cancel", Plugin::BuiltIn),
    ("errors", Plugin::BuiltIn),
    ("loadbalance", Plugin::BuiltIn),
    ("loop", Plugin::BuiltIn),
    ("minimal", Plugin::BuiltIn),
    ("reload", Plugin::BuiltIn),
    ("bind", Plugin::Elsewhere("where DNS listens is told by --dns-listen")),
    ("health", Plugin::Elsewhere("the admin API has /healthz (--admin)")),
    (
        "prometheus",
        Plugin::Elsewhere("the admin API has /metrics (--admin, --metrics-compat coredns)"),
    ),
    ("ready", Plugin::Elsewhere("the admin API has /readyz (--admin)")),
    ("log", Plugin::Elsewhere("queries are counted, not logged: see rutter_dns_requests_total")),
    ("tls", Plugin::Elsewhere(ENCRYPTED)),
    ("https", Plugin::Elsewhere(ENCRYPTED)),
    ("https3", Plugin::Missing),
    ("quic", Plugin::Missing),
    ("grpc_server", Plugin::Missing),
    ("chaos", Plugin::Missing),
    ("debug", Plugin::Missing),
    ("dnstap", Plugin::Missing),
    ("geoip", Plugin::Missing),
    ("metadata", Plugin::Missing),
    ("multisocket", Plugin::BuiltIn),
    ("nsid", Plugin::Missing),
    ("on", Plugin::Missing),
    ("pprof", Plugin::Missing),
    ("proxyproto", Plugin::Missing),
    ("root", Plugin::Missing),
    ("shed", Plugin::Missing),
    ("timeouts", Plugin::Missing),
    ("trace", Plugin::Missing),
    ("tsig", Plugin::Missing),
    ("acl", Plugin::Missed("")),
    ("auto", Plugin::Missed(FORWARD)),
    ("autopath", Plugin::Missed("start rutter with --dns-search on")),
    ("azure", Plugin::Missed(FORWARD)),
    ("clouddns", Plugin::Missed(FORWARD)),
    ("dns64", Plugin::Missed("")),
    ("dnssec", Plugin::Missed("")),
    ("erratic", Plugin::Missed("")),
    ("etcd", Plugin::Missed(FORWARD)),
    ("file", Plugin::Missed(FORWARD)),
    ("grpc", Plugin::Missed("write forward, which speaks DNS to the server")),
    ("header", Plugin::Missed("")),
    ("k8s_external", Plugin::Missed("")),
    ("local", Plugin::Missed("")),
    ("nomad", Plugin::Missed(FORWARD)),
    ("route53", Plugin::Missed(FORWARD)),
    ("secondary", Plugin::Missed(FORWARD)),
    ("sign", Plugin::Missed("")),
    ("template", Plugin::Missed("hosts and rewrite name do some of it")),
    ("transfer", Plugin::Missed("zone transfers are refused")),
];
