//! The sockets of one worker, and how a query of any of them is answered.

use std::cell::RefCell;
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::Instant;

use super::accept::{self, Listener};
use super::answer::{Answered, Said, answer, truncated};
use super::connections::{Connection, Connections};
use super::datagrams;
use super::forward::{Forwarder, Identity};
use super::limits::Limits;
use super::pending::{Finished, Pending};
use super::rate_limit::{RateLimit, Verdict};
use super::records::{OPT, records};
use crate::observe::{AnsweredBy, DnsDetail, DnsLimited, DnsRecord, DnsTransport};
use crate::plane::Local;

/// Serves the names of the snapshot on one worker.
#[derive(Debug)]
pub struct Server {
    pub(super) local: Rc<Local>,
    pub(super) limits: Limits,
    pub(super) connections: Rc<Connections>,
    /// Made when the first client comes that is limited.
    rate: RefCell<Option<RateLimit>>,
    forwarder: Rc<Forwarder>,
}

/// The sockets that one worker serves, which must be non-blocking.
#[derive(Debug, Default)]
pub struct Sockets {
    /// For UDP and TCP.
    pub plain: Option<(std::net::UdpSocket, std::net::TcpListener)>,
    /// For DNS over TLS.
    pub tls: Option<std::net::TcpListener>,
    /// For DNS over HTTPS.
    pub https: Option<std::net::TcpListener>,
}

impl Sockets {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.plain.is_none() && self.tls.is_none() && self.https.is_none()
    }
}

impl Server {
    /// Makes a server without sockets. All servers of a process have one identity.
    pub fn new(local: Rc<Local>, limits: Limits, identity: Identity) -> Rc<Self> {
        let forwarder = Forwarder::new(limits.clone(), identity, local.observer.clone());
        let connections = Connections::new(limits.clone(), local.observer.clone());
        let rate = RefCell::default();
        Rc::new(Self { local, limits, connections, rate, forwarder })
    }

    /// Serves the sockets until the drain starts. Connections then finish the query they are at.
    pub async fn run(self: Rc<Self>, sockets: Sockets) {
        let Sockets { plain, tls, https } = sockets;
        let (udp, tcp) = plain.unzip();
        let registered = || {
            let udp = udp.map(UdpSocket::from_std).transpose()?.map(Rc::new);
            let listeners = [
                Listener::new(tcp, DnsTransport::Tcp)?,
                Listener::new(tls, DnsTransport::Tls)?,
                Listener::new(https, DnsTransport::Https)?,
            ];
            io::Result::Ok((udp, listeners))
        };
        let (udp, [tcp, tls, https]) = match registered() {
            Ok(sockets) => sockets,
            Err(error) => return tracing::error!(%error, "cannot serve DNS"),
        };
        tokio::select! {
            biased;
            () = self.local.drain.started() => {}
            () = self.serve_datagrams(udp.as_ref()) => {}
            () = accept::run(&self, tcp) => {}
            () = accept::run(&self, tls) => {}
            () = accept::run(&self, https) => {}
        }
    }

    async fn serve_datagrams(self: &Rc<Self>, socket: Option<&Rc<UdpSocket>>) {
        match socket {
            Some(socket) => datagrams::serve(self, socket).await,
            None => std::future::pending().await,
        }
    }

    /// Answers one query into `out`, whoever has to be asked for it; `false`: there is nothing to
    /// send.
    pub(super) async fn respond(
        &self,
        request: &[u8],
        connection: &Rc<Connection>,
        out: &mut Vec<u8>,
    ) -> bool {
        match self.answer(request, connection.address, connection.transport, out) {
            Next::Nothing => false,
            Next::Send => true,
            Next::Wait(waiting) => {
                let _busy = connection.wait_for_upstream();
                self.forward(waiting, connection.address, out).await
            }
        }
    }

    /// Answers one query into `out`, as far as that needs no waiting.
    pub(super) fn answer(
        &self,
        request: &[u8],
        client: IpAddr,
        transport: DnsTransport,
        out: &mut Vec<u8>,
    ) -> Next {
        let started = Instant::now();
        let rotate = self.local.rng.borrow_mut().next_u64();
        let snapshot = self.local.snapshot.load();
        let observer = &self.local.observer;
        let mut detail = observer.wants_dns_detail().then(|| detail(request, client));
        let answered = match answer(request, &snapshot, client, transport.carrier(), rotate, out) {
            Some(Said::Answered(answered)) => Some(answered),
            Some(Said::Pending(pending)) => {
                if let Some(detail) = &mut detail {
                    detail.by = AnsweredBy::Cache;
                    detail.zone = pending.zone();
                }
                match self.answer_at_once(pending, out) {
                    Ok(answered) => answered,
                    Err(pending) => {
                        return Next::Wait(Waiting { pending, transport, started, detail });
                    }
                }
            }
            None => None,
        };
        let Some(answered) = answered else { return Next::Nothing };
        self.record(answered, transport, started, detail, out);
        Next::Send
    }

