//! How long a body is (RFC 9112 section 6.3), refusing what the RFC lets a recipient repair.

use super::{Field, Name, ProtocolError, RequestHead, ResponseHead, Verb};

/// How a body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyLength {
    /// So many bytes; 0 for none.
    Exact(u64),
    /// Chunks.
    Chunked,
    /// All until the connection ends; responses only.
    UntilClose,
}

/// The length of a request's body.
pub(crate) fn request_length(
    request: &RequestHead,
    head: &[u8],
) -> Result<BodyLength, ProtocolError> {
    let said = Said::of(&request.fields, head)?;
    match said {
        Said { chunked: true, .. } if request.minor == 0 => Err(ProtocolError::Framing),
        Said { chunked: true, .. } => Ok(BodyLength::Chunked),
        Said { length, .. } => Ok(BodyLength::Exact(length.unwrap_or(0))),
    }
}

/// The length of the body of a response to `verb`.
pub(crate) fn response_length(
    response: &ResponseHead,
    head: &[u8],
    verb: Verb,
) -> Result<BodyLength, ProtocolError> {
    let said = Said::of(&response.fields, head)?;
    if said.chunked && response.minor == 0 {
        return Err(ProtocolError::Framing);
    }
    if verb == Verb::Head || response.status < 200 || matches!(response.status, 204 | 304) {
        return Ok(BodyLength::Exact(0));
    }
    match said {
        Said { chunked: true, .. } => Ok(BodyLength::Chunked),
        Said { length: Some(length), .. } => Ok(BodyLength::Exact(length)),
        Said { length: None, .. } => Ok(BodyLength::UntilClose),
    }
}

/// What a head says about the length.
struct Said {
    length: Option<u64>,
    chunked: bool,
}

impl Said {
    /// Each of the two fields at most once, and never both: whoever is next in line could
    /// believe the other one.
    fn of(fields: &[Field], head: &[u8]) -> Result<Self, ProtocolError> {
        let mut said = Self { length: None, chunked: false };
        for field in fields {
            if field.known == Name::ContentLength {
                let length = parse_length(field.value(head)).ok_or(ProtocolError::Framing)?;
                if said.chunked || said.length.replace(length).is_some() {
                    return Err(ProtocolError::Framing);
                }
            }
            if field.known == Name::TransferEncoding {
                let again = std::mem::replace(&mut said.chunked, true);
                let chunked = field.value(head).eq_ignore_ascii_case(b"chunked");
                if again || !chunked || said.length.is_some() {
                    return Err(ProtocolError::Framing);
                }
            }
        }
        Ok(said)
    }
}

/// Digits only, at most 2⁶³−1, and no zero in front: `010` is eight to whoever reads octal.
pub(crate) fn parse_length(value: &[u8]) -> Option<u64> {
    let plain =
        value.iter().all(u8::is_ascii_digit) && (value.len() == 1 || value.first()? != &b'0');
    let length: u64 = std::str::from_utf8(value).ok().filter(|_| plain)?.parse().ok()?;
    (length <= i64::MAX as u64).then_some(length)
}
