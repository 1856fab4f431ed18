//! What can be asked, from words of the command line or from a query string.

use std::fmt;
use std::net::IpAddr;

use crate::snapshot::Transport;
use crate::snapshot::zone::Query;

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Where does this request go?
    Http(HttpQuestion),
    /// Where does this connection or datagram go?
    Socket(SocketQuestion),
    /// Where does this TLS connection go?
    Tls(TlsQuestion),
    /// What is behind this name?
    Name(NameQuestion),
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpQuestion {
    /// `GET` if not said.
    pub method: String,
    /// Whether by TLS.
    pub is_https: bool,
    /// Without port, lower-case.
    pub host: String,
    /// The port, if the URL names one.
    pub port: Option<u16>,
    /// Path without query.
    pub path: String,
    /// Query with its `?`, or empty.
    pub query: String,
    /// Fields, as `name: value`.
    pub headers: Vec<(String, String)>,
    /// The client.
    pub from: Option<IpAddr>,
}

/// A connection or datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketQuestion {
    /// TCP or UDP.
    pub transport: Transport,
    /// An address, or the name of a Service.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The client.
    pub from: Option<IpAddr>,
}

/// A TLS connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsQuestion {
    /// The server name, lower-case; or an address, for a client that sends no name.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// A name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameQuestion {
    /// As typed; a final dot keeps the search list away.
    pub name: String,
    /// What of it.
    pub query: Query,
    /// The pod that asks, whose namespace is searched first.
    pub from: Option<IpAddr>,
}

/// Words that are no question.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuestionError {
    /// Too few or too many words.
    #[error("ask for [METHOD] URL, tcp://, udp:// or tls://HOST:PORT, or dns NAME [TYPE]")]
    Words,
    /// Not a URL of a known scheme.
    #[error("{0:?} is not a URL: http://, https://, tcp://, udp:// or tls:// is expected")]
    Url(String),
    /// A port that is none.
    #[error("{0:?} has no port from 1 to 65535")]
    Port(String),
    /// A record type that is not known.
    #[error("{0:?} is not a record type: A, AAAA, SRV, PTR, TXT, SOA, NS, CNAME or ANY")]
    Type(String),
    /// A field without a colon.
    #[error("{0:?} is not a header field: \"Name: value\" is expected")]
    Header(String),
    /// Not an address.
    #[error("{0:?} is not an IP address")]
    Address(String),
}

impl Question {
    /// From the words of a command line, its header fields, and the client's address.
    pub fn parse(
        words: &[String],
        headers: &[String],
        from: Option<&str>,
    ) -> Result<Self, QuestionError> {
        let from = from.map(address).transpose()?;
        let headers = headers.iter().map(|text| header(text)).collect::<Result<Vec<_>, _>>()?;
        match words {
            [dns, name] if dns == "dns" => Self::name(name, "A", from),
            [dns, name, query] if dns == "dns" => Self::name(name, query, from),
            [url] => Self::url("GET", url, headers, from),
            [method, url] => Self::url(method, url, headers, from),
            _ => Err(QuestionError::Words),
        }
    }

