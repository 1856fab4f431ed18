//! A question to an upstream.

use aws_lc_rs::rand;

use crate::plane::dns::limits::UDP_ANSWER;

/// What a client asked, as far as it matters to an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::plane::dns) struct Asked {
    /// As on the wire, in the case of the client, with the final zero.
    pub(in crate::plane::dns) name: Vec<u8>,
    pub(in crate::plane::dns) query_type: u16,
    /// Whether signatures are wanted (DO, RFC 3225).
    pub(in crate::plane::dns) dnssec_ok: bool,
    /// Whether the upstream is to check none (CD).
    pub(in crate::plane::dns) checking_disabled: bool,
}

impl Asked {
    /// What has the same answer has the same key.
    pub(super) fn key(&self) -> Box<[u8]> {
        let mut key = self.name.to_ascii_lowercase();
        key.extend(self.query_type.to_be_bytes());
        key.push(u8::from(self.dnssec_ok) << 1 | u8::from(self.checking_disabled));
        key.into()
    }
}

/// A query as it is sent to an upstream, once.
#[derive(Clone, Debug)]
pub(super) struct Query {
    pub(super) bytes: Vec<u8>,
    /// Where the question ends: the options are behind it.
    end_of_question: usize,
}

impl Query {
    /// Draws an id, and the case of every letter (draft-vixie-dnsext-dns0x20): with the source port
    /// they are what somebody who does not see the query would have to guess.
    pub(super) fn new(asked: &Asked) -> Self {
        let drawn = draw::<{ 2 + 32 }>();
        let (id, cases) = drawn.split_at(2);
        let mut bytes = Vec::with_capacity(HEADER + asked.name.len() + 4 + OPTIONS);
        bytes.extend(id);
        let flags = RECURSION_DESIRED | if asked.checking_disabled { CHECKING_DISABLED } else { 0 };
        // one question, no answers, no authorities, one additional record
        [flags, 1, 0, 0, 1].iter().for_each(|number| bytes.extend(number.to_be_bytes()));
        let bits = cases.iter().flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1 == 1));
        let name = asked.name.iter().zip(bits.chain(std::iter::repeat(false)));
        // a length is below 64, so it is no letter
        bytes.extend(name.map(|(byte, is_upper)| {
            if is_upper { byte.to_ascii_uppercase() } else { byte.to_ascii_lowercase() }
        }));
        bytes.extend(asked.query_type.to_be_bytes());
        bytes.extend(INTERNET.to_be_bytes());
        let end_of_question = bytes.len();
        options(&mut bytes, asked.dnssec_ok);
        Self { bytes, end_of_question }
    }

    pub(super) fn id(&self) -> &[u8] {
        self.bytes.get(..2).unwrap_or_default()
    }

    /// Name, type and class, as sent.
    pub(super) fn question(&self) -> &[u8] {
        self.bytes.get(HEADER..self.end_of_question).unwrap_or_default()
    }
}

/// Bytes that nobody can guess. The generator fails only where the whole process is broken.
pub(super) fn draw<const BYTES: usize>() -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    if rand::fill(&mut bytes).is_err() {
        tracing::error!("no randomness for DNS queries");
    }
    bytes
}

/// An OPT record without options (RFC 6891 section 6.1.2).
pub(super) fn options(out: &mut Vec<u8>, dnssec_ok: bool) {
    let flags = if dnssec_ok { DNSSEC_OK } else { 0 };
    out.push(0);
    out.extend(OPT.to_be_bytes());
    out.extend(UDP_ANSWER.to_be_bytes());
    out.extend(flags.to_be_bytes());
    out.extend(0u16.to_be_bytes());
}

/// Bytes before the question (RFC 1035 section 4.1.1).
pub(super) const HEADER: usize = 12;
/// Bytes of an OPT record.
const OPTIONS: usize = 11;
pub(super) const OPT: u16 = 41;
const INTERNET: u16 = 1;
pub(super) const RECURSION_DESIRED: u16 = 0x0100;
pub(super) const CHECKING_DISABLED: u16 = 0x0010;
const DNSSEC_OK: u32 = 0x8000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_query_has_an_id_and_a_case_of_its_own() {
        let name = [b"\x20".as_slice(), &[b'a'; 32], b"\x03org\0"].concat();
        let asked = Asked { name, query_type: 1, dnssec_ok: true, checking_disabled: false };
        let queries: Vec<Query> = (0..50).map(|_| Query::new(&asked)).collect();
        let ids: std::collections::BTreeSet<&[u8]> = queries.iter().map(Query::id).collect();
        let names: std::collections::BTreeSet<&[u8]> =
            queries.iter().map(Query::question).collect();
        assert!(ids.len() > 45, "{}", ids.len());
        assert_eq!(names.len(), 50);
        let lower = |query: &Query| query.question().to_ascii_lowercase();
        assert!(
            queries.iter().all(|query| lower(query) == [&asked.name[..], &[0, 1, 0, 1]].concat())
        );
    }

    #[test]
    fn what_has_the_same_answer_has_the_same_key() {
        let asked = |name: &[u8], query_type| Asked {
            name: name.to_vec(),
            query_type,
            dnssec_ok: false,
            checking_disabled: false,
        };
        let one = asked(b"\x01a\0", 1);
        assert_eq!(one.key(), asked(b"\x01A\0", 1).key());
        assert_ne!(one.key(), asked(b"\x01a\0", 28).key());
        assert_ne!(one.key(), Asked { dnssec_ok: true, ..one.clone() }.key());
        let key = one.key();
        assert_ne!(key, Asked { checking_disabled: true, ..one }.key());
    }
}
