//! Request heads as an endpoint sees them.
//!
//! Fields for the next hop are stripped, with those that `Connection` names. What says who the
//! client is (`X-Forwarded-*`, `X-Real-IP`, `Forwarded`) is rutter's alone: nobody in front is
//! trusted but the [proxies that options name](super::proxied), so that a client cannot give itself
//! another address.

use std::net::IpAddr;

use data_encoding::HEXLOWER;

use super::Identity;
use super::filter::{Changes, change_section};
use super::h1::{BodyLength, Name, Outgoing, Verb};
use super::route::Target;
use crate::balance::Rng;
use crate::snapshot::matching::Asked;

/// A request, from whichever front it came.
#[derive(Debug)]
pub(super) struct Request<'a, F> {
    /// What the method means.
    pub(super) verb: Verb,
    /// The method as sent.
    pub(super) method: &'a str,
    /// Host and port as sent; empty only in HTTP/1.0.
    pub(super) authority: &'a str,
    /// The host that rules are matched by.
    pub(super) host: &'a str,
    /// The path that rules are matched by.
    pub(super) target: &'a Target<'a>,
    /// How long its body is.
    pub(super) length: BodyLength,
    /// What `Connection`, `TE` and the like say.
    pub(super) options: &'a Options<'a>,
    /// Every field: what it is, name and value.
    pub(super) fields: F,
}

impl<'a, F> Request<'a, F>
where
    F: Iterator<Item = (Name, &'a [u8], &'a [u8])> + Clone,
{
    /// What rules are chosen by.
    pub(super) fn asked(&self) -> Asked<'a, impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone> {
        Asked {
            host: self.host,
            path: self.target.matched(),
            method: self.method,
            query: self.target.query,
            fields: self.fields.clone().map(|(_, name, value)| (name, value)),
        }
    }
}

/// What the fields of a head say about the connection it came by.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Options<'a> {
    /// `Connection: close`.
    pub(super) close: bool,
    /// `Connection: keep-alive`.
    pub(super) keep_alive: bool,
    /// The protocol of `Upgrade`, if `Connection: upgrade` is there too.
    pub(super) upgrade: Option<&'a [u8]>,
    /// `TE: trailers`.
    pub(super) trailers: bool,
    /// `Expect: 100-continue`.
    pub(super) expects_continue: bool,
    /// `Expect` says something else, or says it twice.
    pub(super) expects_otherwise: bool,
    /// A usable `X-Request-Id`.
    pub(super) request_id: Option<&'a str>,
    /// `Connection` names further fields.
    nominates: bool,
}

impl<'a> Options<'a> {
    /// Reads them.
    pub(super) fn of(fields: impl Iterator<Item = (Name, &'a [u8], &'a [u8])>) -> Self {
        let mut options = Self::default();
        let mut upgrade = false;
        for (name, _, value) in fields {
            match name {
                Name::Connection => upgrade |= options.read_connection(value),
                Name::Upgrade => options.upgrade = Some(value),
                Name::Expect => options.read_expect(value),
                Name::Te => options.trailers |= lists(value, b"trailers"),
                Name::RequestId => options.request_id = usable_id(value),
                Name::ContentLength
                | Name::Cookie
                | Name::Date
                | Name::Forwarded
                | Name::Host
                | Name::HopByHop
                | Name::Server
                | Name::TransferEncoding
                | Name::Underscore
                | Name::Other => {}
            }
        }
        // h2c by upgrade is dead (RFC 9113 section 3.1) and a known way around a proxy's checks
        let h2c = |protocol: &[u8]| protocol.to_ascii_lowercase().starts_with(b"h2c");
        options.upgrade = options.upgrade.filter(|protocol| upgrade && !h2c(protocol));
        options
    }

    fn read_expect(&mut self, value: &[u8]) {
        let again = std::mem::replace(&mut self.expects_continue, true);
        self.expects_otherwise |= again || !value.eq_ignore_ascii_case(b"100-continue");
    }

    /// Reads one `Connection` field; whether it says `upgrade`.
    fn read_connection(&mut self, value: &[u8]) -> bool {
        let mut upgrade = false;
        for option in tokens(value) {
            let is = |known: &str| option.eq_ignore_ascii_case(known.as_bytes());
            if is("close") {
                self.close = true;
            } else if is("keep-alive") {
                self.keep_alive = true;
            } else if is("upgrade") {
                upgrade = true;
            } else if !is("te") && !option.is_empty() {
                self.nominates = true;
            }
        }
        upgrade
    }

    /// Whether `Connection` names this field. Fields that matter to a proxy are handled by what
    /// they are before anybody asks: a client cannot nominate `Host` away.
    pub(super) fn nominate<'f>(
        &self,
        fields: impl Iterator<Item = (Name, &'f [u8], &'f [u8])>,
        name: &[u8],
    ) -> bool {
        self.nominates
            && fields
                .filter(|(known, _, _)| *known == Name::Connection)
                .any(|(_, _, value)| lists(value, name))
    }
}

