//! The annotations by which a Service says how its requests are shared out among its endpoints.
//!
//! Each is read by itself: a value that makes no sense is a finding, and counts as if it was not
//! there.

use std::fmt::Display;
use std::num::NonZeroU32;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use crate::compile::gateway::parse_duration;
use crate::compile::report::{Findings, Subject};
use crate::manifest::Code;
use crate::manifest::service::Service;
use crate::snapshot::{Algorithm, Balancing, CheckQuestion, EndpointCheck, HashKey, RequestLimits};

/// What the Service says; shared by all that say nothing.
pub(super) fn parse(
    service: &Service,
    subject: Subject<'_>,
    findings: &mut Findings,
) -> Arc<Balancing> {
    if service.metadata.annotations.is_empty() {
        return SILENT.clone();
    }
    let mut reader = Reader { service, subject, findings };
    let balancing = Balancing {
        algorithm: reader.algorithm(),
        slow_start: reader.slow_start(),
        limits: reader.limits(),
        check: reader.check(),
    };
    if balancing == **SILENT { SILENT.clone() } else { Arc::new(balancing) }
}

static SILENT: LazyLock<Arc<Balancing>> = LazyLock::new(Arc::default);

struct Reader<'a, 'f> {
    service: &'a Service,
    subject: Subject<'a>,
    findings: &'f mut Findings,
}

impl Reader<'_, '_> {
    /// `rutter.dev/load-balancer`, and what [`HASH_ON`] says to it.
    fn algorithm(&mut self) -> Algorithm {
        let key = self.read(HASH_ON, hash_key);
        let algorithm = self.read(LOAD_BALANCER, |text| match text {
            "peak-ewma" => Ok(Algorithm::PeakEwma),
            "round-robin" => Ok(Algorithm::RoundRobin),
            "least-request" => Ok(Algorithm::LeastRequest),
            "random" => Ok(Algorithm::Random),
            "maglev" => Ok(Algorithm::Maglev(key.clone().unwrap_or(HashKey::Source))),
            _ => Err("none of peak-ewma, round-robin, least-request, random, maglev"),
        });
        let algorithm = algorithm.unwrap_or_default();
        if key.is_some() && !matches!(algorithm, Algorithm::Maglev(_)) {
            let message = format!("nothing is hashed: {LOAD_BALANCER} is not maglev");
            let finding = self.subject.warning(Code::NotCarried, &field(HASH_ON), message);
            self.findings.push(finding);
        }
        algorithm
    }

    /// `rutter.dev/slow-start`.
    fn slow_start(&mut self) -> Duration {
        let read = self.read(SLOW_START, |text| match text {
            "off" => Ok(Duration::ZERO),
            _ => parse_duration(text).ok_or("neither a duration such as 30s nor off"),
        });
        read.unwrap_or(SILENT.slow_start)
    }

    /// `rutter.dev/max-requests` and what belongs to it.
    fn limits(&mut self) -> Option<RequestLimits> {
        let per_service = self.read(MAX_REQUESTS, count);
        let per_endpoint = self.read(MAX_REQUESTS_PER_ENDPOINT, count);
        let queue = self.read(MAX_QUEUE, |text| text.parse().map_err(|_| "no number"));
        let queue_time = self
            .read(QUEUE_TIMEOUT, |text| parse_duration(text).ok_or("no duration such as 500ms"));
        if per_service.is_none() && per_endpoint.is_none() {
            for (annotation, is_there) in
                [(MAX_QUEUE, queue.is_some()), (QUEUE_TIMEOUT, queue_time.is_some())]
            {
                if is_there {
                    let message = format!("nothing waits: there is no {MAX_REQUESTS}");
                    let field = field(annotation);
                    self.findings.push(self.subject.warning(Code::NotCarried, &field, message));
                }
            }
            return None;
        }
        let (queue, queue_time) = (queue.unwrap_or(QUEUE), queue_time.unwrap_or(QUEUE_TIME));
        Some(RequestLimits { per_service, per_endpoint, queue, queue_time })
    }

