//! Which coding a client gets (RFC 9110 section 12.5.3).

use crate::plane::l7::h1::Name;
use crate::snapshot::{ContentCoding, ContentCodings};

/// What becomes of the response to a request, as far as the request decides it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::plane::l7) enum Wish {
    /// The Service allows no coding: nobody has asked what the client accepts.
    #[default]
    Nothing,
    /// The response depends on what clients accept, and this one gets it as it is.
    AsItIs,
    /// It is to be coded.
    Coded(ContentCoding),
}

impl Wish {
    /// Reads the fields of a request, where there is something to choose from.
    pub(in crate::plane::l7) fn of<'a>(
        codings: ContentCodings,
        fields: impl Iterator<Item = (Name, &'a [u8], &'a [u8])>,
    ) -> Self {
        if codings.is_empty() {
            return Self::Nothing;
        }
        let mut accepted = Accepted::default();
        for (_, name, value) in fields {
            if name.eq_ignore_ascii_case(b"accept-encoding") {
                elements(value).for_each(|element| accepted.read(element));
            } else if name.eq_ignore_ascii_case(b"cache-control") && forbids_transformation(value) {
                return Self::AsItIs;
            }
        }
        accepted.best(codings).map_or(Self::AsItIs, Self::Coded)
    }
}

/// Whether `Cache-Control` says `no-transform`.
pub(super) fn forbids_transformation(value: &[u8]) -> bool {
    elements(value).any(|directive| directive.eq_ignore_ascii_case(b"no-transform"))
}

/// Weights in thousandths, of what is named.
#[derive(Debug, Default)]
struct Accepted {
    zstd: Option<u16>,
    br: Option<u16>,
    gzip: Option<u16>,
    identity: Option<u16>,
    any: Option<u16>,
}

impl Accepted {
    /// Reads `gzip;q=0.5`; what is not of this grammar says nothing.
    fn read(&mut self, element: &[u8]) {
        let mut parts = element.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        let weight = match parts.next() {
            None => Some(1000),
            Some(parameter) => weight(parameter).filter(|_| parts.next().is_none()),
        };
        let Some(weight) = weight else { return };
        let place = match &*name {
            b"zstd" => &mut self.zstd,
            b"br" => &mut self.br,
            b"gzip" | b"x-gzip" => &mut self.gzip,
            b"identity" => &mut self.identity,
            b"*" => &mut self.any,
            _ => return,
        };
        *place = Some(place.unwrap_or_default().max(weight));
    }

    /// The coding of the greatest weight, of two the one that the Service prefers; none if the
    /// client would rather have the response as it is.
    fn best(&self, codings: ContentCodings) -> Option<ContentCoding> {
        let mut best = None;
        for coding in codings.iter() {
            let weight = self.weight(coding);
            if weight > best.map_or(0, |(weight, _)| weight) {
                best = Some((weight, coding));
            }
        }
        let (weight, coding) = best?;
        (weight >= self.identity.unwrap_or_default()).then_some(coding)
    }

    fn weight(&self, coding: ContentCoding) -> u16 {
        let named = match coding {
            ContentCoding::Zstd => self.zstd,
            ContentCoding::Br => self.br,
            ContentCoding::Gzip => self.gzip,
        };
        named.or(self.any).unwrap_or_default()
    }
}

/// `q=0.123`, in thousandths (RFC 9110 section 12.4.2).
fn weight(parameter: &[u8]) -> Option<u16> {
    let (name, value) = parameter.split_at_checked(2)?;
    if !name.eq_ignore_ascii_case(b"q=") {
        return None;
    }
    let (whole, rest) = value.split_first()?;
    let fraction = match rest {
        [] => &[],
        [b'.', fraction @ ..] => fraction,
        _ => return None,
    };
    if fraction.len() > 3 || !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digit = |place: usize| fraction.get(place).map_or(0, |digit| u16::from(*digit & 15));
    let thousandths = digit(0) * 100 + digit(1) * 10 + digit(2);
    match whole {
        b'0' => Some(thousandths),
        b'1' if thousandths == 0 => Some(1000),
        _ => None,
    }
}

