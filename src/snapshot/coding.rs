//! In which codings responses may be sent.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// A content coding (RFC 9110 section 8.4.1; `br`: RFC 7932; `zstd`: RFC 9659).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ContentCoding {
    /// Zstandard.
    Zstd,
    /// Brotli.
    Br,
    /// DEFLATE as gzip has it.
    Gzip,
}

impl ContentCoding {
    /// As `Content-Encoding` names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Br => "br",
            Self::Gzip => "gzip",
        }
    }
}

impl fmt::Display for ContentCoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The codings in which the responses of a Service may be sent, the preferred one first. None by
/// default: what is compressed tells its length, and with it what it has in common with what an
/// attacker made a browser send (BREACH).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ContentCodings([Option<ContentCoding>; 3]);

impl ContentCodings {
    /// All of them: Zstandard first, which costs least a byte saved.
    pub const ALL: Self =
        Self([Some(ContentCoding::Zstd), Some(ContentCoding::Br), Some(ContentCoding::Gzip)]);

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// The codings, the preferred one first.
    pub fn iter(&self) -> impl Iterator<Item = ContentCoding> {
        self.0.into_iter().flatten()
    }
}

/// `on`, `off`, or names with commas between them.
impl FromStr for ContentCodings {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "on" => return Ok(Self::ALL),
            "off" => return Ok(Self::default()),
            _ => {}
        }
        let mut codings = Self::default();
        for name in text.split(',').map(str::trim) {
            let coding = Self::ALL.iter().find(|coding| coding.as_str() == name);
            let coding = coding.ok_or_else(|| {
                format!("{text:?} is none of on, off, and a list of gzip, br and zstd")
            })?;
            if codings.iter().any(|known| known == coding) {
                return Err(format!("{text:?} names {name} twice"));
            }
            if let Some(free) = codings.0.iter_mut().find(|place| place.is_none()) {
                *free = Some(coding);
            }
        }
        Ok(codings)
    }
}

/// As it is parsed.
impl fmt::Display for ContentCodings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("off");
        }
        for (place, coding) in self.iter().enumerate() {
            write!(f, "{}{coding}", if place == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codings_are_written_as_they_are_read() {
        for (text, expected) in [
            ("on", Some("zstd,br,gzip")),
            ("off", Some("off")),
            ("gzip", Some("gzip")),
            ("gzip, br", Some("gzip,br")),
            ("br,zstd,gzip", Some("br,zstd,gzip")),
            ("gzip,gzip", None),
            ("deflate", None),
            ("on,gzip", None),
            ("", None),
        ] {
            let read = text.parse::<ContentCodings>().ok();
            assert_eq!(read.map(|codings| codings.to_string()).as_deref(), expected, "{text}");
        }
    }
}
