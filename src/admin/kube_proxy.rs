//! kube-proxy's own pages, for load balancers and tools that look for them at every node
//! (`kubernetes: pkg/proxy/healthcheck/proxy_health.go`, KEP-3836): `:10256/healthz` and `/livez`,
//! `:10249/proxyMode` and `/metrics`.
//!
//! Any host name is allowed here, because a load balancer asks by the address of the node or by
//! what name it likes; nothing here says more than that the node is well, but for `/metrics`.

use std::time::{Duration, SystemTime};

use http::{Method, Request, Response, StatusCode};
use time::OffsetDateTime;

use super::{Admin, answer, text_answer};
use crate::life::Phase;
use crate::observe::Probe;

/// The pages, answered from what the admin API reads.
#[derive(Clone, Debug)]
pub struct KubeProxy(pub Admin);

impl KubeProxy {
    /// Answers one request.
    pub(super) fn answer<B>(&self, request: &Request<B>) -> Response<String> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return text_answer(StatusCode::METHOD_NOT_ALLOWED, "GET and HEAD\n".to_owned());
        }
        match request.uri().path() {
            "/healthz" => self.probe(Probe::Healthz),
            "/livez" => self.probe(Probe::Livez),
            "/proxyMode" => text_answer(StatusCode::OK, MODE.to_owned()),
            "/metrics" => self.0.metrics(),
            _ => text_answer(StatusCode::NOT_FOUND, "no such page\n".to_owned()),
        }
    }

    /// The node is well, and for `/healthz` it is to stay: a load balancer takes away what will be
    /// deleted, and nobody should restart a process for that.
    fn probe(&self, probe: Probe) -> Response<String> {
        let now = SystemTime::now();
        let pending_since = self.pending_since();
        let is_late = pending_since.is_some_and(|since| elapsed(since, now) > PATIENCE);
        let is_well = *self.0.phase.borrow() == Phase::Serving && !is_late;
        let updated = pending_since.filter(|_| is_late).unwrap_or(now);
        let mut body =
            format!("{{\"lastUpdated\": {:?},\"currentTime\": {:?}", go(updated), go(now));
        let is_eligible = !self.0.snapshot.load().network.is_leaving;
        let is_good = match probe {
            Probe::Healthz => {
                body += &format!(", \"nodeEligible\": {is_eligible}");
                is_well && is_eligible
            }
            Probe::Livez => is_well,
        };
        let status = if is_good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        self.0.metrics.probed(probe, status.as_u16());
        answer(status, "application/json", body + "}")
    }

    /// When a snapshot was published that not every worker has applied.
    fn pending_since(&self) -> Option<SystemTime> {
        let status = self.0.status.borrow();
        status.published.filter(|_| *self.0.applied.borrow() < status.generation)
    }
}

fn elapsed(since: SystemTime, now: SystemTime) -> Duration {
    now.duration_since(since).unwrap_or_default()
}

/// As Go prints a time.
fn go(time: SystemTime) -> String {
    let time = OffsetDateTime::from(time);
    let (date, clock) = (time.date(), time.time());
    let (year, month, day) = (date.year(), u8::from(date.month()), date.day());
    let (hour, minute, second, nanos) = clock.as_hms_nano();
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{nanos:09} +0000 UTC")
}

/// The mode that kube-proxy had until 1.26: connections end in the process, as here.
const MODE: &str = "userspace";
/// How long a change may wait for the workers: twice kube-proxy's `syncPeriod`.
const PATIENCE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::watch;

    use super::*;
    use crate::observe::Metrics;
    use crate::snapshot::{Generation, Network, Snapshot, cell};
    use crate::store::Status;

    /// The page of a process in a phase, with a change that waits since so many seconds, on a node
    /// that leaves or stays.
    fn page(path: &str, phase: Phase, waiting: Option<u64>, is_leaving: bool) -> (u16, String) {
        let (mut publisher, snapshot) = cell::new();
        let network = Arc::new(Network { is_leaving, ..Network::default() });
        let generation = publisher.publish(Snapshot { network, ..Snapshot::default() });
        let since = |seconds| SystemTime::now() - Duration::from_secs(seconds);
        let status = Status { generation, published: waiting.map(since), ..Status::default() };
        let applied = if waiting.is_some() { Generation(0) } else { generation };
        let admin = Admin {
            snapshot,
            status: watch::channel(status).1,
            phase: watch::channel(phase).1,
            applied: watch::channel(applied).1,
            unbound: watch::channel(Arc::from([])).1,
            metrics: Arc::new(Metrics::default()),
            addr: ([127, 0, 0, 1], 1).into(),
        };
        let request = Request::get(path).header("host", "any.example").body(()).expect("a request");
        let response = KubeProxy(admin).answer(&request);
        (response.status().as_u16(), response.into_body())
    }

    #[test]
    fn a_load_balancer_is_told_what_kube_proxy_tells_it() {
        let rows = [
            ("/healthz", Phase::Serving, None, false, 200),
            ("/livez", Phase::Serving, None, false, 200),
            // before the first sync, and once the process is to end
            ("/healthz", Phase::Syncing, None, false, 503),
            ("/livez", Phase::Syncing, None, false, 503),
            ("/healthz", Phase::Draining, None, false, 503),
            // a node that is to be deleted is not restarted for it (KEP-3836)
            ("/healthz", Phase::Serving, None, true, 503),
            ("/livez", Phase::Serving, None, true, 200),
            // a change that the workers do not take in
            ("/healthz", Phase::Serving, Some(50), false, 200),
            ("/healthz", Phase::Serving, Some(70), false, 503),
            ("/livez", Phase::Serving, Some(70), false, 503),
            ("/proxyMode", Phase::Serving, None, false, 200),
            ("/nothing", Phase::Serving, None, false, 404),
        ];
        for (path, phase, waiting, is_leaving, expected) in rows {
            let (status, body) = page(path, phase, waiting, is_leaving);
            assert_eq!(status, expected, "{path} {phase:?} {waiting:?} {is_leaving}: {body}");
        }
    }

    #[test]
    fn bodies_have_the_fields_of_kube_proxy() {
        let (_, healthz) = page("/healthz", Phase::Serving, None, true);
        let value: serde_json::Value = serde_json::from_str(&healthz).expect("JSON");
        assert_eq!(value["nodeEligible"], false);
        assert_eq!(value["lastUpdated"], value["currentTime"], "what is well is up to date");
        assert!(healthz.contains(" +0000 UTC\""), "{healthz}");
        let (_, livez) = page("/livez", Phase::Serving, None, false);
        assert!(livez.contains("currentTime") && !livez.contains("nodeEligible"), "{livez}");
        assert_eq!(page("/proxyMode", Phase::Serving, None, false).1, "userspace");
    }
}
