//! Everything that is counted, as Prometheus text. Names follow `rutter_*`, base units, `_total`.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use super::access::{AccessTarget, AccessWriter};
use super::announce::{self, AnnounceCounts};
use super::histogram::{BOUNDS, Histogram};
use super::observer::WorkerShard;
use super::programming::{Probe, Programmed, Programming};
use super::shard::Shard;
use crate::config::{AccessLog, MetricsCompat};
use crate::life::Overload;
use crate::snapshot::Snapshot;

mod balance;
mod coredns;
mod current;
mod forward;
mod kube_proxy;
mod resources;

/// The metrics of the process.
#[derive(Debug, Default)]
pub struct Metrics {
    shards: Mutex<Vec<Arc<Mutex<Shard>>>>,
    announced: Arc<AnnounceCounts>,
    programming: Programming,
    /// Limits by name, in seconds, bytes, percent or by count.
    limits: Vec<(&'static str, f64)>,
    overload: Arc<Overload>,
    /// Whether they have the names of CoreDNS too.
    coredns: bool,
    /// Whether they have those of kube-proxy.
    kube_proxy: bool,
}

/// What is not counted but read at the time of a scrape, by whoever asks for it.
#[derive(Clone, Debug, Default)]
pub struct Gauges {
    /// The published generation.
    pub generation: u64,
    /// The generation that every worker has applied.
    pub applied_generation: u64,
    /// Objects that serve in an older version.
    pub stale_objects: u64,
    /// Whether a text may not be whole yet, so that another look at it follows soon.
    pub is_waiting: bool,
    /// Seconds that the last compilation took.
    pub compile_seconds: f64,
    /// Compilations so far.
    pub compiles: u64,
    /// How often the Corefile became one that cannot be read.
    pub corefile_failures: u64,
    /// Findings by severity.
    pub findings: BTreeMap<&'static str, u64>,
    /// Wanted sockets that are not open.
    pub unbound: u64,
}

impl Metrics {
    /// Metrics that have the names of others too.
    pub fn new(compat: &[MetricsCompat]) -> Self {
        Self {
            coredns: compat.contains(&MetricsCompat::Coredns),
            kube_proxy: compat.contains(&MetricsCompat::KubeProxy),
            ..Self::default()
        }
    }

