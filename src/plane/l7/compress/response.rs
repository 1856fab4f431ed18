//! Which responses are compressed, and what changes in their heads.

use super::Wish;
use super::negotiation::forbids_transformation;
use crate::plane::l7::h1::{Name, Verb};
use crate::snapshot::{ContentCoding, HeaderModifier};

/// What is done with a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::plane::l7) struct Prepared {
    /// How its body is coded; `None`: not at all, but it could have been for another client.
    pub(in crate::plane::l7) coding: Option<ContentCoding>,
    /// What changes in its head, beside the length.
    pub(in crate::plane::l7) modifier: HeaderModifier,
}

/// Decides about a response. `None`: it is none of those that are compressed. `may_code`: there is
/// room for another compressor.
pub(in crate::plane::l7) fn prepare<'a>(
    wish: Wish,
    verb: Verb,
    status: u16,
    fields: impl Iterator<Item = (Name, &'a [u8], &'a [u8])>,
    may_code: impl FnOnce() -> bool,
) -> Option<Prepared> {
    if wish == Wish::Nothing || matches!(status, ..200 | 204..=206 | 304) {
        return None;
    }
    let told = Told::of(fields)?;
    if !told.is_compressible || told.length.is_some_and(|length| length < MIN_BYTES) {
        return None;
    }
    let coding = match wish {
        Wish::Coded(coding) if verb != Verb::Head && may_code() => Some(coding),
        Wish::Coded(_) | Wish::AsItIs | Wish::Nothing => None,
    };
    let mut modifier = HeaderModifier::default();
    if !told.varies {
        modifier.add.push(("Vary".into(), "Accept-Encoding".into()));
    }
    if let Some(coding) = coding {
        modifier.set.push(("Content-Encoding".into(), coding.as_str().into()));
        // ranges are of what is sent, which nobody can make again byte by byte
        modifier.remove.push("Accept-Ranges".into());
        match told.etag.map(std::str::from_utf8) {
            Some(Ok(etag)) if etag.starts_with('"') => {
                modifier.set.push(("ETag".into(), format!("W/{etag}").into()));
            }
            Some(Ok(etag)) if etag.starts_with("W/") => {}
            Some(_) => modifier.remove.push("ETag".into()),
            None => {}
        }
    }
    Some(Prepared { coding, modifier })
}

/// What the head of a response says that matters here.
#[derive(Debug, Default)]
struct Told<'a> {
    length: Option<u64>,
    is_compressible: bool,
    varies: bool,
    etag: Option<&'a [u8]>,
}

impl<'a> Told<'a> {
    /// `None`: the response is to stay as it is.
    fn of(fields: impl Iterator<Item = (Name, &'a [u8], &'a [u8])>) -> Option<Self> {
        let mut told = Self::default();
        for (known, name, value) in fields {
            let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
            if known == Name::ContentLength {
                told.length = std::str::from_utf8(value).ok().and_then(|it| it.parse().ok());
            } else if known != Name::Other {
                continue;
            } else if STAY.iter().any(|stay| is(stay))
                || (is("cache-control") && forbids_transformation(value))
            {
                return None;
            } else if is("content-type") {
                told.is_compressible = is_compressible(value);
            } else if is("etag") {
                told.etag = Some(value);
            } else if is("vary") {
                told.varies |= varies(value);
            }
        }
        Some(told)
    }
}

/// Whether `Vary` speaks of what is accepted already.
fn varies(value: &[u8]) -> bool {
    value
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .any(|name| name == b"*" || name.eq_ignore_ascii_case(b"accept-encoding"))
}

/// Whether a media type is text or the like. Events are not: they come for hours.
fn is_compressible(value: &[u8]) -> bool {
    let essence = value.split(|byte| *byte == b';').next().unwrap_or_default();
    let Ok(essence) = std::str::from_utf8(essence.trim_ascii()) else { return false };
    let essence = essence.to_ascii_lowercase();
    match essence.split_once('/') {
        Some(("text", subtype)) => subtype != "event-stream",
        Some(("application", subtype)) => {
            APPLICATION.contains(&subtype)
                || subtype.ends_with("+json")
                || subtype.ends_with("+xml")
        }
        Some(("font", subtype)) => ["otf", "ttf", "collection"].contains(&subtype),
        Some(("image", subtype)) => {
            ["svg+xml", "bmp", "x-icon", "vnd.microsoft.icon"].contains(&subtype)
        }
        Some(_) | None => false,
    }
}

/// With one of these a response stays as it is: it is coded or a part, or its digest is told.
const STAY: [&str; 6] =
    ["content-encoding", "content-range", "content-digest", "repr-digest", "digest", "content-md5"];

