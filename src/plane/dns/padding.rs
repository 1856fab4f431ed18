//! Padding: who reads only lengths shall not read names from them (RFC 7830, RFC 8467).

use super::records::{OPT, RecordAt, Section, records, u16_at};

/// Whether a query asks for it: its options hold some padding of their own.
pub(super) fn is_asked(query: &[u8]) -> bool {
    let Some(options) = options(query) else { return false };
    let (mut at, end) = (options.data.start, options.data.end);
    while let (Some(code), Some(length)) = (u16_at(query, at), u16_at(query, at + 2))
        && at < end
    {
        if code == PADDING {
            return true;
        }
        at = at + 4 + usize::from(length);
    }
    false
}

/// Pads an answer to the next multiple of [`BLOCK`] bytes (RFC 8467 section 4.1), as far as a message
/// can be so long. One without options stays as it is.
pub(super) fn pad(answer: &mut Vec<u8>) {
    let Some(options) = options(answer).filter(|it| it.data.end == answer.len()) else { return };
    let head = answer.len() + 4;
    let room = usize::from(u16::MAX).saturating_sub(head);
    let padding = (head.next_multiple_of(BLOCK) - head).min(room);
    let length = u16::try_from(options.data.len() + 4 + padding);
    let (Ok(length), true) = (length, head <= usize::from(u16::MAX)) else { return };
    let field = options.data.start - 2..options.data.start;
    let Some(field) = answer.get_mut(field) else { return };
    field.copy_from_slice(&length.to_be_bytes());
    answer.extend(PADDING.to_be_bytes());
    answer.extend(u16::try_from(padding).unwrap_or_default().to_be_bytes());
    answer.resize(answer.len() + padding, 0);
}

fn options(message: &[u8]) -> Option<RecordAt> {
    let is_options = |it: &RecordAt| it.section == Section::Additional && it.record_type == OPT;
    records(message).find(is_options)
}

/// The option's code (RFC 7830 section 3).
const PADDING: u16 = 12;
/// Bytes.
const BLOCK: usize = 468;

#[cfg(test)]
mod tests {
    use hickory_proto::op::{Edns, Message};
    use hickory_proto::rr::RecordType;
    use hickory_proto::rr::rdata::opt::EdnsOption;

    use super::*;
    use crate::plane::dns::tests::{answered, bytes, query};
    use crate::snapshot::Transport;

    /// A query with these options.
    fn with_options(name: &str, options: &[(u16, usize)]) -> Message {
        let mut query = query(name, RecordType::A);
        let mut edns = Edns::new();
        for (code, length) in options {
            edns.options_mut().insert(EdnsOption::Unknown(*code, vec![0; *length]));
        }
        query.set_edns(edns);
        query
    }

    #[test]
    fn who_pads_asks_for_padding() {
        for (options, expected) in [
            (&[][..], false),
            (&[(10, 8)], false),
            (&[(12, 0)], true),
            (&[(12, 100)], true),
            (&[(10, 8), (12, 7)], true),
        ] {
            assert_eq!(is_asked(&bytes(&with_options("web.shop", options))), expected);
        }
        assert!(!is_asked(&bytes(&query("web.shop", RecordType::A))));
        assert!(!is_asked(&[0; 12]));
    }

    #[test]
    fn answers_are_padded_to_whole_blocks() {
        for (name, blocks) in [("web.shop", 1), ("db.shop", 1), ("big.shop", 9), ("nothing", 1)] {
            let query = with_options(name, &[(12, 1)]);
            let mut answer = answered(&query, Transport::Tcp);
            let before = Message::from_vec(&answer).expect("an answer");
            pad(&mut answer);
            assert_eq!(answer.len(), blocks * BLOCK, "{name}");
            let after = Message::from_vec(&answer).expect("an answer");
            assert_eq!(after.answers, before.answers);
            assert_eq!(after.edns.expect("options").options().as_ref().len(), 1);
        }
    }

    #[test]
    fn what_cannot_be_padded_stays_as_it_is() {
        let mut plain = answered(&query("web.shop", RecordType::A), Transport::Tcp);
        let before = plain.clone();
        pad(&mut plain);
        assert_eq!(plain, before);
        let mut longest = answered(&with_options("huge.shop", &[(12, 1)]), Transport::Tcp);
        pad(&mut longest);
        assert!(longest.len() <= usize::from(u16::MAX));
        Message::from_vec(&longest).expect("it must still be a message");
    }
}
