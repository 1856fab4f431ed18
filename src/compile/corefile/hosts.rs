//! `hosts [FILE] [ZONE…] { … }`: names and addresses that are written into the Corefile.

use std::sync::Arc;

use super::Reading;
use super::block::Block;
use crate::compile::parse_hosts;
use crate::manifest::Code;
use crate::manifest::corefile::{Directive, Word};
use crate::snapshot::zone::{Hosts, is_within};

impl Reading<'_, '_> {
    pub(super) fn hosts(&mut self, block: &Block<'_>, directive: &Directive) {
        let (file, zones) = match directive.arguments.as_slice() {
            [file, zones @ ..] => (Some(file), zones),
            [] => (None, &[][..]),
        };
        if let Some(file) = file {
            let message = format!("{} is not read", file.text);
            let help = format!("start rutter with --dns-hosts {}", file.text);
            self.warn(file, Code::NotCarried, message, &help);
        }
        let mut within: Vec<Arc<str>> = zones.iter().flat_map(|it| self.zones_of(it)).collect();
        if zones.is_empty() {
            within.clone_from(&block.zones);
        }
        let mut hosts = Hosts::default();
        let (mut falls_through, mut has_reverse) = (false, true);
        for property in &directive.body {
            match property.name.text.as_str() {
                "fallthrough" => falls_through = true,
                "no_reverse" => has_reverse = false,
                "ttl" => self.hosts_ttl(property),
                "reload" | "fallthrough_unsupported" => {}
                _ => self.entry(property, &within, &mut hosts),
            }
        }
        if !falls_through && !hosts.is_empty() {
            let message = "names that are not in hosts are looked up elsewhere all the same";
            self.note(&directive.name, message, "write fallthrough into it");
        }
        if !has_reverse {
            hosts.forget_addresses();
        }
        self.hosts.extend(&hosts);
    }

    /// One is for all: the last.
    fn hosts_ttl(&mut self, property: &Directive) {
        let Some(word) = self.only(property) else { return };
        match word.text.parse().ok().filter(|ttl| (1..=65_535).contains(ttl)) {
            Some(ttl) => self.hosts.ttl = ttl,
            None => {
                let message = format!("{:?} is not a number of seconds from 1 to 65535", word.text);
                self.error(word, Code::BadValue, message, "");
            }
        }
    }

    /// `ADDRESS NAME…`
    fn entry(&mut self, entry: &Directive, within: &[Arc<str>], hosts: &mut Hosts) {
        let is_meant = |word: &&Word| {
            let name = word.text.trim_end_matches('.').to_ascii_lowercase();
            within.iter().any(|zone| is_within(&name, zone))
        };
        let (meant, others): (Vec<_>, Vec<_>) = entry.arguments.iter().partition(is_meant);
        for word in others {
            let message = format!("{} is in no zone of this hosts: it is left out", word.text);
            self.warn(word, Code::NotCarried, message, "");
        }
        if meant.is_empty() && !entry.arguments.is_empty() {
            return;
        }
        let words = [&entry.name].into_iter().chain(meant);
        let words: Vec<&str> = words.map(|word| word.text.as_str()).collect();
        let origin = self.subject.origin();
        for finding in parse_hosts(&origin.file, origin.line, &words.join(" "), hosts) {
            let help = finding.help.unwrap_or_default();
            self.error(&entry.name, finding.code, finding.message, &help);
        }
    }
}