    /// `rutter.dev/health-check` and how often.
    fn check(&mut self) -> Option<EndpointCheck> {
        let interval = self.read(HEALTH_CHECK_INTERVAL, |text| {
            let interval = parse_duration(text).filter(|it| *it >= LEAST_INTERVAL);
            interval.ok_or("no duration from 100ms on")
        });
        let question = self.read(HEALTH_CHECK, question)?;
        Some(EndpointCheck { question, interval: interval.unwrap_or(INTERVAL) })
    }

    /// The value of an annotation, if it is there and makes sense.
    fn read<T, E: Display>(
        &mut self,
        annotation: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.service.metadata.annotation(annotation)?;
        match parse(text) {
            Ok(value) => Some(value),
            Err(wrong) => {
                let message = format!("{text:?} is {wrong}");
                let finding = self.subject.error(Code::BadValue, &field(annotation), message);
                self.findings.push(finding.help("the default is taken, as where nothing is said"));
                None
            }
        }
    }
}

/// `source`, `header:NAME` or `cookie:NAME`.
fn hash_key(text: &str) -> Result<HashKey, &'static str> {
    let is_token = |name: &str| {
        let sign = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        !name.is_empty() && name.bytes().all(sign)
    };
    match text.split_once(':') {
        None if text == "source" => Ok(HashKey::Source),
        Some(("header", name)) if is_token(name) => {
            Ok(HashKey::Header(name.to_ascii_lowercase().into()))
        }
        Some(("cookie", name)) if is_token(name) => Ok(HashKey::Cookie(name.into())),
        _ => Err("none of source, header:NAME, cookie:NAME"),
    }
}

/// `tcp`, `http:/PATH`, `grpc` or `grpc:SERVICE`, and with an `s` the same within TLS.
fn question(text: &str) -> Result<CheckQuestion, &'static str> {
    let is_plain = |text: &str| text.len() < 128 && text.bytes().all(|it| it.is_ascii_graphic());
    match text.split_once(':').map_or((text, None), |(kind, rest)| (kind, Some(rest))) {
        ("tcp", None) => Ok(CheckQuestion::Tcp),
        (kind @ ("grpc" | "grpcs"), service) if is_plain(service.unwrap_or_default()) => {
            let service = service.unwrap_or_default().into();
            Ok(CheckQuestion::Grpc { service, tls: kind == "grpcs" })
        }
        (kind @ ("http" | "https"), Some(path)) if path.starts_with('/') && is_plain(path) => {
            Ok(CheckQuestion::Http { path: path.into(), tls: kind == "https" })
        }
        _ => Err("none of tcp, http:/PATH, https:/PATH, grpc, grpc:SERVICE, grpcs, grpcs:SERVICE"),
    }
}

fn count(text: &str) -> Result<NonZeroU32, &'static str> {
    text.parse().map_err(|_| "no number from 1 on")
}

fn field(annotation: &str) -> String {
    format!("metadata.annotations.{annotation}")
}

const LOAD_BALANCER: &str = "rutter.dev/load-balancer";
const HASH_ON: &str = "rutter.dev/hash-on";
const SLOW_START: &str = "rutter.dev/slow-start";
const MAX_REQUESTS: &str = "rutter.dev/max-requests";
const MAX_REQUESTS_PER_ENDPOINT: &str = "rutter.dev/max-requests-per-endpoint";
const MAX_QUEUE: &str = "rutter.dev/max-queue";
const QUEUE_TIMEOUT: &str = "rutter.dev/queue-timeout";

/// How many requests wait where there is a limit and nothing is said.
const QUEUE: u32 = 1_024;
/// And how long.
const QUEUE_TIME: Duration = Duration::from_secs(1);
const HEALTH_CHECK: &str = "rutter.dev/health-check";
const HEALTH_CHECK_INTERVAL: &str = "rutter.dev/health-check-interval";

/// As the kubelet has it.
const INTERVAL: Duration = Duration::from_secs(10);
/// More often is no check but load.
const LEAST_INTERVAL: Duration = Duration::from_millis(100);
