//! The Corefile of the cluster → how names are answered.
//!
//! In: the ConfigMap that `--corefile` names (`kube-system/coredns`, as in clusters), whose key
//! `Corefile` is read by [`manifest::corefile`](crate::manifest::corefile). Out: [`Names`], from
//! which `zone` is built: what the Corefile says, and the options for the rest. Called by
//! [`compile`](super::compile); as the ConfigMap is an object like others, an edit takes effect at
//! once.
//!
//! Invariant: a directive that is not understood is a finding at its line, and harms no other.
//! Invariant: a Corefile whose braces do not match changes nothing: the last good one serves on.
//!
//! A name belongs to the server block of the longest zone that it is in, as with CoreDNS: its
//! `forward` and `rewrite` are for such names only. Deliberately different: names of the cluster
//! are answered wherever `kubernetes` stands, also in a Corefile without it (a node-local cache),
//! and are never cached.

mod block;
mod cache;
mod forward;
mod hosts;
mod kubernetes;
mod plugin;
mod rewrite;
mod selector;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ipnet::IpNet;

use crate::manifest::corefile::{Corefile, Directive, Problem, Word};
use crate::manifest::meta::LabelRequirement;
use crate::manifest::{Code, Finding, Kind, ObjectKey, Span};
use crate::snapshot::zone::{CachePolicy, Forward, Hosts, Rewrites, Unknown, is_within};
use crate::store::Objects;

use super::report::{Findings, Subject};
use super::selector::holds;
use super::settings::Settings;

use block::Block;

/// How names are answered.
#[derive(Clone, Debug)]
pub(super) struct Names {
    /// The cluster zone.
    pub(super) domain: Arc<str>,
    /// Time to live of answers, in seconds.
    pub(super) ttl: u32,
    pub(super) pods: PodMode,
    /// Zones of which upstreams are asked for what is not here.
    pub(super) fallthrough: Vec<Arc<str>>,
    /// Addresses whose names are answered.
    pub(super) reverse: Vec<IpNet>,
    /// Whether what is not here of `reverse` does not exist, also where others may know better.
    pub(super) is_all_reverse: bool,
    /// Whether Pods give endpoints without hostname their names.
    pub(super) pod_hostnames: bool,
    /// Whether endpoints have names.
    pub(super) endpoints: bool,
    /// Whether Services without ready endpoints have names.
    pub(super) empty_services: bool,
    /// The namespaces that are served; `None`: all.
    pub(super) namespaces: Option<BTreeSet<Arc<str>>>,
    /// What the labels of namespaces must be.
    pub(super) namespace_labels: Vec<LabelRequirement>,
    /// What the labels of Services must be.
    pub(super) labels: Vec<LabelRequirement>,
    pub(super) hosts: Arc<Hosts>,
    pub(super) forward: Arc<Forward>,
    pub(super) rewrites: Rewrites,
}

/// Which names Pods have by their addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PodMode {
    Disabled,
    Insecure,
    Verified,
}

impl Names {
    /// Those of the options alone.
    fn of(settings: &Settings) -> Self {
        Self {
            domain: settings.cluster_domain.clone(),
            ttl: settings.dns_ttl,
            pods: PodMode::Insecure,
            fallthrough: block::REVERSE_ZONES.map(Arc::from).to_vec(),
            reverse: block::every_address(),
            is_all_reverse: false,
            pod_hostnames: false,
            endpoints: true,
            empty_services: true,
            namespaces: None,
            namespace_labels: Vec::new(),
            labels: Vec::new(),
            hosts: settings.dns_hosts.hosts.clone(),
            forward: settings.dns_forward.clone(),
            rewrites: Rewrites::default(),
        }
    }

    /// Whether names of a namespace are answered.
    pub(super) fn has_namespace(&self, namespace: &str, objects: &Objects) -> bool {
        let is_listed = self.namespaces.as_ref().is_none_or(|all| all.contains(namespace));
        let object = || objects.namespaces.get(&ObjectKey::cluster(namespace));
        let label = |name: &str| object().and_then(|it| it.object.metadata.label(name));
        is_listed && self.namespace_labels.iter().all(|it| holds(it, label(&it.key)))
    }

