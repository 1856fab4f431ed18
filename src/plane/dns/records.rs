//! Where the parts of a message are, without decoding them: for what is done to whole messages.

use std::ops::Range;

/// Which part of a message a record stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    Answer,
    Authority,
    Additional,
}

/// A record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RecordAt {
    pub(super) section: Section,
    pub(super) record_type: u16,
    /// Time to live, in seconds; of OPT something else.
    pub(super) ttl: u32,
    /// Where its data is. The length stands in the two bytes before.
    pub(super) data: Range<usize>,
}

/// Every record that can be read: it ends where one cannot.
pub(super) fn records(message: &[u8]) -> impl Iterator<Item = RecordAt> {
    let mut at = end_of_questions(message);
    let sections = [(6, Section::Answer), (8, Section::Authority), (10, Section::Additional)];
    let sections = sections.into_iter().flat_map(|(place, section)| {
        let count = u16_at(message, place).unwrap_or_default();
        std::iter::repeat_n(section, count.into())
    });
    sections.map_while(move |section| {
        let fields = end_of_name(message, at?)?;
        let start = fields.checked_add(10)?;
        let end = start.checked_add(u16_at(message, fields.checked_add(8)?)?.into())?;
        let record = RecordAt {
            section,
            record_type: u16_at(message, fields)?,
            ttl: u32::from_be_bytes(*message.get(fields.checked_add(4)?..)?.first_chunk()?),
            data: start..end,
        };
        message.get(start..end)?;
        at = Some(end);
        Some(record)
    })
}

/// Where the first record would begin. `None`: the message is cut short before.
pub(super) fn end_of_questions(message: &[u8]) -> Option<usize> {
    let count = u16_at(message, 4)?;
    let question = |at| end_of_name(message, at)?.checked_add(4);
    let end = (0..count).try_fold(HEADER, |at, _| question(at).filter(|it| *it <= message.len()));
    end.filter(|end| *end <= message.len())
}

/// Labels up to the final zero or a pointer (RFC 1035 section 4.1.4).
fn end_of_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *message.get(at)? {
            0 => return at.checked_add(1),
            length @ 1..=63 => at = at.checked_add(1)?.checked_add(length.into())?,
            0xc0.. => return at.checked_add(2),
            64..0xc0 => return None,
        }
    }
}

pub(super) fn u16_at(message: &[u8], at: usize) -> Option<u16> {
    message.get(at..)?.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
}

/// Bytes before the questions (RFC 1035 section 4.1.1).
pub(super) const HEADER: usize = 12;
/// The record types that matter here.
pub(super) const SOA: u16 = 6;
pub(super) const OPT: u16 = 41;

#[cfg(test)]
mod tests {
    use hickory_proto::rr::RecordType;

    use super::*;
    use crate::plane::dns::tests::{answered, query};
    use crate::snapshot::Transport;

    #[test]
    fn every_record_of_an_answer_is_found() {
        let message = answered(&query("db.shop", RecordType::SRV), Transport::Tcp);
        let found: Vec<_> = records(&message).map(|it| (it.section, it.record_type)).collect();
        let srv = (Section::Answer, 33);
        let a = (Section::Additional, 1);
        assert_eq!(found, [srv, srv, srv, a, a, a]);
        assert_eq!(records(&message).last().expect("a record").data.end, message.len());
    }

    #[test]
    fn any_bytes_can_be_looked_at() {
        let message = answered(&query("db.shop", RecordType::SRV), Transport::Tcp);
        for length in 0..message.len() {
            assert!(records(&message[..length]).count() < 6, "{length}");
            for value in [0, 63, 64, 0xbf, 0xff] {
                let mut broken = message.clone();
                broken[length] = value;
                for record in records(&broken) {
                    assert!(record.data.end <= broken.len());
                }
            }
        }
    }
}
