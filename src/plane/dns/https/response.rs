//! An answer as a response (RFC 8484 section 4.2 and 5.1).

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Response, Version};
use http_body_util::Full;

use super::request::{MESSAGE, Refusal};
use crate::plane::dns::records::{SOA, Section, records};

/// An answer, of which a HEAD gets the head. Every response code of DNS is a success of HTTP.
pub(super) fn answer(message: Vec<u8>, max_age: u32, is_head: bool) -> Response<Full<Bytes>> {
    let length = message.len();
    let body = if is_head { Bytes::new() } else { message.into() };
    let mut response = Response::new(Full::new(body));
    let fields = response.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static(MESSAGE));
    fields.insert(CONTENT_LENGTH, length.into());
    let cache_control = HeaderValue::try_from(format!("max-age={max_age}"));
    fields.extend(cache_control.map(|value| (CACHE_CONTROL, value)));
    response
}

/// How long an answer is good for, in seconds: as its shortest record, or as the SOA says of one
/// that there is none (RFC 2308). Failures are not to be kept.
pub(super) fn max_age(message: &[u8]) -> u32 {
    let answers = records(message).filter(|it| it.section == Section::Answer);
    let shortest = answers.map(|it| it.ttl).min();
    let of_none = || {
        let soa = |it: &_| matches!(it, (Section::Authority, SOA));
        let soa = records(message).find(|it| soa(&(it.section, it.record_type)))?;
        let minimum = message.get(soa.data)?.last_chunk()?;
        Some(soa.ttl.min(u32::from_be_bytes(*minimum)))
    };
    shortest.or_else(of_none).unwrap_or_default()
}

/// A refusal. Over HTTP/1 what is left of the request is not waited for.
pub(super) fn refuse(refusal: Refusal, version: Version) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(refusal.text().as_bytes())));
    *response.status_mut() = refusal.status();
    let fields = response.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if refusal == Refusal::Method {
        fields.insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST"));
    }
    if version < Version::HTTP_2 {
        fields.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
