//! Which query a request holds (RFC 8484 section 4.1).

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use tokio::time::timeout;

use crate::plane::dns::limits::QUERY;

/// Why a request is not answered by DNS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Another path.
    Path,
    /// Another method.
    Method,
    /// A POST of something else.
    ContentType,
    /// A body or a path with more than any query.
    TooLong(StatusCode),
    /// A GET without query, or with one that is not base64url.
    NoQuery,
    /// A body that does not come.
    Slow,
}

impl Refusal {
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::Path => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::ContentType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLong(status) => status,
            Self::NoQuery => StatusCode::BAD_REQUEST,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
        }
    }

    /// For people.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Path => "DNS over HTTPS is at /dns-query\n",
            Self::Method => "GET, HEAD and POST are answered\n",
            Self::ContentType => "the body must be of type application/dns-message\n",
            Self::TooLong(_) => "a query has at most 4096 bytes\n",
            Self::NoQuery => "there is no query: ?dns= and base64url without padding, or a body\n",
            Self::Slow => "the body takes too long\n",
        }
    }
}

/// The query of a request, whose body may take so long.
pub(super) async fn query(request: Request<Incoming>, time: Duration) -> Result<Vec<u8>, Refusal> {
    let (parts, mut body) = request.into_parts();
    let query = match of_head(&parts) {
        Ok(Some(query)) => return Ok(query),
        Ok(None) => timeout(time, of_body(&mut body)).await.unwrap_or(Err(Refusal::Slow)),
        Err(refusal) => Err(refusal),
    };
    if query.is_err() {
        let _ = timeout(LINGER_TIME, discard(body)).await;
    }
    query
}

/// The query of a GET; `None`: it is in the body.
fn of_head(head: &Parts) -> Result<Option<Vec<u8>>, Refusal> {
    if head.uri.path() != PATH {
        return Err(Refusal::Path);
    }
    match head.method {
        Method::GET | Method::HEAD => of_uri(&head.uri).map(Some),
        Method::POST if is_message(&head.headers) => Ok(None),
        Method::POST => Err(Refusal::ContentType),
        _ => Err(Refusal::Method),
    }
}

fn of_uri(uri: &Uri) -> Result<Vec<u8>, Refusal> {
    let fields = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    let mut queries = fields.filter(|(name, _)| name == "dns").map(|(_, value)| value);
    let encoded = queries.next().ok_or(Refusal::NoQuery)?;
    let query = URL_SAFE_NO_PAD.decode(&*encoded).map_err(|_| Refusal::NoQuery)?;
    if query.len() > QUERY {
        return Err(Refusal::TooLong(StatusCode::URI_TOO_LONG));
    }
    Ok(query)
}

/// Parameters of the type are of no meaning (RFC 8484 section 6).
fn is_message(fields: &HeaderMap) -> bool {
    let Some(content) = fields.get(CONTENT_TYPE).and_then(|it| it.to_str().ok()) else {
        return false;
    };
    let essence = content.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case(MESSAGE)
}

async fn of_body(body: &mut Incoming) -> Result<Vec<u8>, Refusal> {
    let too_long = Refusal::TooLong(StatusCode::PAYLOAD_TOO_LARGE);
    if body.size_hint().lower() > QUERY as u64 {
        return Err(too_long);
    }
    match Limited::new(body, QUERY).collect().await {
        Ok(whole) => Ok(whole.to_bytes().into()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_long),
        // it was cut short, so that nobody reads what is said
        Err(_) => Err(Refusal::NoQuery),
    }
}

/// Takes some of what a refused client is still sending: one that has not sent everything may not
/// read the answer.
async fn discard(mut body: Incoming) {
    let mut left = LINGER_BYTES;
    while let Some(Ok(frame)) = body.frame().await {
        let length = frame.data_ref().map_or(0, Bytes::len);
        let Some(rest) = left.checked_sub(length) else { return };
        left = rest;
    }
}

const PATH: &str = "/dns-query";
/// What a refused client may still send, and in which time.
const LINGER_BYTES: usize = 64 * 1024;
const LINGER_TIME: Duration = Duration::from_secs(1);
/// The media type of messages (RFC 8484 section 6).
pub(super) const MESSAGE: &str = "application/dns-message";
