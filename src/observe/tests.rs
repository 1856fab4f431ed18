use std::rc::Rc;
use std::sync::Arc;

use tokio::time::Instant;

use super::*;
use crate::config::AccessLog;
use crate::manifest::ObjectKey;
use crate::snapshot::{Backend, BackendId, Exposure, Reason, Snapshot, Transport, Zone};

fn backend(name: &str) -> Arc<Backend> {
    Arc::new(Backend {
        id: BackendId {
            service: ObjectKey::new("shop", name),
            port: "http".into(),
            transport: Transport::Tcp,
        },
        port: 80,
        app_protocol: Default::default(),
        proxy_protocol: None,
        balancing: Default::default(),
        compress: Default::default(),
        endpoints: Vec::new(),
        usable: Vec::new(),
        local: Vec::new(),
        topology: Default::default(),
        origin: Default::default(),
        field: "".into(),
    })
}

fn request(observer: &Rc<Observer>, status: u16, reason: Option<Reason>) -> RequestRecord {
    RequestRecord {
        observer: observer.clone(),
        started: Instant::now(),
        listener: "http".into(),
        client: ([127, 0, 0, 1], 5000).into(),
        protocol: "HTTP/1.1",
        method: "GET".into(),
        host: "shop.test".to_owned(),
        target: "/cart?\"x\"".to_owned(),
        request_id: "1".to_owned(),
        rule: None,
        backend: None,
        endpoint: None,
        status,
        reason,
        retries: 0,
        request_bytes: 3,
        response_bytes: 5,
    }
}

fn observers(metrics: &Metrics, log: &AccessLog) -> Vec<Rc<Observer>> {
    let shards = metrics.shards(2, log).expect("no log to fail");
    shards.into_iter().map(|shard| Rc::new(shard.observer())).collect()
}

#[tokio::test]
async fn a_request_that_ends_with_its_connection_or_by_a_panic_has_a_reason() {
    let metrics = Metrics::default();
    let observers = observers(&metrics, &AccessLog::Off);
    drop(request(&observers[0], 0, None));
    let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _record = request(&observers[1], 0, None);
        panic!("on purpose");
    }));
    assert!(failed.is_err());
    let text = metrics.encode(&Snapshot::default(), &Gauges::default());
    for reason in ["client_closed", "internal"] {
        assert!(text.contains(&format!("reason=\"{reason}\"")), "{reason}: {text}");
    }
}

#[tokio::test]
async fn requests_of_all_workers_are_added_up() {
    let metrics = Metrics::default();
    let observers = observers(&metrics, &AccessLog::Off);
    drop(request(&observers[0], 404, Some(Reason::NoRoute)));
    drop(request(&observers[1], 404, Some(Reason::NoRoute)));
    let text = metrics.encode(&Snapshot::default(), &Gauges::default());
    let expected = "rutter_http_requests_total{listener=\"http\",route=\"\",service=\"\",code=\"404\",\
                    reason=\"no_route\"} 2";
    assert!(text.contains(expected), "{text}");
    assert!(text.contains("rutter_http_response_bytes_total{"), "{text}");
    assert!(text.contains("rutter_http_request_duration_seconds_bucket{le="), "{text}");
    assert!(!text.contains("cart"), "paths are never labels");
}

#[tokio::test]
async fn series_of_objects_that_are_gone_end() {
    let metrics = Metrics::default();
    let observers = observers(&metrics, &AccessLog::Off);
    let (here, gone) = (backend("here"), backend("gone"));
    for backend in [&here, &gone] {
        drop(ConnectionRecord {
            observer: observers[0].clone(),
            started: Instant::now(),
            transport: Transport::Tcp,
            client: ([127, 0, 0, 1], 5000).into(),
            frontend: ([127, 96, 0, 1], 80).into(),
            exposure: Exposure::ClusterIp,
            backend: Some(backend.clone()),
            endpoint: None,
            reason: None,
            received_bytes: 1,
            sent_bytes: 2,
        });
    }
    let backends = [(here.id.clone(), here)].into();
    let snapshot = Snapshot { backends, ..Snapshot::default() };
    let text = metrics.encode(&snapshot, &Gauges::default());
    assert!(text.contains("shop/here"), "{text}");
    assert!(!text.contains("shop/gone"), "{text}");
}

#[tokio::test]
async fn steps_of_search_lists_are_counted_by_namespaces_that_exist() {
    let metrics = Metrics::default();
    let observers = observers(&metrics, &AccessLog::Off);
    let rows = [
        Some(Searched::Missed("shop".into())),
        Some(Searched::Missed("shop".into())),
        Some(Searched::Answered("shop".into())),
        Some(Searched::Missed("gone".into())),
        Some(Searched::Missed("".into())),
        None,
    ];
    for (place, searched) in rows.into_iter().enumerate() {
        drop(DnsRecord {
            observer: observers[place % 2].clone(),
            started: Instant::now(),
            transport: DnsTransport::Udp,
            query_type: QueryType::A,
            rcode: "NXDOMAIN",
            searched,
            detail: None,
        });
    }
    let zone = Zone { namespaces: ["shop".into()].into(), ..Zone::default() };
    let snapshot = Snapshot { zone: zone.into(), ..Snapshot::default() };
    let text = metrics.encode(&snapshot, &Gauges::default());
    let series: Vec<&str> =
        text.lines().filter(|line| line.starts_with("rutter_dns_search_")).collect();
    let expected = [
        "rutter_dns_search_misses_total{namespace=\"\"} 1",
        "rutter_dns_search_misses_total{namespace=\"shop\"} 2",
        "rutter_dns_search_answers_total{namespace=\"shop\"} 1",
    ];
    assert_eq!(series, expected);
}

#[tokio::test]
async fn access_lines_are_json_whatever_the_client_sends() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("access.log");
    let metrics = Metrics::default();
    let observers = observers(&metrics, &AccessLog::File(path.clone()));
    drop(request(&observers[0], 200, None));
    observers[0].flush();
    let text = std::fs::read_to_string(path).expect("the log");
    let line: serde_json::Value = serde_json::from_str(text.trim_end()).expect("JSON");
    assert_eq!(line["path"], "/cart?\"x\"");
    assert_eq!(line["status"], 200);
    assert_eq!(line["client"], "127.0.0.1:5000");
}
