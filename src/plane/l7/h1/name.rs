//! Field names that a proxy has to know.

/// A field name, as far as it matters here. Everything else is [`Name::Other`] and goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    /// `Connection`.
    Connection,
    /// `Content-Length`.
    ContentLength,
    /// `Cookie`: the crumbs of HTTP/2 are joined.
    Cookie,
    /// `Date`.
    Date,
    /// `Expect`.
    Expect,
    /// Fields about who is in front: `Forwarded`, `X-Forwarded-*`, `X-Real-IP`, and `Proxy`,
    /// which CGI would read as configuration. Only rutter may write them.
    Forwarded,
    /// `Host`.
    Host,
    /// Fields for the next hop only: `Keep-Alive`, `Proxy-Connection`, `Proxy-Authorization`,
    /// `Proxy-Authenticate`, `HTTP2-Settings`.
    HopByHop,
    /// `Server`.
    Server,
    /// `TE`.
    Te,
    /// `Transfer-Encoding`.
    TransferEncoding,
    /// A name with an underscore, which CGI and WSGI cannot tell from one with a hyphen.
    Underscore,
    /// `Upgrade`.
    Upgrade,
    /// `X-Request-Id`.
    RequestId,
    /// Any other.
    Other,
}

impl Name {
    /// Classifies a name, whatever its case.
    pub(crate) fn of(name: &[u8]) -> Self {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        // the length and the first letter rule out nearly everything at once
        match (name.len(), name.first().map(u8::to_ascii_lowercase)) {
            (2, Some(b't')) if is("te") => Self::Te,
            (4, Some(b'h')) if is("host") => Self::Host,
            (4, Some(b'd')) if is("date") => Self::Date,
            (5, Some(b'p')) if is("proxy") => Self::Forwarded,
            (6, Some(b'c')) if is("cookie") => Self::Cookie,
            (6, Some(b'e')) if is("expect") => Self::Expect,
            (6, Some(b's')) if is("server") => Self::Server,
            (7, Some(b'u')) if is("upgrade") => Self::Upgrade,
            (9, Some(b'f')) if is("forwarded") => Self::Forwarded,
            (9, Some(b'x')) if is("x-real-ip") => Self::Forwarded,
            (10, Some(b'c')) if is("connection") => Self::Connection,
            (10, Some(b'k')) if is("keep-alive") => Self::HopByHop,
            (12, Some(b'x')) if is("x-request-id") => Self::RequestId,
            (14, Some(b'c')) if is("content-length") => Self::ContentLength,
            (14, Some(b'h')) if is("http2-settings") => Self::HopByHop,
            (16, Some(b'p')) if is("proxy-connection") => Self::HopByHop,
            (17, Some(b't')) if is("transfer-encoding") => Self::TransferEncoding,
            (18, Some(b'p')) if is("proxy-authenticate") => Self::HopByHop,
            (19, Some(b'p')) if is("proxy-authorization") => Self::HopByHop,
            (_, Some(b'x')) if starts_with(name, "x-forwarded-") => Self::Forwarded,
            _ if memchr::memchr(b'_', name).is_some() => Self::Underscore,
            _ => Self::Other,
        }
    }

    /// Whether a trailer may carry it (RFC 9110 section 6.5.1): nothing that frames, routes or
    /// authenticates.
    pub(crate) fn allowed_in_trailer(self, name: &[u8]) -> bool {
        const NEVER: [&str; 8] = [
            "authorization",
            "cache-control",
            "content-encoding",
            "content-range",
            "content-type",
            "max-forwards",
            "set-cookie",
            "trailer",
        ];
        self == Self::Other
            && !NEVER.iter().any(|never| name.eq_ignore_ascii_case(never.as_bytes()))
    }
}

fn starts_with(name: &[u8], prefix: &str) -> bool {
    name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
}