    /// The same, that tell of these limits.
    #[must_use]
    pub fn with_limits(self, limits: Vec<(&'static str, f64)>) -> Self {
        Self { limits, ..self }
    }

    /// The same, that tell of what is shed.
    #[must_use]
    pub fn with_overload(self, overload: Overload) -> Self {
        Self { overload: Arc::new(overload), ..self }
    }

    /// How near memory is to its end, and what is shed because of it.
    pub fn overload(&self) -> Arc<Overload> {
        self.overload.clone()
    }

    /// A shard for each worker, all writing to the same access log. Fails if that cannot be opened.
    pub fn shards(&self, workers: usize, access: &AccessLog) -> io::Result<Vec<WorkerShard>> {
        let target = AccessTarget::open(access)?;
        let shard = |_| WorkerShard {
            counted: Arc::default(),
            access: AccessWriter::new(target.clone()),
            wants_dns_detail: self.coredns,
        };
        let shards: Vec<_> = (0..workers).map(shard).collect();
        let counted = shards.iter().map(|shard| shard.counted.clone());
        self.shards.lock().unwrap_or_else(PoisonError::into_inner).extend(counted);
        Ok(shards)
    }

    /// Where announcements are counted.
    pub fn announcements(&self) -> Arc<AnnounceCounts> {
        self.announced.clone()
    }

    /// A change has come to every worker.
    pub fn programmed(&self, change: Programmed) {
        self.programming.programmed(change, SystemTime::now());
    }

    /// A probe was answered with a status.
    pub fn probed(&self, probe: Probe, status: u16) {
        self.programming.probed(probe, status);
    }

    /// The OpenMetrics text, and what is forgotten with it: series of objects that are gone.
    pub fn encode(&self, snapshot: &Snapshot, gauges: &Gauges) -> String {
        let scrape = Scrape {
            counted: self.merged(snapshot),
            announced: self.announced.current(|ip| snapshot.announcements.contains_key(ip)),
            gauges: gauges.clone(),
            limits: self.limits.clone(),
            overload: self.overload.clone(),
            certificates: current::certificates(snapshot),
            listeners: snapshot.sockets().count() as u64,
            coredns: self.coredns.then(|| coredns::Enabled::of(&snapshot.zone)),
            kube_proxy: self
                .kube_proxy
                .then(|| kube_proxy::Shown::of(snapshot, self.programming.current())),
        };
        let mut registry = Registry::default();
        registry.register_collector(Box::new(scrape));
        let mut text = String::new();
        // a String takes everything
        let _ = prometheus_client::encoding::text::encode(&mut text, &registry);
        text
    }

    fn merged(&self, snapshot: &Snapshot) -> Shard {
        let (routes, upstreams) = (current::routes(snapshot), current::upstreams(snapshot));
        let mut merged = Shard::default();
        for shard in self.shards.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.retain(
                |route| routes.contains_key(route),
                |id| snapshot.backends.contains_key(id),
                |upstream| upstreams.contains(upstream),
                |namespace| snapshot.zone.namespaces.contains(namespace),
                |stub| snapshot.zone.forward.stubs.contains_key(stub),
            );
            merged.add(&shard);
        }
        merged
    }
}

/// What one scrape shows.
#[derive(Debug)]
struct Scrape {
    counted: Shard,
    announced: BTreeMap<IpAddr, announce::Counts>,
    gauges: Gauges,
    limits: Vec<(&'static str, f64)>,
    overload: Arc<Overload>,
    certificates: BTreeMap<String, i64>,
    listeners: u64,
    /// What CoreDNS would have enabled, if its names are wanted.
    coredns: Option<coredns::Enabled>,
    /// The same of kube-proxy.
    kube_proxy: Option<kube_proxy::Shown>,
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        self.encode_requests(&mut encoder)?;
        balance::encode(&self.counted, &mut encoder)?;
        self.encode_connections(&mut encoder)?;
        self.encode_queries(&mut encoder)?;
        forward::encode(&self.counted.forward, &mut encoder)?;
        announce::encode(&self.announced, &mut encoder)?;
        self.encode_configuration(&mut encoder)?;
        resources::encode(self.counted.lost_lines, &self.limits, &mut encoder)?;
        resources::encode_overload(&self.overload, &mut encoder)?;
        if let Some(enabled) = &self.coredns {
            coredns::encode(&self.counted, enabled, &self.gauges, &mut encoder)?;
        }
        match &self.kube_proxy {
            Some(shown) => kube_proxy::encode(shown, &mut encoder),
            None => Ok(()),
        }
    }
}

pub(super) type Encoded = Result<(), std::fmt::Error>;
/// Label names and values of one series.
pub(super) type Labels<'a> = Vec<(&'a str, String)>;