/// The elements of a list (RFC 9110 section 5.6.1).
fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wish(allowed: &str, lines: &[&str]) -> Wish {
        let codings = allowed.parse().expect("codings");
        let fields = lines.iter().map(|line| {
            let (name, value) = line.split_once(": ").expect("a field line");
            (Name::of(name.as_bytes()), name.as_bytes(), value.as_bytes())
        });
        Wish::of(codings, fields)
    }

    #[test]
    fn the_heaviest_coding_wins_and_of_two_the_one_that_is_preferred_here() {
        for (allowed, accepted, expected) in [
            ("on", "gzip, deflate, br, zstd", "zstd"),
            ("gzip,br,zstd", "gzip, deflate, br, zstd", "gzip"),
            ("on", "gzip", "gzip"),
            ("on", "GZip", "gzip"),
            ("on", "x-gzip", "gzip"),
            ("on", "br;q=0.5, gzip;q=0.8", "gzip"),
            ("on", "br;q=0.800, gzip;q=0.8", "br"),
            ("on", "br; q=0.1 , gzip ;Q=0.09", "br"),
            ("br", "gzip, zstd", ""),
            ("on", "*", "zstd"),
            ("on", "*;q=0.1, br", "br"),
            ("on", "zstd;q=0, *", "br"),
            ("on", "*;q=0", ""),
            ("on", "gzip;q=0", ""),
            ("on", "gzip;q=0.001", "gzip"),
            ("on", "identity", ""),
            ("on", "identity, gzip;q=0.5", ""),
            ("on", "identity;q=0.5, gzip", "gzip"),
            ("on", "identity;q=0, gzip;q=0.1", "gzip"),
            ("on", "gzip, identity", "gzip"),
            ("on", "deflate, compress", ""),
            ("on", "", ""),
            ("on", ",, ,gzip,", "gzip"),
            // malformed elements say nothing
            ("on", "gzip;q=1.5, br;q=2", ""),
            ("on", "gzip;q=0.1234", ""),
            ("on", "gzip;q=", ""),
            ("on", "gzip;level=9", ""),
            ("on", "gzip;q=1;q=0", ""),
            ("on", "gzip;q=1.000, br;q=-1", "gzip"),
        ] {
            let expected = match expected {
                "" => Wish::AsItIs,
                _ => Wish::Coded(
                    ContentCodings::ALL.iter().find(|it| it.as_str() == expected).expect("one"),
                ),
            };
            let line = format!("Accept-Encoding: {accepted}");
            assert_eq!(wish(allowed, &[&line]), expected, "{allowed}: {accepted:?}");
        }
    }

    #[test]
    fn several_fields_are_one_list_and_none_accepts_nothing() {
        let two = ["accept-encoding: gzip;q=0.3", "Host: a", "ACCEPT-ENCODING: br"];
        assert_eq!(wish("on", &two), Wish::Coded(ContentCoding::Br));
        assert_eq!(wish("on", &["Host: a"]), Wish::AsItIs);
        assert_eq!(wish("off", &two), Wish::Nothing);
    }

    #[test]
    fn a_client_may_forbid_what_transforms() {
        for (control, expected) in [
            ("no-transform", Wish::AsItIs),
            ("max-age=0, No-Transform", Wish::AsItIs),
            ("no-cache", Wish::Coded(ContentCoding::Gzip)),
        ] {
            let control = format!("Cache-Control: {control}");
            assert_eq!(wish("on", &["Accept-Encoding: gzip", &control]), expected, "{control}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_is_allowed_and_not_refused(
            value in "[gzipbrstd*identyq=;,0-9. ]{0,40}",
        ) {
            let codings = "gzip,br".parse().expect("codings");
            let field = (Name::Other, &b"accept-encoding"[..], value.as_bytes());
            let wish = Wish::of(codings, [field].into_iter());
            prop_assert_ne!(wish, Wish::Nothing);
            if let Wish::Coded(coding) = wish {
                prop_assert!(codings.iter().any(|it| it == coding));
                prop_assert!(value.contains(coding.as_str()) || value.contains('*'));
            }
        }
    }
}
