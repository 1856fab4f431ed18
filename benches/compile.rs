//! The compiler at scale: `cargo bench --bench compile`.
//!
//! Makes 20,000 Services with three Pods each in memory, and prints how long a compilation takes
//! (median of 5) at first and with what was held, and the memory of the objects and of objects and
//! snapshot. The goals: at most 1 s on one core, at most 250 MiB. `--quick` makes a tenth.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rutter::compile::{Allocations, Compiled, Settings, compile};
use rutter::manifest::meta::Metadata;
use rutter::manifest::pod::{Container, ContainerPort, Pod, PodCondition, PodSpec, PodStatus};
use rutter::manifest::service::{Service, ServicePort, ServiceSpec};
use rutter::manifest::{Object, Origin, meta::IntOrString};
use rutter::source::Sourced;
use rutter::store::Objects;
use tokio::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let services = if std::env::args().any(|arg| arg == "--quick") { 2_000 } else { 20_000 };
    let objects = objects(services);
    println!("{services} services × 3 pods: objects {} MiB", rss_mib());
    let settings = Settings::default();
    let (first, cold) = timed(&objects, &settings, &Allocations::default());
    let (_, warm) = timed(&objects, &settings, &first.allocations);
    let (frontends, backends) = (first.snapshot.listeners.len(), first.snapshot.backends.len());
    println!(
        "{frontends} frontends, {backends} backends, {} findings",
        first.report.findings.len()
    );
    println!("compile: {} ms cold, {} ms with allocations", cold.as_millis(), warm.as_millis());
    println!("objects, snapshot and allocations: {} MiB", rss_mib());
}

/// One result, and the median of five times.
fn timed(objects: &Objects, settings: &Settings, held: &Allocations) -> (Compiled, Duration) {
    let now = SystemTime::UNIX_EPOCH;
    let mut times: Vec<Duration> = (0..5)
        .map(|_| {
            let start = Instant::now();
            let compiled = compile(objects, settings, held, now);
            let took = start.elapsed();
            drop(compiled);
            took
        })
        .collect();
    times.sort();
    let median = times.get(2).copied().expect("five times");
    (compile(objects, settings, held, now), median)
}

fn objects(services: usize) -> Objects {
    let mut objects = Objects::default();
    for number in 0..services {
        let name = format!("service-{number}");
        // A label that all Pods of a namespace share must not make selectors slow.
        let labels = [("app", name.as_str()), ("tier", "backend")];
        let labels = labels.map(|(label, value)| (Arc::from(label), Arc::from(value)));
        let namespace: Arc<str> = format!("namespace-{}", number % 20).into();
        let metadata = |name: &str| Metadata {
            name: name.into(),
            namespace: namespace.clone(),
            labels: labels.clone().into(),
            ..Metadata::default()
        };
        let spec = ServiceSpec {
            selector: labels.clone().into(),
            ports: vec![ServicePort {
                name: Some("http".into()),
                port: 80,
                target_port: Some(IntOrString::String("http".into())),
                ..ServicePort::default()
            }],
            ..ServiceSpec::default()
        };
        let service = Service { metadata: metadata(&name), spec, ..Service::default() };
        apply(&mut objects, number, Object::Service(Arc::new(service)));
        for place in 0..3 {
            let pod = pod(metadata(&format!("{name}-{place}")), number * 3 + place);
            apply(&mut objects, number, Object::Pod(Arc::new(pod)));
        }
    }
    objects
}

fn pod(metadata: Metadata, number: usize) -> Pod {
    let [_, a, b, c] = u32::try_from(number).expect("few pods").to_be_bytes();
    let port = ContainerPort { name: Some("http".into()), container_port: 8080, protocol: None };
    let container = Container { name: "main".into(), ports: vec![port], restart_policy: None };
    Pod {
        metadata,
        spec: PodSpec { containers: vec![container], ..PodSpec::default() },
        status: PodStatus {
            pod_ip: Some(format!("10.{a}.{b}.{c}").into()),
            conditions: vec![PodCondition { kind: "Ready".into(), status: "True".into() }],
            ..PodStatus::default()
        },
    }
}

fn apply(objects: &mut Objects, file: usize, object: Object) {
    let origin = Origin { file: format!("{file}.yaml").into(), line: 1, ..Origin::default() };
    objects.apply(&Sourced { object, origin, stale: false });
}

/// What this process has in memory now, as Linux counts it.
fn rss_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    let kib = line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok());
    kib.unwrap_or_default() / 1024
}