    /// From a query string: `url=`, `method=`, `header=` (may repeat), `from=`; or `dns=`, `type=`.
    pub fn from_query(query: &str) -> Result<Self, QuestionError> {
        let pairs: Vec<(String, String)> = query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (decode(name), decode(value)))
            .collect();
        let all = |name: &str| {
            let named = pairs.iter().filter(|(key, _)| key == name);
            named.map(|(_, value)| value.clone()).collect::<Vec<_>>()
        };
        let words = match all("dns").first() {
            Some(name) => [vec!["dns".to_owned(), name.clone()], all("type")].concat(),
            None => [all("method"), all("url")].concat(),
        };
        Self::parse(&words, &all("header"), all("from").first().map(String::as_str))
    }

    /// The query string that asks the same.
    pub fn to_query(&self) -> String {
        let mut pairs = Vec::new();
        let from = match self {
            Self::Http(question) => {
                pairs.push(("method", question.method.clone()));
                pairs.push(("url", question.url()));
                let fields = question.headers.iter();
                pairs.extend(fields.map(|(name, value)| ("header", format!("{name}: {value}"))));
                question.from
            }
            Self::Socket(question) => {
                pairs.push(("url", self.to_string()));
                question.from
            }
            Self::Tls(_) => {
                pairs.push(("url", self.to_string()));
                None
            }
            Self::Name(question) => {
                pairs.push(("dns", question.name.clone()));
                pairs.push(("type", type_name(question.query).to_owned()));
                question.from
            }
        };
        pairs.extend(from.map(|from| ("from", from.to_string())));
        let encoded = pairs.iter().map(|(name, value)| format!("{name}={}", encode(value)));
        encoded.collect::<Vec<_>>().join("&")
    }

    fn name(name: &str, query: &str, from: Option<IpAddr>) -> Result<Self, QuestionError> {
        let known = QUERIES.iter().find(|(_, text)| text.eq_ignore_ascii_case(query));
        let (query, _) = known.ok_or_else(|| QuestionError::Type(query.to_owned()))?;
        Ok(Self::Name(NameQuestion { name: name.to_owned(), query: *query, from }))
    }

    fn url(
        method: &str,
        url: &str,
        headers: Vec<(String, String)>,
        from: Option<IpAddr>,
    ) -> Result<Self, QuestionError> {
        let wrong = || QuestionError::Url(url.to_owned());
        let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
        let (authority, path) = match rest.find(['/', '?', '#']) {
            Some(end) => rest.split_at(end),
            None => (rest, "/"),
        };
        let (host, port) = split_port(authority, url)?;
        if host.is_empty() {
            return Err(wrong());
        }
        let transport = match scheme {
            "http" | "https" => {
                let path = path.split('#').next().unwrap_or_default();
                let (path, query) = path.split_at(path.find('?').unwrap_or(path.len()));
                // as curl does: the field says which host, the URL where to connect
                let field = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("host"));
                let host = match field {
                    Some((_, value)) => split_port(value, url)?.0,
                    None => host,
                };
                let host = host.to_ascii_lowercase();
                return Ok(Self::Http(HttpQuestion {
                    method: method.to_owned(),
                    is_https: scheme == "https",
                    host,
                    port,
                    path: if path.is_empty() { "/" } else { path }.to_owned(),
                    query: query.to_owned(),
                    headers,
                    from,
                }));
            }
            "tcp" => Some(Transport::Tcp),
            "udp" => Some(Transport::Udp),
            "tls" => None,
            _ => return Err(wrong()),
        };
        let port = port.ok_or_else(|| QuestionError::Port(url.to_owned()))?;
        Ok(match transport {
            Some(transport) => {
                Self::Socket(SocketQuestion { transport, host: host.to_owned(), port, from })
            }
            None => Self::Tls(TlsQuestion { host: host.to_ascii_lowercase(), port }),
        })
    }
}

impl HttpQuestion {
    fn url(&self) -> String {
        let scheme = if self.is_https { "https" } else { "http" };
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("{scheme}://{}{port}{}{}", self.host, self.path, self.query)
    }
}

impl TlsQuestion {
    /// The name that the client sends; empty if it sends none (RFC 6066: addresses are no names).
    pub fn server_name(&self) -> &str {
        if self.host.parse::<IpAddr>().is_ok() { "" } else { &self.host }
    }
}

/// A URL of a scheme without a path.
fn socket_url(scheme: &str, host: &str, port: u16) -> String {
    if host.contains(':') {
        return format!("{scheme}://[{host}]:{port}");
    }
    format!("{scheme}://{host}:{port}")
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(question) => write!(f, "{} {}", question.method, question.url()),
            Self::Socket(question) => {
                let scheme = question.transport.to_string();
                f.write_str(&socket_url(&scheme, &question.host, question.port))
            }
            Self::Tls(question) => f.write_str(&socket_url("tls", &question.host, question.port)),
            Self::Name(question) => {
                write!(f, "dns {} {}", question.name, type_name(question.query))
            }
        }
    }
}

const QUERIES: [(Query, &str); 9] = [
    (Query::A, "A"),
    (Query::Aaaa, "AAAA"),
    (Query::Srv, "SRV"),
    (Query::Ptr, "PTR"),
    (Query::Txt, "TXT"),
    (Query::Soa, "SOA"),
    (Query::Ns, "NS"),
    (Query::Cname, "CNAME"),
    (Query::Any, "ANY"),
];

pub(super) fn type_name(query: Query) -> &'static str {
    QUERIES.iter().find(|(known, _)| *known == query).map_or("other", |(_, text)| text)
}

fn split_port<'a>(authority: &'a str, url: &str) -> Result<(&'a str, Option<u16>), QuestionError> {
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, rest)) => (host, rest.strip_prefix(':')),
        None => match authority.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let parse = |text: &str| text.parse().ok().filter(|port| *port > 0);
    let port = port.map(|text| parse(text).ok_or_else(|| QuestionError::Port(url.to_owned())));
    Ok((host, port.transpose()?))
}

fn address(text: &str) -> Result<IpAddr, QuestionError> {
    text.parse().map_err(|_| QuestionError::Address(text.to_owned()))
}

fn header(text: &str) -> Result<(String, String), QuestionError> {
    let (name, value) =
        text.split_once(':').ok_or_else(|| QuestionError::Header(text.to_owned()))?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

/// Percent-decoding of a query string; what is no escape stays as it is.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = after.get(..2).filter(|_| *first == b'%');
        let escaped = escaped.and_then(|digits| std::str::from_utf8(digits).ok());
        match escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(if *first == b'+' { b' ' } else { *first });
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/:".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
