//! One record a unit of work: filled in as it goes, counted and logged when it is dropped.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use tokio::time::Instant;

use super::{DnsDetail, DnsTransport, Observer};
use crate::snapshot::{Backend, EndpointId, Exposure, Reason, Rule, SocketKey, Transport};

/// What is known of an HTTP exchange.
#[derive(Debug)]
pub struct RequestRecord {
    /// Where it goes.
    pub observer: Rc<Observer>,
    /// When the head was read.
    pub started: Instant,
    /// Name of the listener.
    pub listener: Arc<str>,
    /// The client.
    pub client: SocketAddr,
    /// `HTTP/1.1`, `HTTP/2`.
    pub protocol: &'static str,
    /// The method, as sent.
    pub method: Cow<'static, str>,
    /// The host, lower-case; empty if there is none.
    pub host: String,
    /// Path and query, as sent.
    pub target: String,
    /// The request id that was passed on.
    pub request_id: String,
    /// The rule that took it.
    pub rule: Option<Arc<Rule>>,
    /// Where it was sent.
    pub backend: Option<Arc<Backend>>,
    /// Which endpoint answered, or was tried last.
    pub endpoint: Option<EndpointId>,
    /// Status sent to the client; 0 if none was.
    pub status: u16,
    /// Why there was no answer of the backend.
    pub reason: Option<Reason>,
    /// Further attempts after the first.
    pub retries: u32,
    /// Body bytes from the client.
    pub request_bytes: u64,
    /// Body bytes to the client.
    pub response_bytes: u64,
}

/// A method as a record has it: those that everybody sends take no memory.
pub fn method_name(method: &str) -> Cow<'static, str> {
    const USUAL: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"];
    let usual = USUAL.into_iter().find(|usual| *usual == method);
    usual.map_or_else(|| method.to_owned().into(), Cow::Borrowed)
}

impl RequestRecord {
    /// The record of what goes elsewhere because of this request, a copy to a mirror or a question
    /// to an authorization server: a unit of work of its own. `listener` is its label.
    pub fn of_copy(&self, listener: &str, backend: &Arc<Backend>) -> Self {
        Self {
            observer: self.observer.clone(),
            started: self.started,
            listener: listener.into(),
            client: self.client,
            protocol: self.protocol,
            method: self.method.clone(),
            host: self.host.clone(),
            target: self.target.clone(),
            request_id: self.request_id.clone(),
            rule: self.rule.clone(),
            backend: Some(backend.clone()),
            endpoint: None,
            status: 0,
            reason: None,
            retries: 0,
            request_bytes: 0,
            response_bytes: 0,
        }
    }
}

impl Drop for RequestRecord {
    /// Dropped before anything was decided, it goes with its connection: no refusal is without a
    /// reason.
    fn drop(&mut self) {
        if self.status == 0 && self.reason.is_none() {
            let is_panic = std::thread::panicking();
            self.reason = Some(if is_panic { Reason::Internal } else { Reason::ClientClosed });
        }
        self.observer.record_request(self);
    }
}

/// What is known of a TCP session or UDP flow.
#[derive(Debug)]
pub struct ConnectionRecord {
    /// Where it goes.
    pub observer: Rc<Observer>,
    /// When it was accepted.
    pub started: Instant,
    /// TCP or UDP.
    pub transport: Transport,
    /// The client.
    pub client: SocketAddr,
    /// The address that the client used.
    pub frontend: SocketAddr,
    /// Which address of the Service that is.
    pub exposure: Exposure,
    /// Where it goes; `None` if nothing is there to go to.
    pub backend: Option<Arc<Backend>>,
    /// Which endpoint carries it, or was tried last.
    pub endpoint: Option<EndpointId>,
    /// Why it was not carried, or how it ended early.
    pub reason: Option<Reason>,
    /// Bytes from the client.
    pub received_bytes: u64,
    /// Bytes to the client.
    pub sent_bytes: u64,
}

impl ConnectionRecord {
    /// Of what begins now: nothing is known but who came where.
    pub fn begin(
        observer: Rc<Observer>,
        client: SocketAddr,
        key: SocketKey,
        exposure: Exposure,
    ) -> Self {
        Self {
            observer,
            started: Instant::now(),
            transport: key.transport,
            client,
            frontend: key.addr,
            exposure,
            backend: None,
            endpoint: None,
            reason: None,
            received_bytes: 0,
            sent_bytes: 0,
        }
    }
}

impl Drop for ConnectionRecord {
    fn drop(&mut self) {
        self.observer.record_connection(self);
    }
}

/// What is known of a DNS query.
#[derive(Debug)]
pub struct DnsRecord {
    /// Where it goes.
    pub observer: Rc<Observer>,
    /// When it was received.
    pub started: Instant,
    /// How it came.
    pub transport: DnsTransport,
    /// What was asked for.
    pub query_type: QueryType,
    /// The response code, by its IANA name in upper case.
    pub rcode: &'static str,
    /// What it was in a search list, if it was in one.
    pub searched: Option<Searched>,
    /// What only [`Observer::wants_dns_detail`] asks for.
    pub detail: Option<DnsDetail>,
}

impl Drop for DnsRecord {
    fn drop(&mut self) {
        self.observer.record_query(self);
    }
}

/// What a query for a name that does not exist was in the search list of its client. Each with the
/// namespace of that; empty if none is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Searched {
    /// A step that leads nowhere.
    Missed(Arc<str>),
    /// The only step: it was answered with what the list leads to.
    Answered(Arc<str>),
}

/// Query types as metrics tell them apart: a closed set, because anybody can ask for anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each is the record type of its name")]
pub enum QueryType {
    A,
    Aaaa,
    Any,
    Cname,
    Https,
    Ns,
    Ptr,
    Soa,
    Srv,
    Txt,
    Other,
}

impl QueryType {
    /// As it stands in a label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Any => "ANY",
            Self::Cname => "CNAME",
            Self::Https => "HTTPS",
            Self::Ns => "NS",
            Self::Ptr => "PTR",
            Self::Soa => "SOA",
            Self::Srv => "SRV",
            Self::Txt => "TXT",
            Self::Other => "other",
        }
    }
}