/// Subtypes of `application` that are text in all but name, or compress as well.
const APPLICATION: [&str; 12] = [
    "javascript",
    "x-javascript",
    "ecmascript",
    "json",
    "x-ndjson",
    "xml",
    "yaml",
    "toml",
    "sql",
    "wasm",
    "vnd.ms-fontobject",
    "x-font-ttf",
];

/// Bodies that are known to be smaller go in one packet anyway.
const MIN_BYTES: u64 = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn told(wish: Wish, verb: Verb, status: u16, head: &str) -> Option<Prepared> {
        let fields = head.lines().map(|line| {
            let (name, value) = line.split_once(": ").expect("a field line");
            (Name::of(name.as_bytes()), name.as_bytes(), value.as_bytes())
        });
        prepare(wish, verb, status, fields, || true)
    }

    fn is_coded(status: u16, head: &str) -> bool {
        let wish = Wish::Coded(ContentCoding::Br);
        told(wish, Verb::of(b"GET"), status, head)
            .is_some_and(|it| it.coding == Some(ContentCoding::Br))
    }

    #[test]
    fn what_is_coded_cut_digested_small_or_no_text_stays_as_it_is() {
        for (status, fields, expected) in [
            (200, "Content-Type: text/html", true),
            (404, "Content-Type: text/html", true),
            (500, "Content-Type: text/html; charset=utf-8\nContent-Length: 1024", true),
            (200, "Content-Type: text/html\nContent-Length: 1023", false),
            (200, "Content-Length: 5000", false),
            (204, "Content-Type: text/html", false),
            (205, "Content-Type: text/html", false),
            (206, "Content-Type: text/html", false),
            (304, "Content-Type: text/html", false),
            (200, "Content-Type: text/html\nContent-Encoding: gzip", false),
            (200, "Content-Type: text/html\nContent-Encoding: identity", false),
            (200, "Content-Type: text/html\nContent-Range: bytes 0-1/2", false),
            (200, "Content-Type: text/html\nRepr-Digest: sha-256=:AA==:", false),
            (200, "Content-Type: text/html\nCache-Control: max-age=1, no-transform", false),
            (200, "Content-Type: text/html\nCache-Control: no-store", true),
        ] {
            assert_eq!(is_coded(status, fields), expected, "{status} {fields}");
        }
    }

    #[test]
    fn text_and_its_like_are_compressed_and_events_and_pictures_are_not() {
        for (media, expected) in [
            ("text/plain", true),
            ("Text/CSS;charset=x", true),
            ("text/event-stream", false),
            ("application/json", true),
            ("application/problem+json", true),
            ("application/atom+xml", true),
            ("application/javascript", true),
            ("application/wasm", true),
            ("application/grpc", false),
            ("application/octet-stream", false),
            ("application/zip", false),
            ("image/svg+xml", true),
            ("image/png", false),
            ("font/ttf", true),
            ("font/woff2", false),
            ("video/mp4", false),
            ("nonsense", false),
        ] {
            assert_eq!(is_coded(200, &format!("Content-Type: {media}")), expected, "{media}");
        }
    }

    #[test]
    fn caches_are_told_and_validators_are_weak() {
        let named = |pairs: &[(std::sync::Arc<str>, std::sync::Arc<str>)]| {
            let pairs = pairs.iter().map(|(name, value)| format!("{name}: {value}"));
            pairs.collect::<Vec<_>>().join(", ")
        };
        let (vary, coded) = ("Vary: Accept-Encoding", "Content-Encoding: br");
        let both = "Content-Encoding: br, ETag: W/\"a\"";
        let (coding, asked) = (Wish::Coded(ContentCoding::Br), Verb::of(b"GET"));
        for (wish, verb, fields, set, add, remove) in [
            (coding, asked, "ETag: \"a\"", both, vary, "Accept-Ranges"),
            (coding, asked, "ETag: W/\"a\"", coded, vary, "Accept-Ranges"),
            (coding, asked, "ETag: a", coded, vary, "Accept-Ranges ETag"),
            (coding, asked, "Vary: Origin, accept-encoding", coded, "", "Accept-Ranges"),
            (coding, asked, "Vary: *", coded, "", "Accept-Ranges"),
            (coding, asked, "Vary: Origin", coded, vary, "Accept-Ranges"),
            (coding, Verb::Head, "ETag: \"a\"", "", vary, ""),
            (Wish::AsItIs, asked, "ETag: \"a\"", "", vary, ""),
        ] {
            let head = format!("Content-Type: text/html\n{fields}");
            let Prepared { modifier, .. } = told(wish, verb, 200, &head).expect("prepared");
            assert_eq!(named(&modifier.set), set, "{fields}");
            assert_eq!(named(&modifier.add), add, "{fields}");
            assert_eq!(modifier.remove.join(" "), remove, "{fields}");
        }
        assert_eq!(told(Wish::Nothing, asked, 200, "Content-Type: text/html"), None);
    }
}