/// The lines about the client, who is connected as `peer`, or by it and those of `chain`.
pub(super) fn client_lines(
    chain: &str,
    peer: IpAddr,
    client: IpAddr,
    is_secure: bool,
    port: u16,
) -> Vec<u8> {
    let (peer, client) = (peer.to_canonical(), client.to_canonical());
    let scheme = if is_secure { "https" } else { "http" };
    format!(
        "X-Forwarded-For: {chain}{peer}\r\nX-Real-IP: {client}\r\nX-Forwarded-Proto: {scheme}\r\n\
         X-Forwarded-Port: {port}\r\n"
    )
    .into_bytes()
}

/// Writes the head of a request for an endpoint.
pub(super) fn write_request<'a, F>(
    out: &mut Outgoing,
    request: &Request<'a, F>,
    identity: &Identity,
    request_id: &str,
    changes: &Changes<'_>,
) where
    F: Iterator<Item = (Name, &'a [u8], &'a [u8])> + Clone,
{
    let Request { method, authority, target, .. } = request;
    let path = changes.path.as_deref().unwrap_or(&target.path);
    for part in [method, " ", path, target.query, " HTTP/1.1\r\n"] {
        out.bytes.extend_from_slice(part.as_bytes());
    }
    out.field(b"Host", changes.host.unwrap_or(authority).as_bytes());
    let start = out.bytes.len();
    write_fields(out, request);
    if !authority.is_empty() && !identity.forwards_host {
        out.field(b"X-Forwarded-Host", authority.as_bytes());
    }
    out.bytes.extend_from_slice(&identity.client_lines);
    out.field(b"X-Request-Id", request_id.as_bytes());
    change_section(out, start, &changes.modifiers);
    write_length(out, request);
    if let Some(protocol) = request.options.upgrade {
        out.field(b"Upgrade", protocol);
        out.field(b"Connection", b"upgrade");
    } else if request.options.trailers {
        out.field(b"TE", b"trailers");
        out.field(b"Connection", b"TE");
    }
    out.bytes.extend_from_slice(b"\r\n");
}

fn write_fields<'a, F>(out: &mut Outgoing, request: &Request<'a, F>)
where
    F: Iterator<Item = (Name, &'a [u8], &'a [u8])> + Clone,
{
    let mut cookie = false;
    for (known, name, value) in request.fields.clone() {
        match known {
            // nothing can be waited for before no body (RFC 9110 section 10.1.1)
            Name::Expect if request.length == BodyLength::Exact(0) => {}
            Name::Date | Name::Expect | Name::Server | Name::Other => {
                if !request.options.nominate(request.fields.clone(), name) {
                    out.field(name, value);
                }
            }
            Name::Cookie if !cookie => {
                cookie = true;
                write_cookie(out, request.fields.clone());
            }
            Name::Connection
            | Name::ContentLength
            | Name::Cookie
            | Name::Forwarded
            | Name::HopByHop
            | Name::Host
            | Name::RequestId
            | Name::Te
            | Name::TransferEncoding
            | Name::Underscore
            | Name::Upgrade => {}
        }
    }
}

/// One `Cookie` field, joined from the crumbs of HTTP/2 (RFC 9113 section 8.2.3).
fn write_cookie<'a>(out: &mut Outgoing, fields: impl Iterator<Item = (Name, &'a [u8], &'a [u8])>) {
    out.bytes.extend_from_slice(b"Cookie: ");
    let crumbs = fields.filter(|(known, _, _)| *known == Name::Cookie);
    for (place, (_, _, crumb)) in crumbs.enumerate() {
        out.bytes.extend_from_slice(if place == 0 { b"" } else { b"; " });
        out.bytes.extend_from_slice(crumb);
    }
    out.bytes.extend_from_slice(b"\r\n");
}

/// A request without a body says nothing, unless its method usually has one.
fn write_length<F>(out: &mut Outgoing, request: &Request<'_, F>) {
    match request.length {
        BodyLength::Exact(0) if request.verb.is_idempotent() && request.method != "PUT" => {}
        BodyLength::Exact(_) if request.options.upgrade.is_some() => {}
        BodyLength::Exact(length) => out.line(format_args!("Content-Length: {length}")),
        BodyLength::Chunked | BodyLength::UntilClose => {
            out.field(b"Transfer-Encoding", b"chunked");
        }
    }
}

/// A new request id: 32 hexadecimal digits, as ingress-nginx makes them.
pub(super) fn new_request_id(rng: &mut Rng) -> String {
    let id = u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64());
    HEXLOWER.encode(&id.to_be_bytes())
}

/// An id from a client is kept if it can do no harm in logs.
fn usable_id(value: &[u8]) -> Option<&str> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=@".contains(byte);
    let usable = !value.is_empty() && value.len() <= 128 && value.iter().all(plain);
    std::str::from_utf8(value).ok().filter(|_| usable)
}

fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

fn lists(value: &[u8], wanted: &[u8]) -> bool {
    tokens(value).any(|token| token.eq_ignore_ascii_case(wanted))
}
