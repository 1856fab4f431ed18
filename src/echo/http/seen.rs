//! The request as it was seen, as JSON.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use hyper::header::{HOST, HeaderMap, HeaderName};
use hyper::http::request::Parts;
use serde::Serialize;

use super::Connection;
use crate::echo::tls::Session;

/// The fields that the conformance suites of Ingress and Gateway API read, and the client.
#[derive(Debug, Serialize)]
pub(super) struct Seen<'a> {
    /// Path and query.
    path: &'a str,
    /// `:authority` or `Host`, as sent.
    host: String,
    method: &'a str,
    /// `HTTP/1.1`, `HTTP/2.0`.
    proto: String,
    /// Values by name. Names are written `Like-This` whatever the version of HTTP, as the echo
    /// servers of the conformance suites do.
    headers: BTreeMap<String, Vec<String>>,
    /// How long the body was.
    #[serde(rename = "bodyBytes")]
    body_bytes: u64,
    /// The port that the request came in on.
    #[serde(rename = "httpPort")]
    port: String,
    client: SocketAddr,
    pod: &'a str,
    namespace: &'a str,
    service: &'a str,
    ingress: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<&'a Session>,
}

impl<'a> Seen<'a> {
    pub(super) fn new(request: &'a Parts, body_bytes: u64, connection: &'a Connection) -> Self {
        let identity = &connection.pod.identity;
        Self {
            path: request.uri.path_and_query().map_or("*", |target| target.as_str()),
            host: host(request),
            method: request.method.as_str(),
            proto: format!("{:?}", request.version),
            headers: headers(&request.headers),
            body_bytes,
            port: connection.port.to_string(),
            client: connection.client,
            pod: &identity.pod,
            namespace: &identity.namespace,
            service: &identity.service,
            ingress: &identity.ingress,
            tls: connection.tls.as_ref(),
        }
    }
}

pub(super) fn host(request: &Parts) -> String {
    if let Some(authority) = request.uri.authority() {
        return authority.to_string();
    }
    request.headers.get(HOST).map_or_else(String::new, |host| lossy(host.as_bytes()))
}

fn headers(headers: &HeaderMap) -> BTreeMap<String, Vec<String>> {
    let mut seen = BTreeMap::<_, Vec<_>>::new();
    for (name, value) in headers {
        seen.entry(canonical(name)).or_default().push(lossy(value.as_bytes()));
    }
    seen
}

/// `x-forwarded-for` → `X-Forwarded-For`.
fn canonical(name: &HeaderName) -> String {
    let mut starts_word = true;
    let letter = |letter: char| {
        let shown = if starts_word { letter.to_ascii_uppercase() } else { letter };
        starts_word = letter == '-';
        shown
    };
    name.as_str().chars().map(letter).collect()
}

pub(super) fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_names_are_capitalised_by_word() {
        for (name, shown) in
            [("x-forwarded-for", "X-Forwarded-For"), ("te", "Te"), ("x--1a", "X--1a")]
        {
            assert_eq!(canonical(&HeaderName::from_static(name)), shown);
        }
    }
}
