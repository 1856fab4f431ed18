//! `cache [TTL] [ZONE…] { … }`: how long the answers of upstreams are remembered.

use std::time::Duration;

use super::Reading;
use super::block::Block;
use crate::compile::gateway::parse_duration;
use crate::manifest::Code;
use crate::manifest::corefile::{Directive, Word};
use crate::snapshot::zone::CachePolicy;

impl Reading<'_, '_> {
    /// That of the options, which says what the Corefile does not.
    pub(super) fn cache(&self) -> CachePolicy {
        self.settings.dns_forward.cache.clone()
    }

    pub(super) fn set_cache(&mut self, block: &Block<'_>, policy: &CachePolicy) {
        for zone in &block.zones {
            if zone.is_empty() {
                self.forward.cache = policy.clone();
            } else {
                self.forward.stub_caches.insert(zone.clone(), policy.clone());
            }
        }
    }

    pub(super) fn cache_directive(&mut self, block: &Block<'_>, directive: &Directive) {
        let mut policy = self.cache();
        let mut zones = directive.arguments.as_slice();
        if let [first, rest @ ..] = zones
            && let Ok(ttl) = first.text.parse()
        {
            (policy.positive_max, policy.negative_max) = (ttl, ttl);
            zones = rest;
        }
        for property in &directive.body {
            self.cache_property(property, &mut policy);
        }
        policy.zones = zones.iter().flat_map(|word| self.zones_of(word)).collect();
        if policy.zones.is_empty() && !zones.is_empty() {
            // none of them is a zone: then nothing is, rather than everything
            (policy.positive_max, policy.negative_max) = (0, 0);
        }
        self.set_cache(block, &policy);
    }

    fn cache_property(&mut self, property: &Directive, policy: &mut CachePolicy) {
        let name = &property.name;
        match name.text.as_str() {
            "success" => {
                self.cache_seconds(property, &mut policy.positive_max, &mut policy.positive_min);
            }
            "denial" => {
                self.cache_seconds(property, &mut policy.negative_max, &mut policy.negative_min);
            }
            "servfail" => self.servfail(property, policy),
            "prefetch" => {
                if let Some(least) = self.number(name, property.arguments.first()) {
                    policy.prefetch = (least > 0).then_some(least);
                }
            }
            "serve_stale" => self.serve_stale(property, policy),
            "disable" => self.disable(property, policy),
            "keepttl" | "serve_stale_policy" => {
                self.note(name, format!("rutter does not have {} of cache", name.text), "");
            }
            _ => self.unknown(name, "cache has no", &PROPERTIES),
        }
    }

    /// `CAPACITY [TTL] [MINTTL]`. The capacity is another one here: bytes, not entries.
    fn cache_seconds(&mut self, property: &Directive, most: &mut u32, least: &mut u32) {
        let name = &property.name;
        let [_, ttl, rest @ ..] = property.arguments.as_slice() else {
            self.number(name, property.arguments.first());
            return;
        };
        if let Some(ttl) = self.number(name, Some(ttl)) {
            *most = ttl;
        }
        if let Some(word) = rest.first()
            && let Some(seconds) = self.number(name, Some(word))
        {
            *least = seconds;
        }
    }

    /// `DURATION`, at most five minutes (RFC 9520 section 3.2).
    fn servfail(&mut self, property: &Directive, policy: &mut CachePolicy) {
        let Some(word) = self.only(property) else { return };
        let written =
            if word.text == "0" { Some(Duration::ZERO) } else { parse_duration(&word.text) };
        match written.filter(|it| *it <= LONGEST_FAILURE) {
            // what is shorter than a second is none
            Some(duration) => {
                policy.failure = u32::try_from(duration.as_secs()).unwrap_or_default();
            }
            None => {
                let message = format!("{:?} is no duration of at most 5m", word.text);
                self.error(word, Code::BadValue, message, "write such as 5s");
            }
        }
    }

    fn number(&mut self, name: &Word, word: Option<&Word>) -> Option<u32> {
        let number = word.and_then(|word| word.text.parse().ok());
        if number.is_none() {
            let message = format!("{} needs a number here", name.text);
            self.error(word.unwrap_or(name), Code::BadValue, message, "");
        }
        number
    }

    /// `[DURATION] [immediate|verify]`; an hour by default.
    fn serve_stale(&mut self, property: &Directive, policy: &mut CachePolicy) {
        policy.serve_stale = Duration::from_secs(3600);
        let Some(word) = property.arguments.first() else { return };
        match parse_duration(&word.text) {
            Some(duration) => policy.serve_stale = duration,
            None => {
                let message = format!("{:?} is no duration", word.text);
                self.error(word, Code::BadValue, message, "write such as 1h or 30m");
            }
        }
    }

    /// `success|denial [ZONE…]`.
    fn disable(&mut self, property: &Directive, policy: &mut CachePolicy) {
        let [kind, zones @ ..] = property.arguments.as_slice() else {
            let message = "disable what?";
            return self.error(&property.name, Code::BadValue, message, "write success or denial");
        };
        let most = match kind.text.as_str() {
            "success" => &mut policy.positive_max,
            "denial" => &mut policy.negative_max,
            _ => return self.unknown(kind, "cache cannot disable", &["success", "denial"]),
        };
        if zones.is_empty() || zones.iter().any(|zone| zone.text == ".") {
            *most = 0;
        }
        for word in zones {
            // names of the cluster are never remembered
            let others = self.zones_of(word).into_iter();
            let mut others = others.filter(|zone| !zone.is_empty() && !self.is_own(zone));
            if others.next().is_some() {
                let message = format!("answers of {} are remembered like others", word.text);
                self.warn(word, Code::NotCarried, message, "write a block for the zone");
            }
        }
    }
}

const LONGEST_FAILURE: Duration = Duration::from_secs(300);

const PROPERTIES: [&str; 8] = [
    "success",
    "denial",
    "prefetch",
    "serve_stale",
    "disable",
    "servfail",
    "keepttl",
    "serve_stale_policy",
];
