//! `kubernetes [ZONE…] { … }`: which names of the cluster there are.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::block::{self, Block};
use super::{PodMode, Reading, selector};
use crate::compile::settings::Settings;
use crate::manifest::Code;
use crate::manifest::corefile::{Directive, Word};
use crate::manifest::meta::LabelRequirement;

impl Reading<'_, '_> {
    pub(super) fn kubernetes(&mut self, block: &Block<'_>, directive: &Directive) {
        if std::mem::replace(&mut self.has_kubernetes, true) {
            let message = "kubernetes stands above already: that one counts";
            return self.warn(&directive.name, Code::Conflict, message, "");
        }
        self.zones(block, directive);
        // as CoreDNS, unless the body says otherwise
        self.names.pods = PodMode::Disabled;
        self.names.fallthrough = Vec::new();
        for property in &directive.body {
            self.property(property);
        }
        let names = &mut self.names;
        names.is_all_reverse = !names
            .fallthrough
            .iter()
            .any(|it| it.is_empty() || block::REVERSE_ZONES.contains(&&**it));
    }

    /// The first that is no zone of addresses is the cluster's.
    fn zones(&mut self, block: &Block<'_>, directive: &Directive) {
        let mut zones: Vec<(Arc<str>, &Word)> = Vec::new();
        for word in &directive.arguments {
            zones.extend(self.zones_of(word).into_iter().map(|zone| (zone, word)));
        }
        if directive.arguments.is_empty() {
            zones.extend(block.zones.iter().map(|zone| (zone.clone(), &directive.name)));
        }
        self.names.reverse = zones.iter().filter_map(|(zone, _)| block::addresses(zone)).collect();
        zones.retain(|(zone, _)| block::addresses(zone).is_none());
        let mut zones = zones.into_iter();
        let Some((zone, word)) = zones.next().filter(|(zone, _)| !zone.is_empty()) else {
            let message = format!("kubernetes names no zone: {} is served", self.names.domain);
            return self.error(
                &directive.name,
                Code::BadValue,
                message,
                "write the cluster domain",
            );
        };
        for (other, word) in zones {
            let message = format!("kubernetes serves one zone, {zone}; {other} is left out");
            self.warn(word, Code::NotCarried, message, "");
        }
        if zone != self.names.domain {
            let of_options = &self.settings.cluster_domain;
            let message = format!("{zone} wins over {of_options} of --cluster-domain");
            self.overrides(word, message);
        }
        self.names.domain = zone;
    }

    fn property(&mut self, property: &Directive) {
        match property.name.text.as_str() {
            "pods" => self.pods(property),
            "ttl" => self.ttl(property),
            "fallthrough" => self.names.fallthrough = self.fallthrough(property),
            "endpoint_pod_names" => self.names.pod_hostnames = true,
            "noendpoints" => self.names.endpoints = false,
            "ignore" => self.ignore(property),
            "namespaces" => {
                let names: BTreeSet<Arc<str>> = property.texts().map(Arc::from).collect();
                self.names.namespaces = Some(names);
            }
            "labels" => self.names.labels = self.selector(property),
            "namespace_labels" => self.names.namespace_labels = self.selector(property),
            "multicluster" | "zonal" => {
                let message = format!("rutter does not have {} of kubernetes", property.name.text);
                self.warn(&property.name, Code::NotCarried, message, "");
            }
            name if OF_THE_SOURCE.contains(&name) => {
                let message = format!("{name} is not looked at");
                self.note(&property.name, message, "where objects come from is told by options");
            }
            _ => self.unknown(&property.name, "kubernetes has no", &PROPERTIES),
        }
    }

    fn pods(&mut self, property: &Directive) {
        let Some(word) = self.only(property) else { return };
        self.names.pods = match word.text.as_str() {
            "disabled" => PodMode::Disabled,
            "insecure" => PodMode::Insecure,
            "verified" => PodMode::Verified,
            _ => {
                return self.unknown(
                    word,
                    "pods has no mode",
                    &["disabled", "insecure", "verified"],
                );
            }
        };
    }

    fn ttl(&mut self, property: &Directive) {
        let Some(word) = self.only(property) else { return };
        let Some(ttl) = word.text.parse().ok().filter(|ttl| *ttl <= 3600) else {
            let message = format!("{:?} is not a number of seconds from 0 to 3600", word.text);
            return self.error(word, Code::BadValue, message, "");
        };
        let of_options = self.settings.dns_ttl;
        if of_options != ttl && of_options != Settings::default().dns_ttl {
            let message = format!("ttl {ttl} wins over {of_options} of --dns-ttl");
            self.overrides(word, message);
        }
        self.names.ttl = ttl;
    }

    /// The zones that fall through; without any, all.
    pub(super) fn fallthrough(&mut self, property: &Directive) -> Vec<Arc<str>> {
        if property.arguments.is_empty() {
            return vec!["".into()];
        }
        property.arguments.iter().flat_map(|word| self.zones_of(word)).collect()
    }

    fn ignore(&mut self, property: &Directive) {
        let Some(word) = self.only(property) else { return };
        if word.text == "empty_service" {
            self.names.empty_services = false;
        } else {
            self.unknown(word, "kubernetes cannot ignore", &["empty_service"]);
        }
    }

    fn selector(&mut self, property: &Directive) -> Vec<LabelRequirement> {
        let text = property.texts().collect::<Vec<_>>().join(" ");
        selector::parse(&text).unwrap_or_else(|problem| {
            let help = "every label is good now; write such as app=web,tier in (a, b),!canary";
            self.error(&property.name, Code::BadValue, problem, help);
            Vec::new()
        })
    }
}

/// How CoreDNS reaches the API server.
const OF_THE_SOURCE: [&str; 10] = [
    "endpoint",
    "tls",
    "kubeconfig",
    "apiserver_qps",
    "apiserver_burst",
    "apiserver_max_inflight",
    "startup_timeout",
    "resyncperiod",
    "upstream",
    "transfer",
];

const PROPERTIES: [&str; 9] = [
    "pods",
    "ttl",
    "fallthrough",
    "endpoint_pod_names",
    "noendpoints",
    "ignore",
    "namespaces",
    "labels",
    "namespace_labels",
];
