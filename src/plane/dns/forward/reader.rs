//! Reads the bytes of a message. Every step may find that they end.

use super::query::HEADER;

/// A place in a message, which moves as it is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'m> {
    message: &'m [u8],
    at: usize,
}

impl<'m> Reader<'m> {
    pub(super) fn new(message: &'m [u8], at: usize) -> Self {
        Self { message, at }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn bytes(&mut self, count: usize) -> Option<&'m [u8]> {
        let end = self.at.checked_add(count)?;
        let bytes = self.message.get(self.at..end)?;
        self.at = end;
        Some(bytes)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        let bytes = self.bytes(2)?;
        Some(u16::from_be_bytes(bytes.try_into().ok()?))
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        let bytes = self.bytes(4)?;
        Some(u32::from_be_bytes(bytes.try_into().ok()?))
    }

    /// A name, uncompressed and lower-case, with the lengths of its labels and the final zero.
    /// Pointers go backwards only (RFC 1035 section 4.1.4: to a prior occurrence), so they end; and not
    /// into the header, which changes from client to client.
    pub(super) fn name(&mut self) -> Option<Vec<u8>> {
        let mut name = Vec::new();
        let mut reader = *self;
        let mut end = None;
        let mut start = self.at;
        loop {
            let length = *reader.bytes(1)?.first()?;
            match length {
                0 => break,
                1..=63 => {
                    name.push(length);
                    name.extend(reader.bytes(length.into())?.iter().map(u8::to_ascii_lowercase));
                }
                0xc0.. => {
                    let low = *reader.bytes(1)?.first()?;
                    end.get_or_insert(reader.at);
                    let target = usize::from(u16::from_be_bytes([length & 0x3f, low]));
                    if target >= start || target < HEADER {
                        return None;
                    }
                    (start, reader.at) = (target, target);
                }
                64..0xc0 => return None,
            }
            if name.len() > LONGEST_NAME {
                return None;
            }
        }
        name.push(0);
        self.at = end.unwrap_or(reader.at);
        Some(name)
    }
}

/// Whether a name is another or below it; both as [`Reader::name`] gives them.
pub(super) fn is_at_or_below(name: &[u8], ancestor: &[u8]) -> bool {
    let mut rest = name;
    loop {
        if rest == ancestor {
            return true;
        }
        let Some((length, labels)) = rest.split_first() else { return false };
        let Some(parent) = labels.get(usize::from(*length)..) else { return false };
        rest = parent;
    }
}

/// Without the final zero (RFC 1035 section 2.3.4).
const LONGEST_NAME: usize = 254;

#[cfg(test)]
mod tests {
    use super::*;

    /// What stands behind a header, which begins at 12.
    fn behind_header(bytes: &[u8]) -> Vec<u8> {
        [&[0; HEADER], bytes].concat()
    }

    #[test]
    fn names_are_read_with_and_without_pointers() {
        // at 12: "b."; at 15: "A.b."; at 19: the same, by two pointers
        let message = behind_header(b"\x01b\0\x01A\xc0\x0c\xc0\x0f\xff");
        for (at, expected, end) in
            [(12, &b"\x01b\0"[..], 15), (15, b"\x01a\x01b\0", 19), (19, b"\x01a\x01b\0", 21)]
        {
            let mut reader = Reader::new(&message, at);
            assert_eq!(reader.name().as_deref(), Some(expected), "{at}");
            assert_eq!(reader.at(), end, "{at}");
        }
    }

    #[test]
    fn names_that_end_nowhere_are_none() {
        let long = [[63; 64].as_slice(), &[63; 64], &[63; 64], &[63; 64], &[0]].concat();
        let rows: [&[u8]; 10] = [
            b"",
            b"\x01",
            b"\x02a",
            b"\xc0",
            b"\xc0\x0c",
            b"\x01a\xc0\x0c",
            b"\x40a\0",
            &long,
            // forwards, and into the header
            b"\xc0\x0e\0",
            b"\xc0\x0b",
        ];
        for row in rows {
            assert_eq!(Reader::new(&behind_header(row), HEADER).name(), None, "{row:?}");
        }
    }

    #[test]
    fn a_name_is_below_its_parents_and_no_other() {
        let name = b"\x01a\x02bc\x01d\0";
        for ancestor in [&name[..], b"\x02bc\x01d\0", b"\x01d\0", b"\0"] {
            assert!(is_at_or_below(name, ancestor), "{ancestor:?}");
        }
        for other in [&b"\x01c\x01d\0"[..], b"\x01a\0"] {
            assert!(!is_at_or_below(name, other), "{other:?}");
        }
    }
}