impl Scrape {
    fn encode_requests(&self, encoder: &mut DescriptorEncoder<'_>) -> Encoded {
        let requests: BTreeMap<_, _> = self.counted.requests.iter().collect();
        let labelled = |value: fn(&super::shard::RequestCounts) -> u64| {
            requests.iter().map(move |(labels, counts)| {
                let service = labels.service.as_ref().map(|id| id.service.to_string());
                let labels: Labels<'_> = vec![
                    ("listener", labels.listener.to_string()),
                    ("route", labels.route.to_string()),
                    ("service", service.unwrap_or_default()),
                    ("code", labels.code.to_string()),
                    ("reason", labels.reason.map_or("", |it| it.as_str()).to_owned()),
                ];
                (labels, value(counts))
            })
        };
        let total = labelled(|counts| counts.time.counts.iter().sum());
        counters(encoder, "rutter_http_requests", "Answered HTTP requests", None, total)?;
        let received = labelled(|counts| counts.request_bytes);
        let help = "Bytes of request bodies";
        counters(encoder, "rutter_http_request", help, Some(Unit::Bytes), received)?;
        let sent = labelled(|counts| counts.response_bytes);
        let help = "Bytes of response bodies";
        counters(encoder, "rutter_http_response", help, Some(Unit::Bytes), sent)?;
        let retries = labelled(|counts| counts.retries);
        counters(encoder, "rutter_http_retries", "Further attempts", None, retries)?;
        let mut by_listener: BTreeMap<&str, Histogram> = BTreeMap::new();
        for (labels, counts) in &requests {
            by_listener.entry(&labels.listener).or_default().add(&counts.time);
        }
        let series = by_listener
            .into_iter()
            .map(|(listener, histogram)| (vec![("listener", listener.to_owned())], histogram));
        histograms(encoder, "rutter_http_request_duration", "Time to the end of the answer", series)
    }

    fn encode_connections(&self, encoder: &mut DescriptorEncoder<'_>) -> Encoded {
        let connections: BTreeMap<_, _> = self.counted.connections.iter().collect();
        let labelled = |value: fn(&super::shard::ConnectionCounts) -> u64| {
            connections.iter().map(move |(labels, counts)| {
                let backend = labels.backend.as_ref();
                let labels: Labels<'_> = vec![
                    ("service", backend.map(|id| id.service.to_string()).unwrap_or_default()),
                    ("port", backend.map(|id| id.port.to_string()).unwrap_or_default()),
                    ("transport", labels.transport.to_string()),
                    ("exposure", labels.exposure.to_string()),
                    ("reason", labels.reason.map_or("", |it| it.as_str()).to_owned()),
                ];
                (labels, value(counts))
            })
        };
        let total = labelled(|counts| counts.total);
        counters(encoder, "rutter_connections", "Ended TCP sessions and UDP flows", None, total)?;
        let received = labelled(|counts| counts.received_bytes);
        let help = "Bytes from clients";
        counters(encoder, "rutter_connection_received", help, Some(Unit::Bytes), received)?;
        let sent = labelled(|counts| counts.sent_bytes);
        let help = "Bytes to clients";
        counters(encoder, "rutter_connection_sent", help, Some(Unit::Bytes), sent)
    }

    fn encode_queries(&self, encoder: &mut DescriptorEncoder<'_>) -> Encoded {
        let queries: BTreeMap<_, _> = self.counted.queries.iter().collect();
        let series = queries.into_iter().map(|(labels, count)| {
            let labels: Labels<'_> = vec![
                ("transport", labels.transport.as_str().to_owned()),
                ("type", labels.query_type.as_str().to_owned()),
                ("rcode", labels.rcode.to_owned()),
            ];
            (labels, *count)
        });
        counters(encoder, "rutter_dns_requests", "Answered DNS queries", None, series)?;
        let searches: BTreeMap<_, _> = self.counted.searches.iter().collect();
        let by_namespace = |value: fn(&super::shard::SearchCounts) -> u64| {
            let series = searches.iter().map(move |(namespace, counts)| {
                (vec![("namespace", namespace.to_string())], value(counts))
            });
            series.filter(|(_, value)| *value > 0)
        };
        let misses = by_namespace(|counts| counts.misses);
        let help = "Steps of search lists that led nowhere, by namespace of the client";
        counters(encoder, "rutter_dns_search_misses", help, None, misses)?;
        let answers = by_namespace(|counts| counts.answers);
        let help = "Search lists answered in one round trip";
        counters(encoder, "rutter_dns_search_answers", help, None, answers)?;
        let time = [(Labels::new(), self.counted.query_time.clone())].into_iter();
        histograms(encoder, "rutter_dns_request_duration", "Time to the answer", time)?;
        self.counted.dns.encode(encoder)
    }

    fn encode_configuration(&self, encoder: &mut DescriptorEncoder<'_>) -> Encoded {
        let gauges = &self.gauges;
        let one = |value: f64| [(Labels::new(), value)].into_iter();
        let version = vec![("version", env!("CARGO_PKG_VERSION").to_owned())];
        self::gauges(encoder, "rutter_build_info", "The version", [(version, 1.0)].into_iter())?;
        let help = "The published snapshot";
        self::gauges(encoder, "rutter_config_generation", help, one(gauges.generation as f64))?;
        let help = "The snapshot that every worker has applied";
        let applied = gauges.applied_generation as f64;
        self::gauges(encoder, "rutter_applied_generation", help, one(applied))?;
        let help = "Objects that serve in an older version because their text is broken";
        self::gauges(
            encoder,
            "rutter_config_stale_objects",
            help,
            one(gauges.stale_objects as f64),
        )?;
        let help = "Whether a text may not be whole yet, so that it is read again soon";
        let is_waiting = f64::from(u8::from(gauges.is_waiting));
        self::gauges(encoder, "rutter_config_waiting", help, one(is_waiting))?;
        let help = "How long the last compilation took";
        let name = "rutter_config_compile_duration_seconds";
        self::gauges(encoder, name, help, one(gauges.compile_seconds))?;
        let compiles = [(Labels::new(), gauges.compiles)].into_iter();
        counters(encoder, "rutter_config_compiles", "Compilations", None, compiles)?;
        let findings = gauges.findings.iter();
        let findings = findings
            .map(|(severity, count)| (vec![("severity", (*severity).to_owned())], *count as f64));
        self::gauges(encoder, "rutter_findings", "What is wrong with the manifests", findings)?;
        let states = [("wanted", self.listeners), ("unbound", gauges.unbound)];
        let listeners =
            states.into_iter().map(|(state, it)| (vec![("state", state.to_owned())], it as f64));
        self::gauges(encoder, "rutter_listeners", "Sockets by state", listeners)?;
        let certificates = self.certificates.iter();
        let certificates = certificates
            .map(|(secret, not_after)| (vec![("secret", secret.clone())], *not_after as f64));
        let (name, help) = ("rutter_certificate_not_after_seconds", "End of validity, since 1970");
        self::gauges(encoder, name, help, certificates)
    }
}

