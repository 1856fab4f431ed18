//! The compiler at scale: `cargo bench --bench compile`.
//!
//! Makes 20,000 Services with three Pods each in memory, and prints how long a compilation takes
//! (median of 5) at first and with what was held, and the memory of the objects and of objects and
//! snapshot. The goals: at most 1 s on one core, at most 250 MiB.
//!
//! Then 10,000 Services of 2 endpoints and 5,000 of 50, from EndpointSlices: the first compilation
//! may take 1 s, and following one endpoint that comes or goes 5 ms; fails above that. (What the whole
//! process takes for it is measured by `--bench control`.) `--quick` makes a tenth.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rutter::compile::{Allocations, Compiled, Settings, SliceChanges, compile, patch};
use rutter::manifest::endpoints::{EndpointPort, EndpointSlice, SliceEndpoint};
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
    drop((first, objects));
    let scale = services / 2_000;
    for (services, endpoints) in [(1_000 * scale, 2), (500 * scale, 50)] {
        follow(services, endpoints, &settings);
    }
}

/// Compiles Services with EndpointSlices, and follows one endpoint that comes and goes.
fn follow(services: usize, endpoints: usize, settings: &Settings) {
    let mut objects = Objects::default();
    for number in 0..services {
        let ports = vec![ServicePort { port: 80, ..ServicePort::default() }];
        let spec = ServiceSpec { ports, ..ServiceSpec::default() };
        let metadata = named(number);
        let service = Service { metadata, spec, ..Service::default() };
        apply(&mut objects, number, Object::Service(Arc::new(service)));
        apply(&mut objects, number, slice(number, endpoints));
    }
    let (first, cold) = timed(&objects, settings, &Allocations::default());
    let Compiled { mut snapshot, allocations: mut held, .. } = first;
    let key = named(services / 2).key();
    let changes = SliceChanges::from([(key.clone(), [key].into())]);
    let mut times: Vec<Duration> = (0..100)
        .map(|change| {
            apply(&mut objects, services / 2, slice(services / 2, endpoints - (change + 1) % 2));
            let start = Instant::now();
            let next = patch(&objects, settings, &mut held, &snapshot, &changes);
            let next = next.expect("an endpoint must be followed");
            assert!(next != snapshot, "an endpoint must make a difference");
            snapshot = next;
            start.elapsed()
        })
        .collect();
    times.sort();
    let followed = times.get(50).copied().expect("a hundred times");
    println!(
        "{services} services × {endpoints} endpoints: {} ms cold, one endpoint more or less {:.2} ms",
        cold.as_millis(),
        followed.as_secs_f64() * 1000.0
    );
    assert!(cold <= Duration::from_secs(1), "a first compilation may take a second");
    assert!(followed <= Duration::from_millis(5), "an endpoint may take 5 ms");
}

fn named(number: usize) -> Metadata {
    Metadata {
        name: format!("service-{number}").into(),
        namespace: format!("namespace-{}", number % 100).into(),
        ..Metadata::default()
    }
}

/// One that has the name of its Service.
fn slice(number: usize, endpoints: usize) -> Object {
    let metadata = named(number);
    let owner = (Arc::from("kubernetes.io/service-name"), metadata.name.clone());
    let endpoint = |place: usize| {
        let [_, a, b, c] = u32::try_from(number * 50 + place).expect("few").to_be_bytes();
        SliceEndpoint { address: Some(format!("10.{a}.{b}.{c}").into()), ..Default::default() }
    };
    Object::EndpointSlice(Arc::new(EndpointSlice {
        metadata: Metadata { labels: [owner].into_iter().collect(), ..metadata },
        address_type: "IPv4".into(),
        endpoints: (0..endpoints).map(endpoint).collect(),
        ports: vec![EndpointPort { port: Some(8080), ..EndpointPort::default() }],
    }))
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
            labels: labels.clone().into_iter().collect(),
            ..Metadata::default()
        };
        let spec = ServiceSpec {
            selector: labels.clone().into_iter().collect(),
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