    /// Whether a Service has the same names with `other`.
    pub(super) fn names_services_as(&self, other: &Self) -> bool {
        let of = |it: &'_ Self| (it.endpoints, it.empty_services, it.pod_hostnames);
        of(self) == of(other) && self.labels == other.labels && self.reverse == other.reverse
    }

    /// Whether names of a Service with these labels are answered.
    pub(super) fn selects<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.labels.iter().all(|it| holds(it, label(&it.key)))
    }
}

/// What one compilation leaves to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LastCorefile {
    /// The last that could be read; `None`: there is no Corefile.
    good: Option<Arc<Corefile>>,
    /// Whether it cannot be read as it is now.
    pub(super) is_broken: bool,
}

/// Reads the Corefile, if there is one. `held` is what the last compilation has left.
pub(super) fn read(
    objects: &Objects,
    settings: &Settings,
    held: &LastCorefile,
    findings: &mut Findings,
) -> (Names, LastCorefile) {
    let options = || (Names::of(settings), LastCorefile::default());
    let Some(key) = &settings.corefile else { return options() };
    let Some(stored) = objects.config_maps.get(key) else { return options() };
    let subject = Subject::new(Kind::ConfigMap, key, stored);
    let Some(text) = stored.object.data.get(KEY) else {
        let message = format!("there is no key {KEY}: names are answered as the options say");
        findings.push(subject.error(Code::MissingObject, "data", message));
        return options();
    };
    let corefile = Arc::new(Corefile::parse(text));
    for Problem { span, message, help } in &corefile.problems {
        let mut finding = subject.error(Code::Syntax, FIELD, message.as_str()).within(*span);
        finding.help.clone_from(help);
        findings.push(finding);
    }
    if !corefile.is_broken {
        let names = Reading::new(subject, settings, findings).names(&corefile);
        return (names, LastCorefile { good: Some(corefile), is_broken: false });
    }
    let names = match &held.good {
        Some(good) => {
            let message = "the Corefile cannot be read: the last one that could serves on";
            findings.push(subject.warning(Code::Syntax, FIELD, message));
            // what is wrong in that one is on lines that are gone
            Reading::new(subject, settings, &mut Findings::default()).names(good)
        }
        None => {
            let message = "the Corefile cannot be read: names are answered as the options say";
            findings.push(subject.error(Code::Syntax, FIELD, message));
            Names::of(settings)
        }
    };
    (names, LastCorefile { good: held.good.clone(), is_broken: true })
}

/// The key of the ConfigMap.
const KEY: &str = "Corefile";
/// As findings name it.
const FIELD: &str = "data.Corefile";

/// A Corefile while it is read.
struct Reading<'a, 'f> {
    subject: Subject<'a>,
    settings: &'a Settings,
    findings: &'f mut Findings,
    names: Names,
    forward: Forward,
    hosts: Hosts,
    has_kubernetes: bool,
    /// Those that have a block.
    zones: BTreeSet<Arc<str>>,
    /// What the last forward of a zone leaves to the next.
    next: BTreeMap<Arc<str>, Unknown>,
}

impl<'a, 'f> Reading<'a, 'f> {
    fn new(subject: Subject<'a>, settings: &'a Settings, findings: &'f mut Findings) -> Self {
        let forward = Forward { upstreams: Vec::new(), ..Forward::clone(&settings.dns_forward) };
        let hosts = Hosts::clone(&settings.dns_hosts.hosts);
        let names = Names::of(settings);
        Self {
            subject,
            settings,
            findings,
            names,
            forward,
            hosts,
            has_kubernetes: false,
            zones: BTreeSet::new(),
            next: BTreeMap::new(),
        }
    }

