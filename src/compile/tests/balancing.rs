//! What the annotations of a Service say about its endpoints.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::snapshot::{Algorithm, Balancing, CheckQuestion, EndpointCheck, HashKey, RequestLimits};

type Annotations<'a> = &'a [(&'a str, &'a str)];

/// What is made of annotations, and what is said about each, by its name without the prefix.
fn read(annotations: Annotations<'_>) -> (Arc<Balancing>, Vec<(String, String)>) {
    let named =
        annotations.iter().map(|(name, value)| (format!("rutter.dev/{name}"), json!(value)));
    let service = json!({
        "kind": "Service",
        "metadata": {"name": "web", "annotations": Value::Object(named.collect())},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]},
    });
    let pod = json!({
        "kind": "Pod",
        "metadata": {"name": "web-0", "labels": {"app": "web"}},
        "status": {"podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]},
    });
    let compiled = compiled([service, pod]);
    let backend = compiled.snapshot.backends.values().next().expect("a backend");
    let told = compiled.report.findings.iter().map(|it| {
        let name = it.field.trim_start_matches("metadata.annotations.rutter.dev/");
        (name.to_owned(), it.message.to_string())
    });
    (backend.balancing.clone(), told.collect())
}

#[test]
fn the_algorithm_is_the_one_that_the_service_names() {
    let header = || Algorithm::Maglev(HashKey::Header("x-user".into()));
    let cookie = || Algorithm::Maglev(HashKey::Cookie("Id".into()));
    let source = || Algorithm::Maglev(HashKey::Source);
    let rows: [(Annotations<'_>, Algorithm); 8] = [
        (&[], Algorithm::PeakEwma),
        (&[("load-balancer", "peak-ewma")], Algorithm::PeakEwma),
        (&[("load-balancer", "round-robin")], Algorithm::RoundRobin),
        (&[("load-balancer", "least-request")], Algorithm::LeastRequest),
        (&[("load-balancer", "random")], Algorithm::Random),
        (&[("load-balancer", "maglev")], source()),
        (&[("load-balancer", "maglev"), ("hash-on", "header:X-User")], header()),
        (&[("load-balancer", "maglev"), ("hash-on", "cookie:Id")], cookie()),
    ];
    for (annotations, algorithm) in rows {
        let (balancing, told) = read(annotations);
        assert_eq!(balancing.algorithm, algorithm, "{annotations:?}");
        assert_eq!(told, [], "{annotations:?}");
    }
}

#[test]
fn slow_start_takes_the_time_that_the_service_names() {
    let rows: [(Annotations<'_>, u64); 3] =
        [(&[], 0), (&[("slow-start", "off")], 0), (&[("slow-start", "1m")], 60)];
    for (annotations, seconds) in rows {
        let (balancing, told) = read(annotations);
        assert_eq!(balancing.slow_start.as_secs(), seconds, "{annotations:?}");
        assert_eq!(told, [], "{annotations:?}");
    }
}

#[test]
fn limits_of_requests_are_those_that_the_service_names() {
    let limits = |service, endpoint, queue, millis| RequestLimits {
        per_service: NonZeroU32::new(service),
        per_endpoint: NonZeroU32::new(endpoint),
        queue,
        queue_time: Duration::from_millis(millis),
    };
    let rows: [(Annotations<'_>, Option<RequestLimits>); 4] = [
        (&[], None),
        (&[("max-requests", "5")], Some(limits(5, 0, 1_024, 1_000))),
        (&[("max-requests-per-endpoint", "1")], Some(limits(0, 1, 1_024, 1_000))),
        (
            &[("max-requests", "5"), ("max-queue", "0"), ("queue-timeout", "50ms")],
            Some(limits(5, 0, 0, 50)),
        ),
    ];
    for (annotations, expected) in rows {
        let (balancing, told) = read(annotations);
        assert_eq!(balancing.limits, expected, "{annotations:?}");
        assert_eq!(told, [], "{annotations:?}");
    }
}

#[test]
fn endpoints_are_checked_as_the_service_says() {
    let http = |tls| CheckQuestion::Http { path: "/healthz?full".into(), tls };
    let grpc = |service: &str, tls| CheckQuestion::Grpc { service: service.into(), tls };
    let rows = [
        ("tcp", CheckQuestion::Tcp),
        ("http:/healthz?full", http(false)),
        ("https:/healthz?full", http(true)),
        ("grpc", grpc("", false)),
        ("grpcs", grpc("", true)),
        ("grpc:shop.v1.Cart", grpc("shop.v1.Cart", false)),
        ("grpcs:shop.v1.Cart", grpc("shop.v1.Cart", true)),
    ];
    for (written, question) in rows {
        let (balancing, told) = read(&[("health-check", written)]);
        let interval = Duration::from_secs(10);
        assert_eq!(question.to_string(), written);
        assert_eq!(balancing.check, Some(EndpointCheck { question, interval }), "{written}");
        assert_eq!(told, [], "{written}");
    }
    let (balancing, _) = read(&[("health-check", "tcp"), ("health-check-interval", "250ms")]);
    let interval = balancing.check.as_ref().map(|check| check.interval);
    assert_eq!(interval, Some(Duration::from_millis(250)));
}

#[test]
fn a_bad_value_is_told_and_the_default_taken() {
    let maglev = ("load-balancer", "maglev");
    let rows: [(Annotations<'_>, &str, &str); 9] = [
        (
            &[("health-check", "http:healthz")],
            "health-check",
            "\"http:healthz\" is none of tcp, http:/PATH, https:/PATH, grpc, grpc:SERVICE, grpcs, grpcs:SERVICE",
        ),
        (
            &[("health-check-interval", "5ms")],
            "health-check-interval",
            "\"5ms\" is no duration from 100ms on",
        ),
        (&[("max-requests", "0")], "max-requests", "\"0\" is no number from 1 on"),
        (&[("max-queue", "3")], "max-queue", "nothing waits: there is no rutter.dev/max-requests"),
        (&[("queue-timeout", "x")], "queue-timeout", "\"x\" is no duration such as 500ms"),
        (
            &[("load-balancer", "ring")],
            "load-balancer",
            "\"ring\" is none of peak-ewma, round-robin, least-request, random, maglev",
        ),
        (
            &[("slow-start", "soon")],
            "slow-start",
            "\"soon\" is neither a duration such as 30s nor off",
        ),
        (
            &[maglev, ("hash-on", "header:")],
            "hash-on",
            "\"header:\" is none of source, header:NAME, cookie:NAME",
        ),
        (
            &[("hash-on", "source")],
            "hash-on",
            "nothing is hashed: rutter.dev/load-balancer is not maglev",
        ),
    ];
    for (annotations, name, message) in rows {
        let (balancing, told) = read(annotations);
        assert_eq!(told, [(name.to_owned(), message.to_owned())]);
        let algorithm = match annotations.first() {
            Some(first) if *first == maglev => Algorithm::Maglev(HashKey::Source),
            _ => Algorithm::PeakEwma,
        };
        assert_eq!(*balancing, Balancing { algorithm, ..Balancing::default() });
    }
}
