//! Header fields that are changed.

use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::plane::l7::h1::{Name, Outgoing};
use crate::snapshot::HeaderModifier;

/// Changes the field lines that were written from `start` on: the slow way, for rules that ask
/// for it.
pub(in crate::plane::l7) fn change_section(
    out: &mut Outgoing,
    start: usize,
    modifiers: &[&HeaderModifier],
) {
    if modifiers.is_empty() {
        return;
    }
    let section = out.bytes.split_off(start);
    let mut fields: Vec<_> = lines(&section).collect();
    for modifier in modifiers {
        for (name, value) in &modifier.set {
            if may_change(name) {
                fields.retain(|(known, _)| !known.eq_ignore_ascii_case(name.as_bytes()));
                fields.push((name.as_bytes(), value.as_bytes()));
            }
        }
        let added = modifier.add.iter().filter(|(name, _)| may_change(name));
        fields.extend(added.map(|(name, value)| (name.as_bytes(), value.as_bytes())));
        for name in modifier.remove.iter().filter(|name| may_change(name)) {
            fields.retain(|(known, _)| !known.eq_ignore_ascii_case(name.as_bytes()));
        }
    }
    for (name, value) in fields {
        out.field(name, value);
    }
}

/// Changes the fields of a head that was written already, with what may stand behind it.
pub(in crate::plane::l7) fn change_head(out: &mut Outgoing, modifier: &HeaderModifier) {
    let Some((fields, end)) = section(&out.bytes) else { return };
    let rest = out.bytes.split_off(end);
    change_section(out, fields, &[modifier]);
    out.bytes.extend_from_slice(&rest);
}

/// Where the field lines of a head begin and end.
fn section(head: &[u8]) -> Option<(usize, usize)> {
    let first = memchr::memchr(b'\n', head)?.saturating_add(1);
    let end = memchr::memmem::find(head, b"\r\n\r\n")?.saturating_add(2);
    (first <= end).then_some((first, end))
}

/// Names and values of a head that was written by us.
pub(in crate::plane::l7) fn written(head: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let (first, end) = section(head).unwrap_or_default();
    lines(head.get(first..end).unwrap_or_default())
}

/// Names and values of lines that were written by us.
fn lines(section: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let lines = section.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.filter_map(|line| {
        let colon = memchr::memchr(b':', line)?;
        let (name, value) = line.split_at_checked(colon)?;
        Some((name, value.strip_prefix(b":")?.trim_ascii()))
    })
}

/// The same for fields in a map.
pub(in crate::plane::l7) fn change_map(fields: &mut HeaderMap, modifiers: &[&HeaderModifier]) {
    for modifier in modifiers {
        for (name, value) in modifier.set.iter().filter_map(parsed) {
            fields.insert(name, value);
        }
        for (name, value) in modifier.add.iter().filter_map(parsed) {
            fields.append(name, value);
        }
        for name in modifier.remove.iter().filter(|name| may_change(name)) {
            fields.remove(&**name);
        }
    }
}

fn parsed(
    (name, value): &(std::sync::Arc<str>, std::sync::Arc<str>),
) -> Option<(HeaderName, HeaderValue)> {
    let name = Some(name).filter(|name| may_change(name))?;
    Some((
        HeaderName::from_bytes(name.as_bytes()).ok()?,
        HeaderValue::from_bytes(value.as_bytes()).ok()?,
    ))
}

/// Whether a filter may touch a field: not `Host`, and not what frames a message or belongs to one
/// hop. It may change `X-Forwarded-*`: those who write rules are trusted with their own backends.
pub(in crate::plane::l7) fn may_change(name: &str) -> bool {
    match Name::of(name.as_bytes()) {
        Name::Connection
        | Name::ContentLength
        | Name::HopByHop
        | Name::Host
        | Name::Te
        | Name::TransferEncoding
        | Name::Upgrade => false,
        Name::Cookie
        | Name::Date
        | Name::Expect
        | Name::Forwarded
        | Name::Server
        | Name::Underscore
        | Name::RequestId
        | Name::Other => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modifier(set: &str, add: &str, remove: &str) -> HeaderModifier {
        let pairs = |text: &str| {
            let pairs = text.split_whitespace().filter_map(|pair| pair.split_once('='));
            pairs.map(|(name, value)| (name.into(), value.into())).collect()
        };
        let remove = remove.split_whitespace().map(Into::into).collect();
        HeaderModifier { set: pairs(set), add: pairs(add), remove }
    }

    fn changed(before: &str, modifiers: &[HeaderModifier]) -> String {
        let mut out = Outgoing::new(b"GET / HTTP/1.1\r\nHost: a\r\n".to_vec());
        let start = out.bytes.len();
        out.bytes.extend_from_slice(before.as_bytes());
        change_section(&mut out, start, &modifiers.iter().collect::<Vec<_>>());
        String::from_utf8(out.bytes.split_off(start)).expect("text")
    }

    #[test]
    fn fields_are_set_added_and_removed_whatever_their_case() {
        let before = "X-A: 1\r\nx-a: 2\r\nX-B: 1\r\nX-C: 1\r\n";
        let all = [modifier("x-a=3", "X-B=2", "x-c")];
        assert_eq!(changed(before, &all), "X-B: 1\r\nx-a: 3\r\nX-B: 2\r\n");
        assert_eq!(changed(before, &[]), before);
        let twice = [modifier("x-a=3", "", ""), modifier("", "x-a=4", "x-b x-c")];
        assert_eq!(changed(before, &twice), "x-a: 3\r\nx-a: 4\r\n");
    }

    #[test]
    fn the_compiler_knows_which_fields_stay() {
        let names = "host Content-Length TE keep-alive upgrade transfer-encoding connection \
                     proxy-authorization proxy-authenticate proxy-connection http2-settings \
                     cookie x-a date server x_y x-forwarded-for x-request-id trailer";
        for name in names.split_whitespace() {
            assert_eq!(may_change(name), !HeaderModifier::is_reserved(name), "{name}");
        }
    }

    #[test]
    fn what_frames_a_message_stays() {
        let before = "Content-Length: 1\r\nConnection: close\r\n";
        let all = [modifier("content-length=2 host=b", "transfer-encoding=chunked", "connection")];
        assert_eq!(changed(before, &all), before);
        let mut map = HeaderMap::new();
        map.insert("content-length", HeaderValue::from_static("1"));
        change_map(&mut map, &all.iter().collect::<Vec<_>>());
        assert_eq!(map.len(), 1);
        assert_eq!(map["content-length"], "1");
    }
}