    /// What has been asked of upstreams before, or has come back from one.
    fn answer_at_once(
        &self,
        mut pending: Box<Pending>,
        out: &mut Vec<u8>,
    ) -> Result<Option<Answered>, Box<Pending>> {
        let identity = self.forwarder.identity();
        loop {
            if identity.is_in(&pending.name) {
                return Ok(pending.tell(identity.text(), out));
            }
            let forward = pending.forward.clone();
            let cached = self.forwarder.cached(&forward, &pending.name, &pending.asked);
            let Some(answer) = cached else { return Err(pending) };
            match pending.finish(&Ok(answer), out) {
                Finished::Answered(answered) => return Ok(answered),
                Finished::Ask(next) => pending = next,
            }
        }
    }

    /// Asks upstreams and answers into `out`; `false`: there is nothing to send.
    pub(super) async fn forward(
        &self,
        waiting: Waiting,
        client: IpAddr,
        out: &mut Vec<u8>,
    ) -> bool {
        let Waiting { mut pending, transport, started, mut detail } = waiting;
        if let Some(detail) = &mut detail {
            detail.by = AnsweredBy::Forward;
        }
        let answered = loop {
            let Pending { forward, name, asked, .. } = &*pending;
            let outcome = self.forwarder.resolve(forward, name, client, asked).await;
            match pending.finish(&outcome, out) {
                Finished::Answered(answered) => break answered,
                Finished::Ask(next) => pending = next,
            }
        };
        let Some(answered) = answered else { return false };
        self.record(answered, transport, started, detail, out);
        true
    }

    fn record(
        &self,
        answered: Answered,
        transport: DnsTransport,
        started: Instant,
        detail: Option<DnsDetail>,
        out: &[u8],
    ) {
        drop(DnsRecord {
            observer: self.local.observer.clone(),
            started,
            transport,
            query_type: answered.query_type,
            rcode: answered.rcode,
            searched: answered.searched,
            detail: detail.map(|it| DnsDetail { response_bytes: out.len(), ..it }),
        });
    }

    /// Counts queries that were dropped unread, for there were too many.
    pub(super) fn count_dropped(&self, queries: usize) {
        if queries > 0 {
            self.local.observer.drop_queries(queries as u64);
        }
    }

    /// Answers one datagram into `out`, as far as its client may have an answer and that needs no
    /// waiting.
    pub(super) fn answer_datagram(
        &self,
        request: &[u8],
        client: IpAddr,
        out: &mut Vec<u8>,
    ) -> Next {
        match self.limit(client) {
            Verdict::Answer => self.answer(request, client, DnsTransport::Udp, out),
            Verdict::Truncate if truncated(request, out) => Next::Send,
            Verdict::Truncate | Verdict::Drop => Next::Nothing,
        }
    }

    /// Whether the client may have one more answer over UDP.
    fn limit(&self, client: IpAddr) -> Verdict {
        let Some(limits) = &self.limits.rate else { return Verdict::Answer };
        if !limits.everybody && self.limits.is_inside(client.to_canonical()) {
            return Verdict::Answer;
        }
        let now = Instant::now();
        let mut rate = self.rate.borrow_mut();
        let rate = rate.get_or_insert_with(|| RateLimit::new(limits, seed(), now));
        let verdict = rate.check(client, now);
        match verdict {
            Verdict::Answer => {}
            Verdict::Truncate => self.local.observer.limit_dns(DnsLimited::Truncated),
            Verdict::Drop => self.local.observer.limit_dns(DnsLimited::Dropped),
        }
        verdict
    }
}

/// What becomes of a query.
pub(super) enum Next {
    /// It is no query.
    Nothing,
    /// The answer is written.
    Send,
    /// Upstreams have to be asked: [`Server::forward`].
    Wait(Waiting),
}

/// A query that waits for upstreams.
pub(super) struct Waiting {
    pending: Box<Pending>,
    transport: DnsTransport,
    started: Instant,
    detail: Option<DnsDetail>,
}

fn detail(request: &[u8], client: IpAddr) -> DnsDetail {
    DnsDetail {
        is_ipv6: client.to_canonical().is_ipv6(),
        request_bytes: request.len(),
        response_bytes: 0,
        dnssec_ok: records(request).any(|it| it.record_type == OPT && it.ttl & DNSSEC_OK != 0),
        zone: None,
        by: AnsweredBy::Kubernetes,
    }
}

/// Nobody's to guess. The generator fails only where the whole process is broken.
fn seed() -> u64 {
    let mut bytes = [0; 8];
    if aws_lc_rs::rand::fill(&mut bytes).is_err() {
        tracing::error!("no randomness for the rate limit of DNS");
    }
    u64::from_ne_bytes(bytes)
}

/// Of options, where a time to live would stand (RFC 6891 section 6.1.3, RFC 3225).
const DNSSEC_OK: u32 = 0x8000;

/// How long to wait after an error that only time and others can mend.
pub(super) const BACK_OFF: Duration = Duration::from_millis(100);