    fn names(mut self, corefile: &Corefile) -> Names {
        let blocks = self.blocks(corefile);
        self.zones = blocks.iter().flat_map(|block| block.zones.iter().cloned()).collect();
        // first what the cluster zone is: no other may be in it
        for block in &blocks {
            for directive in block.named("kubernetes") {
                self.kubernetes(block, directive);
            }
        }
        for block in &blocks {
            self.block(block);
        }
        if self.forward.upstreams.is_empty() && !blocks.is_empty() {
            let message = "no forward . in a block of the root zone: names of others are refused";
            self.findings.push(self.subject.note(Code::NotCarried, FIELD, message));
        }
        let rewrites = &mut self.names.rewrites.blocks;
        if rewrites.values().all(Vec::is_empty) {
            rewrites.clear();
        }
        self.names.forward = Arc::new(self.forward);
        self.names.hosts = Arc::new(self.hosts);
        self.names
    }

    fn block(&mut self, block: &Block<'_>) {
        for zone in &block.zones {
            self.names.rewrites.blocks.entry(zone.clone()).or_default();
        }
        // without the plugin nothing is remembered
        self.set_cache(block, &CachePolicy { positive_max: 0, negative_max: 0, ..self.cache() });
        block.named("cache").for_each(|it| self.cache_directive(block, it));
        for directive in block.directives {
            match directive.name.text.as_str() {
                "kubernetes" | "cache" => {}
                "forward" => self.forward(block, directive),
                "hosts" => self.hosts(block, directive),
                "rewrite" => self.rewrite(block, directive),
                _ => self.plugin(directive),
            }
        }
        let has_hosts = block.named("hosts").next().is_some();
        let is_answered = |zone: &Arc<str>| {
            let is_forwarded = self.forward.stubs.contains_key(zone);
            zone.is_empty() || self.is_own(zone) || is_forwarded || has_hosts
        };
        let others: Vec<&str> =
            block.zones.iter().filter(|it| !is_answered(it)).map(|it| &**it).collect();
        if !others.is_empty() {
            let message = format!(
                "the block of {} has no forward: its names are asked for like all others",
                others.join(", ")
            );
            self.warn(block.key, Code::NotCarried, message, "write forward . ADDRESS into it");
        }
    }

    /// Whether a zone is the cluster's, or in it.
    fn is_own(&self, zone: &str) -> bool {
        is_within(zone, &self.names.domain)
    }

    fn error(&mut self, word: &Word, code: Code, message: impl Into<String>, help: &str) {
        let finding = self.subject.error(code, FIELD, message);
        self.push(finding, word.span, help);
    }

    fn warn(&mut self, word: &Word, code: Code, message: impl Into<String>, help: &str) {
        let finding = self.subject.warning(code, FIELD, message);
        self.push(finding, word.span, help);
    }

    fn note(&mut self, word: &Word, message: impl Into<String>, help: &str) {
        let finding = self.subject.note(Code::NotCarried, FIELD, message);
        self.push(finding, word.span, help);
    }

    /// That the Corefile wins over an option that says something else.
    fn overrides(&mut self, word: &Word, message: impl Into<String>) {
        let finding = self.subject.note(Code::Conflict, FIELD, message);
        self.push(finding, word.span, "say the same in both");
    }

    /// `help` may be empty.
    fn push(&mut self, finding: Finding, span: Span, help: &str) {
        let mut finding = finding.within(span);
        finding.help = (!help.is_empty()).then(|| help.to_owned());
        self.findings.push(finding);
    }

    /// A word that is none of those that may stand there.
    fn unknown(&mut self, word: &Word, what: &str, known: &[&str]) {
        let meant = self.findings.did_you_mean(&word.text, known.iter().copied());
        let message = format!("{what} {}", word.text);
        self.error(word, Code::UnknownField, message, &meant.unwrap_or_default());
    }

    /// The only argument of a directive; that it is another number is told.
    fn only<'d>(&mut self, directive: &'d Directive) -> Option<&'d Word> {
        if let [word] = directive.arguments.as_slice() {
            return Some(word);
        }
        let message = format!("{} takes one value", directive.name.text);
        self.error(&directive.name, Code::BadValue, message, "");
        None
    }
}