pub(super) fn counters<'a>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<Unit>,
    series: impl Iterator<Item = (Labels<'a>, u64)>,
) -> Encoded {
    let mut metric =
        encoder.encode_descriptor(name, &sentence(help), unit.as_ref(), MetricType::Counter)?;
    for (labels, value) in series {
        encode_one(&mut metric, &labels, &ConstCounter::new(value))?;
    }
    Ok(())
}

pub(super) fn gauges<'a>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    series: impl Iterator<Item = (Labels<'a>, f64)>,
) -> Encoded {
    let mut metric = encoder.encode_descriptor(name, &sentence(help), None, MetricType::Gauge)?;
    for (labels, value) in series {
        encode_one(&mut metric, &labels, &ConstGauge::new(value))?;
    }
    Ok(())
}

fn histograms<'a>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    series: impl Iterator<Item = (Labels<'a>, Histogram)>,
) -> Encoded {
    let seconds = Some(&Unit::Seconds);
    let mut metric =
        encoder.encode_descriptor(name, &sentence(help), seconds, MetricType::Histogram)?;
    for (labels, histogram) in series {
        let bounds = BOUNDS.into_iter().chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(histogram.counts).collect();
        let count = histogram.counts.iter().sum();
        let mut family = metric.encode_family(&labels)?;
        family.encode_histogram::<NoLabelSet>(histogram.seconds(), count, &buckets, None)?;
    }
    Ok(())
}

fn encode_one(
    metric: &mut MetricEncoder<'_>,
    labels: &Labels<'_>,
    value: &impl EncodeMetric,
) -> Encoded {
    value.encode(metric.encode_family(labels)?)
}

fn sentence(help: &str) -> String {
    format!("{help}.")
}
