//! Answers of rutter's own as a client of gRPC takes them (gRPC over HTTP/2: "Trailers-Only").

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;

use crate::plane::l7::respond::OwnAnswer;
use crate::snapshot::Reason;

/// Whether a request is one of gRPC. gRPC-Web is not: its clients read the status of HTTP.
pub(super) fn is_grpc(fields: &HeaderMap) -> bool {
    let content = fields.get(CONTENT_TYPE).map(|value| value.as_bytes().to_ascii_lowercase());
    let rest = content.as_ref().and_then(|content| content.strip_prefix(b"application/grpc"));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"+") || rest.starts_with(b";"))
}

/// A failure as an error of gRPC; anything else as it is.
pub(super) fn translate(answer: OwnAnswer) -> OwnAnswer {
    if answer.status < 400 {
        return answer;
    }
    let status = Status::of(&answer) as u8;
    let fields = answer.fields.into_iter().filter(|(name, _)| *name != "content-type");
    let translated = OwnAnswer {
        status: 200,
        reason: answer.reason,
        fields: fields.collect(),
        body: Bytes::new(),
    };
    translated
        .field("content-type", "application/grpc".to_owned())
        .field("grpc-status", status.to_string())
        .field("grpc-message", encode(answer.body.trim_ascii_end()))
}

/// Those of the status codes of gRPC that are used here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Unknown = 2,
    PermissionDenied = 7,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    Unauthenticated = 16,
}

impl Status {
    /// As gRPC's "HTTP to gRPC Status Code Mapping" has it, but for routes that lead nowhere, which
    /// are UNAVAILABLE (Gateway API, GRPCBackendRef).
    fn of(answer: &OwnAnswer) -> Self {
        match (answer.reason, answer.status) {
            (Some(Reason::InvalidBackend | Reason::UnsupportedBackend), _) => Self::Unavailable,
            (Some(Reason::Internal), _) | (_, 400) => Self::Internal,
            (_, 401) => Self::Unauthenticated,
            (_, 403) => Self::PermissionDenied,
            (_, 404) => Self::Unimplemented,
            (_, 429 | 502 | 503 | 504) => Self::Unavailable,
            _ => Self::Unknown,
        }
    }
}

/// A message is percent-encoded; what is not visible ASCII may not stand in a field.
fn encode(message: &[u8]) -> String {
    let mut encoded = String::with_capacity(message.len());
    for byte in message.iter().copied() {
        match byte {
            b' '..=b'~' if byte != b'%' => encoded.push(char::from(byte)),
            _ => encoded += &format!("%{byte:02X}"),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_have_the_status_that_clients_of_grpc_expect() {
        for (reason, expected) in [
            (Reason::NoRoute, "12"),
            (Reason::BadRequest, "13"),
            (Reason::Internal, "13"),
            (Reason::InvalidBackend, "14"),
            (Reason::NoReadyEndpoint, "14"),
            (Reason::UpstreamReset, "14"),
            (Reason::ResponseTimeout, "14"),
            (Reason::Misdirected, "2"),
        ] {
            let answer = translate(reason.into());
            let field = |name| answer.fields.iter().find(|it| it.0 == name).map(|it| it.1.as_str());
            assert_eq!((answer.status, &*answer.body), (200, &b""[..]));
            assert_eq!(field("grpc-status"), Some(expected), "{reason}");
            assert_eq!(field("content-type"), Some("application/grpc"));
            assert!(field("grpc-message").is_some_and(|it| it.ends_with(reason.as_str())));
            assert_eq!(answer.reason, Some(reason));
        }
        for (status, expected) in [(401, "16"), (403, "7"), (429, "14"), (418, "2")] {
            let answer = translate(OwnAnswer::new(status));
            let field = ("grpc-status".into(), expected.to_owned());
            assert!(answer.fields.contains(&field), "{status}");
        }
        let redirect = OwnAnswer::new(302);
        assert_eq!(translate(redirect.clone()), redirect);
    }

    #[test]
    fn requests_of_grpc_are_known_by_their_content_type() {
        for (content, expected) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("Application/GRPC; charset=utf-8", true),
            ("application/grpc-web", false),
            ("application/json", false),
        ] {
            let mut fields = HeaderMap::new();
            fields.insert(CONTENT_TYPE, content.parse().expect("a value"));
            assert_eq!(is_grpc(&fields), expected, "{content}");
        }
        assert!(!is_grpc(&HeaderMap::new()));
    }

    #[test]
    fn messages_are_percent_encoded() {
        assert_eq!(encode("50% of\nü".as_bytes()), "50%25 of%0A%C3%BC");
    }
}
