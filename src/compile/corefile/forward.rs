//! `forward FROM TO… { … }`: who is asked about the names of others.

use std::sync::Arc;

use super::Reading;
use super::block::Block;
use crate::compile::parse_upstream;
use crate::manifest::Code;
use crate::manifest::corefile::{Directive, Word};
use crate::snapshot::zone::{Alternate, Unknown};
use crate::snapshot::{ForwardPolicy, Upstream, UpstreamTransport};

/// What a body says of all its upstreams.
#[derive(Default)]
struct Body {
    is_tcp: bool,
    server_name: Option<Arc<str>>,
    except: Vec<Arc<str>>,
    /// What is asked of the next forward of the same zone.
    next: Unknown,
}

impl Reading<'_, '_> {
    pub(super) fn forward(&mut self, block: &Block<'_>, directive: &Directive) {
        let [from, to @ ..] = directive.arguments.as_slice() else {
            let help = "write forward . /etc/resolv.conf, or forward . ADDRESS";
            return self.error(
                &directive.name,
                Code::BadValue,
                "forward what, and where to?",
                help,
            );
        };
        let mut body = Body::default();
        for property in &directive.body {
            self.forward_property(property, &mut body);
        }
        self.follow_next(block, directive, from);
        let mut upstreams: Vec<Upstream> = Vec::new();
        for word in to {
            for mut upstream in self.upstreams(word) {
                body.applied(&mut upstream);
                if !upstreams.contains(&upstream) {
                    upstreams.push(upstream);
                }
            }
        }
        if upstreams.is_empty() {
            let message = format!("nobody is asked about {}", from.text);
            return self.error(&directive.name, Code::BadValue, message, "");
        }
        for zone in self.zones_of(from) {
            self.forward_zone(block, from, &zone, &upstreams, &body);
        }
    }

    /// The root in a block of other zones is those zones.
    fn forward_zone(
        &mut self,
        block: &Block<'_>,
        from: &Word,
        zone: &Arc<str>,
        to: &[Upstream],
        body: &Body,
    ) {
        let zones = if zone.is_empty() { block.zones.clone() } else { vec![zone.clone()] };
        for zone in zones {
            if !zone.is_empty() && self.is_own(&zone) {
                let message = format!("names of {zone} are answered here, and not forwarded");
                self.note(from, message, "");
                continue;
            }
            if !block.zones.contains(&zone) && self.zones.contains(&zone) {
                let message = format!("{zone} has a block of its own: that one counts");
                self.warn(from, Code::Conflict, message, "");
                continue;
            }
            let before = self.next.insert(zone.clone(), body.next.clone());
            if let Some(after) = before {
                self.alternate(from, zone, Alternate { upstreams: to.to_vec(), after }, body);
                continue;
            }
            self.forward.except.insert(zone.clone(), body.except.clone());
            if !block.zones.contains(&zone) {
                let of_block = block.zones.first().map_or("", |zone| &**zone);
                let cache = self.forward.cache_of(of_block).clone();
                self.forward.stub_caches.insert(zone.clone(), cache);
            }
            if zone.is_empty() {
                self.forward.upstreams = to.to_vec();
            } else {
                self.forward.stubs.insert(zone, to.to_vec());
            }
        }
    }

    /// Another forward of a zone: it is asked where the one above says `next`.
    fn alternate(&mut self, from: &Word, zone: Arc<str>, alternate: Alternate, body: &Body) {
        if alternate.after.is_nothing() {
            let message = format!("a forward of {zone}. stands above: that one counts");
            let help = "write next NXDOMAIN into it, or what else leads here";
            return self.warn(from, Code::Conflict, message, help);
        }
        if !body.except.is_empty() {
            let message = "which names are excepted, the first forward of a zone says";
            self.warn(from, Code::NotCarried, message, "");
        }
        self.forward.alternates.entry(zone).or_default().push(alternate);
    }

    /// Tells of a `next` that leads nowhere.
    fn follow_next(&mut self, block: &Block<'_>, directive: &Directive, from: &Word) {
        let is_next = |it: &&Directive| matches!(&*it.name.text, "next" | "next_on_nodata");
        let Some(next) = directive.body.iter().find(is_next) else { return };
        let mut below =
            block.named("forward").skip_while(|it| !std::ptr::eq(*it, directive)).skip(1);
        if !below.any(|it| it.arguments.first().is_some_and(|it| it.text == from.text)) {
            let message = format!("no forward {} follows that could be next", from.text);
            self.note(&next.name, message, "");
        }
    }

