//! The HTTP surface for people, probes and Prometheus. Read-only.
//!
//! In: the snapshot, what the control plane last did, and the metrics, all by reading. Out: text
//! and JSON, the same that the command line prints. Called by `app`, which runs it on the control
//! thread.
//!
//! Invariant: nothing here changes anything, and no answer holds data of a Secret.
//! Invariant: requests are answered only under a host name that is ours, so that a page of another
//! site cannot read from here through DNS rebinding; there is no CORS. [`KubeProxy`]'s pages, on sockets
//! of their own where somebody asks for them, are the exception: load balancers ask by any name.
//! Deliberately absent: TLS, authentication (bind it to loopback, or put a proxy in front).

mod dump;
mod kube_proxy;
mod ready;
mod server;

use std::net::SocketAddr;
use std::sync::Arc;

use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use tokio::sync::watch;

use crate::explain::{self, Question};
use crate::life::Phase;
use crate::manifest::Severity;
use crate::observe::{Gauges, Metrics};
use crate::plane::listeners::Unbound;
use crate::snapshot::Generation;
use crate::snapshot::cell::Reader;
use crate::store::Status;

pub use kube_proxy::KubeProxy;

/// What the admin API reads.
#[derive(Clone, Debug)]
pub struct Admin {
    /// The snapshots.
    pub snapshot: Reader,
    /// What the control plane last did.
    pub status: watch::Receiver<Status>,
    /// Where the process is in its life.
    pub phase: watch::Receiver<Phase>,
    /// The generation that every worker has applied.
    pub applied: watch::Receiver<Generation>,
    /// What is wanted and not open.
    pub unbound: watch::Receiver<Arc<[Unbound]>>,
    /// What was counted.
    pub metrics: Arc<Metrics>,
    /// Where it listens: the host name that is always allowed.
    pub addr: SocketAddr,
}

impl Admin {
    /// Answers one request.
    fn answer<B>(&self, request: &Request<B>) -> Response<String> {
        if !self.is_our_host(request) {
            let text = "this host name is not allowed here: use the address, or localhost\n";
            return text_answer(StatusCode::MISDIRECTED_REQUEST, text.to_owned());
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let text = "this API is read-only: GET and HEAD\n";
            return text_answer(StatusCode::METHOD_NOT_ALLOWED, text.to_owned());
        }
        let query = request.uri().query().unwrap_or_default();
        match request.uri().path() {
            "/" => text_answer(StatusCode::OK, INDEX.to_owned()),
            "/healthz" | "/livez" => text_answer(StatusCode::OK, "ok\n".to_owned()),
            "/readyz" => self.ready(query),
            "/metrics" => self.metrics(),
            "/snapshot" => json_answer(&dump::snapshot(&self.snapshot.load())),
            "/report" => json_answer(&*self.status.borrow().report),
            "/explain" => self.explain(query),
            _ => text_answer(StatusCode::NOT_FOUND, format!("no such page\n\n{INDEX}")),
        }
    }

    /// The names under which this process may be asked.
    fn is_our_host<B>(&self, request: &Request<B>) -> bool {
        let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
        let Some(host) = host else { return false };
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        let name = name.trim_start_matches('[').trim_end_matches(']');
        name == "localhost" || name.parse().is_ok_and(|ip: std::net::IpAddr| self.is_our_ip(ip))
    }

    /// An address cannot be rebound; on a wildcard listener any address is one of ours.
    fn is_our_ip(&self, ip: std::net::IpAddr) -> bool {
        ip.is_loopback() || ip == self.addr.ip() || self.addr.ip().is_unspecified()
    }

    fn ready(&self, query: &str) -> Response<String> {
        let checks = ready::checks(
            *self.phase.borrow(),
            &self.status.borrow(),
            *self.applied.borrow(),
            &self.unbound.borrow(),
        );
        let is_ready = checks.iter().all(|check| check.passed || !check.decides);
        let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let is_verbose = query.split('&').any(|part| part == "verbose" || part == "verbose=1");
        text_answer(status, ready::text(&checks, is_ready, is_verbose))
    }

    /// JSON, or the text that the command line prints with `format=text`.
    fn explain(&self, query: &str) -> Response<String> {
        let question = match Question::from_query(query) {
            Ok(question) => question,
            Err(error) => return text_answer(StatusCode::BAD_REQUEST, format!("{error}\n")),
        };
        let now = std::time::SystemTime::now();
        let report = self.status.borrow().report.clone();
        let explanation = explain::explain(&self.snapshot.load(), &report.findings, &question, now);
        if query.split('&').any(|part| part == "format=text") {
            return text_answer(StatusCode::OK, explanation.to_string());
        }
        json_answer(&explanation)
    }

    fn metrics(&self) -> Response<String> {
        let snapshot = self.snapshot.load();
        let text = self.metrics.encode(&snapshot, &self.gauges());
        let mut response = text_answer(StatusCode::OK, text);
        let openmetrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(openmetrics));
        response
    }

    /// The generation is that of the status, so that all of it tells of one compilation.
    fn gauges(&self) -> Gauges {
        let status = self.status.borrow();
        let count = |severity| {
            let findings = status.report.findings.iter();
            findings.filter(|finding| finding.severity == severity).count() as u64
        };
        Gauges {
            generation: status.generation.0,
            applied_generation: self.applied.borrow().0,
            stale_objects: status.stale as u64,
            is_waiting: status.is_waiting,
            compile_seconds: status.compile_time.as_secs_f64(),
            compiles: status.compiles,
            corefile_failures: status.corefile_failures,
            findings: [
                ("error", count(Severity::Error)),
                ("warning", count(Severity::Warning)),
                ("note", count(Severity::Note)),
            ]
            .into(),
            unbound: self.unbound.borrow().iter().map(|unbound| unbound.count as u64).sum(),
        }
    }
}

const INDEX: &str = "\
rutter admin API (read-only)

/healthz /livez        the process answers
/readyz[?verbose]      it serves what it was given
/metrics               OpenMetrics text
/report                what is wrong with the manifests
/snapshot              what is served now
/explain?url=URL       which way a request goes, and why
/explain?dns=NAME      what a name resolves to, and why
";

fn text_answer(status: StatusCode, text: String) -> Response<String> {
    answer(status, "text/plain; charset=utf-8", text)
}

fn json_answer(value: &impl serde::Serialize) -> Response<String> {
    match serde_json::to_string_pretty(value) {
        Ok(text) => answer(StatusCode::OK, "application/json", text + "\n"),
        Err(error) => text_answer(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

fn answer(status: StatusCode, content_type: &'static str, body: String) -> Response<String> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
