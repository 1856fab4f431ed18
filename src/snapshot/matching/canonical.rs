//! The one form of a path that every matcher sees.

use std::borrow::Cow;

/// A path that could be read in two ways, so that no rule may be chosen by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Not absolute, or with bytes that a path cannot have.
    #[error("not a path")]
    Malformed,
    /// `%` without two digits.
    #[error("bad percent-encoding")]
    Encoding,
    /// An encoded slash, backslash or NUL, or a plain backslash: some decode it, some do not.
    #[error("ambiguous separator")]
    Separator,
    /// `..;`, which servlet containers read as `..`.
    #[error("dot segment with a parameter")]
    DotSegment,
}

/// The canonical form of a request path (without query): encoded unreserved characters decoded,
/// hexadecimal digits in upper case, dot segments resolved (RFC 3986 section 6.2.2), and runs of
/// slashes made one.
///
/// What was matched is also what goes to the backend, so that nobody can be led past a rule by a
/// spelling that the backend reads differently. A path that is canonical already (nearly every
/// one) is borrowed. Canonicalising twice changes nothing.
pub fn canonical_path(path: &str) -> Result<Cow<'_, str>, PathError> {
    if !path.starts_with('/') {
        return Err(PathError::Malformed);
    }
    if is_plain(path)? {
        return Ok(Cow::Borrowed(path));
    }
    let mut segments = Vec::new();
    let mut directory = false;
    for segment in path.split('/') {
        let segment = decode(segment)?;
        directory = matches!(&*segment, "" | "." | "..");
        match &*segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            dots if dots.starts_with("..;") || dots.starts_with(".;") => {
                return Err(PathError::DotSegment);
            }
            _ => segments.push(segment),
        }
    }
    let mut canonical = String::with_capacity(path.len());
    for segment in &segments {
        canonical.push('/');
        canonical.push_str(segment);
    }
    if directory || canonical.is_empty() {
        canonical.push('/');
    }
    Ok(Cow::Owned(canonical))
}

/// Whether there is nothing to change. Errors are found by the slow way, but for bytes that no
/// path may have.
fn is_plain(path: &str) -> Result<bool, PathError> {
    let mut plain = true;
    let mut before = 0;
    for byte in path.bytes() {
        match byte {
            b'%' | b'\\' => plain = false,
            b'/' | b'.' if before == b'/' => plain = false,
            b'!'..=b'~' if !matches!(byte, b'#' | b'?' | b'"' | b'<' | b'>') => {}
            _ => return Err(PathError::Malformed),
        }
        before = byte;
    }
    Ok(plain)
}

/// Decodes what need not be encoded, and normalises the rest.
fn decode(segment: &str) -> Result<Cow<'_, str>, PathError> {
    if segment.contains('\\') {
        return Err(PathError::Separator);
    }
    let Some((start, _)) = segment.split_once('%') else { return Ok(Cow::Borrowed(segment)) };
    let mut decoded = String::from(start);
    let mut rest = segment.get(start.len()..).unwrap_or_default();
    while let Some(encoded) = rest.strip_prefix('%') {
        let digits =
            encoded.get(..2).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        let digits = digits.ok_or(PathError::Encoding)?;
        let byte = u8::from_str_radix(digits, 16).map_err(|_| PathError::Encoding)?;
        match byte {
            0 | b'/' | b'\\' => return Err(PathError::Separator),
            b'-' | b'.' | b'_' | b'~' => decoded.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => decoded.push(char::from(byte)),
            _ => {
                decoded.push('%');
                decoded.push_str(&digits.to_ascii_uppercase());
            }
        }
        let after = encoded.get(2..).unwrap_or_default();
        let plain = after.find('%').unwrap_or(after.len());
        let (plain, next) = after.split_at(plain);
        decoded.push_str(plain);
        rest = next;
    }
    Ok(Cow::Owned(decoded))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_path_has_one_canonical_form() {
        let rows = [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a/b/", "/a/b/"),
            ("//a///b", "/a/b"),
            ("/a/./b", "/a/b"),
            ("/a/../b", "/b"),
            ("/a/..", "/"),
            ("/a/.", "/a/"),
            ("/../../a", "/a"),
            ("/%61dmin", "/admin"),
            ("/a/%2e%2E/b", "/b"),
            ("/caf%c3%a9", "/caf%C3%A9"),
            ("/a%20b", "/a%20b"),
            ("/.well-known/x", "/.well-known/x"),
            ("/a/..b/c", "/a/..b/c"),
            ("/a;v=1/b", "/a;v=1/b"),
        ];
        for (path, expected) in rows {
            assert_eq!(canonical_path(path).as_deref(), Ok(expected), "{path}");
        }
    }

    #[test]
    fn a_path_that_can_be_read_in_two_ways_is_refused() {
        let rows = [
            ("a", PathError::Malformed),
            ("", PathError::Malformed),
            ("/a b", PathError::Malformed),
            ("/a#b", PathError::Malformed),
            ("/é", PathError::Malformed),
            ("/a%2fb", PathError::Separator),
            ("/a%2Fb", PathError::Separator),
            ("/a%5cb", PathError::Separator),
            ("/a\\b", PathError::Separator),
            ("/a%00", PathError::Separator),
            ("/a%", PathError::Encoding),
            ("/a%4", PathError::Encoding),
            ("/a%zz", PathError::Encoding),
            ("/a%+1", PathError::Encoding),
            ("/a/..;/b", PathError::DotSegment),
            ("/a/%2e.;x/b", PathError::DotSegment),
        ];
        for (path, expected) in rows {
            assert_eq!(canonical_path(path), Err(expected), "{path}");
        }
    }

    proptest! {
        #[test]
        fn canonicalising_twice_changes_nothing(path in "/[a-z./%256eE2fF;\\\\ -]{0,40}") {
            if let Ok(once) = canonical_path(&path) {
                let twice = canonical_path(&once);
                prop_assert_eq!(twice.as_deref(), Ok(&*once));
            }
        }
    }
}