    fn upstreams(&mut self, word: &Word) -> Vec<Upstream> {
        if word.text == RESOLV_CONF {
            return self.settings.resolv_conf.to_vec();
        }
        // CoreDNS has the name of a certificate behind %
        match parse_upstream(&word.text.replace('%', "#")) {
            Ok(upstream) => vec![upstream],
            Err(problem) => {
                self.error(word, Code::BadValue, problem, "");
                Vec::new()
            }
        }
    }

    fn forward_property(&mut self, property: &Directive, body: &mut Body) {
        let name = &property.name;
        match name.text.as_str() {
            "policy" => self.policy(property),
            "force_tcp" => body.is_tcp = true,
            "except" => {
                body.except.extend(property.arguments.iter().flat_map(|it| self.zones_of(it)));
            }
            "tls_servername" => {
                if let Some(word) = self.only(property) {
                    body.server_name =
                        Some(word.text.trim_end_matches('.').to_ascii_lowercase().into());
                }
            }
            "tls" if property.arguments.is_empty() => {}
            "tls" => {
                let help = "who may sign for upstreams is told by --dns-upstream-ca";
                self.warn(name, Code::NotCarried, "files of tls are not read", help);
            }
            "max_concurrent" => {
                if !property.texts().eq(["1000"]) {
                    let message = "1000 questions may wait at each upstream, on each worker";
                    self.note(name, message, "");
                }
            }
            "next" => {
                for word in &property.arguments {
                    match RCODES.iter().find(|(name, _)| *name == word.text) {
                        Some((_, rcode)) => body.next.rcodes.push(*rcode),
                        None => self.unknown(word, "there is no answer", &RCODES.map(|it| it.0)),
                    }
                }
            }
            "next_on_nodata" => body.next.no_data = true,
            "failover" | "resolver" | "source_address" => {
                let message = format!("rutter does not have {} of forward", name.text);
                let help = "the next upstream is asked where one fails or does not answer";
                self.warn(name, Code::NotCarried, message, help);
            }
            other if HARMLESS.contains(&other) => {}
            _ => self.unknown(name, "forward has no", &PROPERTIES),
        }
    }

    fn policy(&mut self, property: &Directive) {
        let Some(word) = self.only(property) else { return };
        self.forward.policy = match word.text.as_str() {
            "random" => ForwardPolicy::Random,
            "round_robin" => ForwardPolicy::RoundRobin,
            "sequential" => ForwardPolicy::Sequential,
            _ => {
                let known = ["random", "round_robin", "sequential"];
                return self.unknown(word, "forward has no policy", &known);
            }
        };
    }
}

impl Body {
    fn applied(&self, upstream: &mut Upstream) {
        match (&mut upstream.transport, &self.server_name) {
            (UpstreamTransport::Tls { server_name }, Some(name)) => server_name.clone_from(name),
            (transport @ UpstreamTransport::Udp, _) if self.is_tcp => {
                *transport = UpstreamTransport::Tcp;
            }
            (
                UpstreamTransport::Udp | UpstreamTransport::Tcp | UpstreamTransport::Tls { .. },
                _,
            ) => {}
        }
    }
}

/// Whose nameservers the options have read.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// How CoreDNS finds out who answers, and how long it waits and keeps connections.
const HARMLESS: [&str; 11] = [
    "doh_method",
    "expire",
    "failfast_all_unhealthy_upstreams",
    "health_check",
    "max_age",
    "max_connect_attempts",
    "max_fails",
    "max_idle_conns",
    "prefer_udp",
    "read_timeout",
    "tls",
];

/// Response codes (RFC 1035 section 4.1.1, RFC 2136 section 2.2).
const RCODES: [(&str, u8); 11] = [
    ("NOERROR", 0),
    ("FORMERR", 1),
    ("SERVFAIL", 2),
    ("NXDOMAIN", 3),
    ("NOTIMP", 4),
    ("REFUSED", 5),
    ("YXDOMAIN", 6),
    ("YXRRSET", 7),
    ("NXRRSET", 8),
    ("NOTAUTH", 9),
    ("NOTZONE", 10),
];

const PROPERTIES: [&str; 11] = [
    "policy",
    "next",
    "next_on_nodata",
    "except",
    "force_tcp",
    "tls",
    "tls_servername",
    "max_concurrent",
    "max_fails",
    "health_check",
    "expire",
];
