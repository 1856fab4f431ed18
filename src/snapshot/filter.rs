//! What a rule does to requests and responses on their way.

use std::sync::Arc;

use super::{Failure, Target};

/// One step, in the order of the rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Changes header fields of the request.
    RequestHeaders(HeaderModifier),
    /// Changes header fields of the response.
    ResponseHeaders(HeaderModifier),
    /// Changes host and path of the request.
    Rewrite(Rewrite),
    /// Answers in the place of a share's backend: the client is to ask elsewhere. That of a whole
    /// rule is its [`super::Action`].
    Redirect(Redirect),
    /// Sends copies of the request elsewhere, whose responses nobody sees.
    Mirror(Mirror),
    /// Answers preflights and says which origins may read (fetch.spec.whatwg.org).
    Cors(Cors),
    /// Asks another server whether the request may go on (GEP-1494).
    ExternalAuth(ExternalAuth),
}

/// Changes of header fields: `set` replaces, `add` appends, `remove` takes away, in this order
/// (Gateway API `HTTPHeaderFilter`). Names are compared without regard to case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderModifier {
    /// Names and values that replace what is there.
    pub set: Vec<(Arc<str>, Arc<str>)>,
    /// Names and values that are added to what is there.
    pub add: Vec<(Arc<str>, Arc<str>)>,
    /// Names that go.
    pub remove: Vec<Arc<str>>,
}

impl HeaderModifier {
    /// Whether a field of this name is the proxy's own: what frames a message, belongs to one hop,
    /// or says whose request it is. No filter changes it.
    pub fn is_reserved(name: &str) -> bool {
        RESERVED.iter().any(|it| name.eq_ignore_ascii_case(it))
    }
}

const RESERVED: [&str; 11] = [
    "connection",
    "content-length",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// A new host, a new path, or both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewrite {
    /// Replaces the host.
    pub host: Option<Arc<str>>,
    /// Replaces all or the beginning of the path.
    pub path: Option<PathRewrite>,
}

/// How a path is changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathRewrite {
    /// All of it.
    Full(Arc<str>),
    /// The part that the rule's prefix matched (without a trailing `/`).
    Prefix {
        /// What is taken away.
        matched: Arc<str>,
        /// What is put in its place, without a trailing `/`.
        replacement: Arc<str>,
    },
}

impl PathRewrite {
    /// The new path: it begins with `/`, and elements stay elements.
    pub fn apply(&self, path: &str) -> String {
        let (replacement, rest) = match self {
            Self::Full(full) => (full, ""),
            Self::Prefix { matched, replacement } => {
                (replacement, path.strip_prefix(&**matched).unwrap_or(path))
            }
        };
        match format!("{replacement}{rest}") {
            empty if empty.is_empty() => "/".to_owned(),
            path => path,
        }
    }
}

/// An answer that sends the client elsewhere. What is absent stays as it was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Redirect {
    /// `http` or `https`.
    pub scheme: Option<Arc<str>>,
    /// The host.
    pub host: Option<Arc<str>>,
    /// The path.
    pub path: Option<PathRewrite>,
    /// The port; absent: that of the scheme if one is given, else that of the listener.
    pub port: Option<u16>,
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
}

impl Redirect {
    /// The `Location` for a request that came by `scheme` for `host` to `port`. The query goes
    /// along.
    pub fn location(&self, scheme: &str, host: &str, port: u16, path: &str, query: &str) -> String {
        let port = match (self.port, &self.scheme) {
            (Some(port), _) => Some(port),
            // the scheme's own
            (None, Some(_)) => None,
            (None, None) => Some(port),
        };
        let scheme = self.scheme.as_deref().unwrap_or(scheme);
        let port = port.filter(|port| Some(*port) != well_known(scheme));
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        let host = self.host.as_deref().unwrap_or(host);
        let path = self.path.as_ref().map_or_else(|| path.to_owned(), |new| new.apply(path));
        format!("{scheme}://{host}{port}{path}{query}")
    }
}

fn well_known(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

/// Where copies of requests go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// Who gets them.
    pub target: Target,
    /// How many of `denominator` requests are copied.
    pub numerator: u32,
    /// Never zero.
    pub denominator: u32,
}

/// Who is asked whether a request may go on (Gateway API `HTTPExternalAuthFilter`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalAuth {
    /// The authorization server; if it cannot be used, no request goes on.
    pub target: Result<Target, Failure>,
    /// How it is asked.
    pub protocol: ExternalAuthProtocol,
    /// Names (lower-case) of the fields that it sees; empty: all with gRPC, none but the usual
    /// ones with HTTP.
    pub allowed_headers: Vec<Arc<str>>,
    /// It also gets the body, if it has at most so many bytes; larger ones are refused (413). Zero
    /// is none.
    pub max_body: Option<u32>,
}

/// The protocol of an authorization server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExternalAuthProtocol {
    /// `envoy.service.auth.v3.Authorization/Check`.
    Grpc,
    /// A request like the client's: 200 lets it go on.
    Http {
        /// Stands in front of the path of the request.
        path_prefix: Arc<str>,
        /// Names (lower-case) of fields of its answer that go on to the backend; empty: all but
        /// `Host` and those that frame or describe the answer.
        allowed_response_headers: Vec<Arc<str>>,
    },
}

/// Which scripts of other origins may use a route (Gateway API `HTTPCORSFilter`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cors {
    /// `https://example.com`, `https://*.example.com` or `*`.
    pub allow_origins: Vec<Arc<str>>,
    /// Whether cookies and the like may be sent.
    pub allow_credentials: bool,
    /// Methods, or `*`.
    pub allow_methods: Vec<Arc<str>>,
    /// Field names, or `*`.
    pub allow_headers: Vec<Arc<str>>,
    /// Names of response fields that scripts may read, or `*`.
    pub expose_headers: Vec<Arc<str>>,
    /// How long a preflight is good for, in seconds.
    pub max_age: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_rewritten_as_the_gateway_api_table_says() {
        let prefix = |matched: &str, replacement: &str| PathRewrite::Prefix {
            matched: matched.into(),
            replacement: replacement.into(),
        };
        let rows = [
            ("/foo/bar", prefix("/foo", "/xyz"), "/xyz/bar"),
            ("/foo", prefix("/foo", "/xyz"), "/xyz"),
            ("/foo/", prefix("/foo", "/xyz"), "/xyz/"),
            ("/foo", prefix("/foo", ""), "/"),
            ("/foo/", prefix("/foo", ""), "/"),
            ("/foo/bar", prefix("/foo", ""), "/bar"),
            ("/bar", prefix("", "/xyz"), "/xyz/bar"),
            ("/", prefix("", "/xyz"), "/xyz/"),
            ("/foo/bar", PathRewrite::Full("/one".into()), "/one"),
            ("/", PathRewrite::Full("".into()), "/"),
        ];
        for (path, rewrite, expected) in rows {
            assert_eq!(rewrite.apply(path), expected, "{path} {rewrite:?}");
        }
    }
}
