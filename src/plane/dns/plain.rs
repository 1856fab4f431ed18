//! Plain questions: one name of the zone and a type, as nearly every client asks. Their bytes are read
//! and the answer's are written without a message in between; whatever is not plain, in the question
//! or in its answer, is [`answer`](super::answer())'s, which says the same of these (a test asks both).

use std::net::IpAddr;

use super::answer::Answered;
use super::limits::{UDP_ANSWER, largest_answer};
use super::search::wasted;
use super::wire::{EXPIRE, REFRESH, RETRY};
use crate::observe::QueryType;
use crate::snapshot::zone::{Lookup, Outcome, Query, Record, RecordData};
use crate::snapshot::{Snapshot, Transport};

/// Answers a plain question into `out`, whose content it replaces. `None`: it is not plain.
pub(super) fn answer(
    request: &[u8],
    snapshot: &Snapshot,
    from: IpAddr,
    transport: Transport,
    rotate: u64,
    out: &mut Vec<u8>,
) -> Option<Answered> {
    let question = Question::read(request)?;
    let zone = snapshot.synced.then_some(&*snapshot.zone)?;
    let (name, length) = question.text();
    let name = std::str::from_utf8(name.get(..length)?).ok()?;
    let (query, query_type) = match question.query_type {
        A => (Query::A, QueryType::A),
        AAAA => (Query::Aaaa, QueryType::Aaaa),
        _ => return None,
    };
    let lookup = zone.lookup(name, query);
    if lookup.rewritten.is_some() {
        // then the question need not end with the name of the zone
        return None;
    }
    let (rcode, searched) = match &lookup.outcome {
        Outcome::Records(_) | Outcome::NoData => ("NOERROR", None),
        Outcome::NxDomain => match zone.search(from, name) {
            Some(search) if search.is_answered() => return None,
            search => ("NXDOMAIN", search.as_ref().map(wasted)),
        },
        Outcome::OutOfZone => return None,
    };
    let mut answer =
        Writer { question: &question, out: &mut *out, domain: question.place_of(&zone.domain)? };
    answer.header(snapshot.zone.forward.is_on(), &lookup.outcome);
    answer.records(&lookup, name, snapshot.serial, rotate)?;
    answer.options();
    let largest = largest_answer(transport, question.edns.map(|edns| edns.payload));
    (out.len() <= usize::from(largest)).then_some(Answered { query_type, rcode, searched })
}

/// A question with nothing beside it that would need a decision.
struct Question<'m> {
    /// Header and question.
    message: &'m [u8],
    flags: u16,
    /// Labels with their lengths and the final zero.
    name: &'m [u8],
    query_type: u16,
    edns: Option<Edns>,
}

/// What the client says of itself (RFC 6891).
#[derive(Clone, Copy)]
struct Edns {
    payload: u16,
    dnssec_ok: bool,
}

impl<'m> Question<'m> {
    fn read(request: &'m [u8]) -> Option<Self> {
        let (header, body) = request.split_first_chunk::<HEADER>()?;
        let [_, _, high, low, counts @ ..] = header;
        let flags = u16::from_be_bytes([*high, *low]);
        let has_options = match counts {
            [0, 1, 0, 0, 0, 0, 0, additionals @ (0 | 1)] => *additionals == 1,
            _ => return None,
        };
        if flags & !(RECURSION_DESIRED | CHECKING_DISABLED | AUTHENTIC_DATA) != 0 {
            return None;
        }
        let name = body.get(..name_length(body)?)?;
        let (numbers, rest) = body.get(name.len()..)?.split_first_chunk::<4>()?;
        let [high, low, class @ ..] = *numbers;
        let edns = if has_options { Some(Edns::read(rest)?) } else { None };
        let is_plain = class == INTERNET && (has_options || rest.is_empty());
        let message = request.get(..HEADER + name.len() + numbers.len())?;
        let query_type = u16::from_be_bytes([high, low]);
        is_plain.then_some(Self { message, flags, name, query_type, edns })
    }

    /// The name in lower case, with dots between its labels, and how long that is.
    fn text(&self) -> ([u8; LONGEST_NAME], usize) {
        let mut text = [0; LONGEST_NAME];
        let mut rest = self.name;
        let mut length = 0;
        while let Some((&count, after)) = rest.split_first().filter(|(count, _)| **count != 0) {
            let (label, after) = after.split_at_checked(count.into()).unwrap_or_default();
            if let Some(to) = text.get_mut(length..=length + label.len()) {
                for (to, from) in to.iter_mut().zip(label) {
                    *to = from.to_ascii_lowercase();
                }
                if let Some(dot) = to.last_mut() {
                    *dot = b'.';
                }
                length += to.len();
            }
            rest = after;
        }
        (text, length.saturating_sub(1))
    }

    /// Where the zone's own name begins in the message, if the question ends with it.
    fn place_of(&self, domain: &str) -> Option<u16> {
        let start = self.name.len().checked_sub(domain.len() + 2)?;
        u16::try_from(HEADER + start).ok()
    }
}

impl Edns {
    /// Reads one OPT record that ends the message. A cookie needs no decision: we have none to give.
    fn read(record: &[u8]) -> Option<Self> {
        let (fixed, options) = record.split_first_chunk::<11>()?;
        let [0, 0, OPT, payload @ .., _, version, flags, _, high, low] = *fixed else {
            return None;
        };
        let is_whole = usize::from(u16::from_be_bytes([high, low])) == options.len();
        let is_cookie = match options.split_first_chunk::<4>() {
            None => options.is_empty(),
            Some(([0, COOKIE, 0, length], cookie)) => cookie.len() == usize::from(*length),
            Some(_) => false,
        };
        let dnssec_ok = flags & 0x80 != 0;
        let payload = u16::from_be_bytes(payload);
        (version == 0 && is_whole && is_cookie).then_some(Self { payload, dnssec_ok })
    }
}

/// The length of a name with its final zero, if it has only characters that names of the zone have.
fn name_length(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let length = usize::from(*bytes.get(at)?);
        at += 1;
        if length == 0 {
            // the root is no name of ours
            return (at > 1 && at <= LONGEST_NAME).then_some(at);
        }
        let label = bytes.get(at..at + length).filter(|_| length <= LONGEST_LABEL)?;
        let is_ours = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if !label.iter().all(is_ours) {
            return None;
        }
        at += length;
    }
}

struct Writer<'a> {
    question: &'a Question<'a>,
    out: &'a mut Vec<u8>,
    /// Where the zone's name is in the message.
    domain: u16,
}

impl Writer<'_> {
    /// Header and question; the counts follow from the outcome and are filled in with the records.
    fn header(&mut self, recursion: bool, outcome: &Outcome) {
        self.out.clear();
        self.out.extend(self.question.message);
        let kept = self.question.flags & (RECURSION_DESIRED | CHECKING_DISABLED);
        let available = if recursion { RECURSION_AVAILABLE } else { 0 };
        let code = u16::from(*outcome == Outcome::NxDomain) * NX_DOMAIN;
        self.put_at(2, RESPONSE | AUTHORITATIVE | kept | available | code);
        self.put_at(10, 0);
    }

    /// What a plain answer may consist of: addresses of the name itself, or a start of authority.
    fn records(&mut self, lookup: &Lookup, name: &str, serial: u32, rotate: u64) -> Option<()> {
        let Outcome::Records(records) = &lookup.outcome else {
            let authority = lookup.authority.as_ref()?;
            self.put_at(8, 1);
            return self.start_of_authority(authority, serial);
        };
        if !lookup.additional.is_empty() {
            return None;
        }
        self.put_at(6, u16::try_from(records.len()).ok()?);
        let by = usize::try_from(rotate % records.len().max(1) as u64).unwrap_or_default();
        let (first, rest) = records.split_at_checked(by)?;
        rest.iter().chain(first).try_for_each(|record| self.address(record, name))
    }

    fn address(&mut self, record: &Record, name: &str) -> Option<()> {
        let address = record.data.address().filter(|_| *record.name == *name)?;
        self.put(POINTER | HEADER as u16);
        match address {
            IpAddr::V4(ip) => {
                self.fixed(A, record.ttl, 4);
                self.out.extend(ip.octets());
            }
            IpAddr::V6(ip) => {
                self.fixed(AAAA, record.ttl, 16);
                self.out.extend(ip.octets());
            }
        }
        Some(())
    }

    /// `ns.dns.<zone> hostmaster.<zone>`, as [`Zone::lookup`](crate::snapshot::Zone::lookup) has it.
    fn start_of_authority(&mut self, record: &Record, serial: u32) -> Option<()> {
        let RecordData::Soa { primary, mailbox, minimum } = &record.data else { return None };
        let domain = &*record.name;
        let (primary, mailbox) = (below(primary, domain)?, below(mailbox, domain)?);
        self.put(POINTER | self.domain);
        let names = primary.len() + mailbox.len() + 2 * (1 + POINTER_LENGTH);
        self.fixed(SOA, record.ttl, u16::try_from(names + 20).ok()?);
        for labels in [primary, mailbox] {
            for label in labels.split('.') {
                self.out.push(u8::try_from(label.len()).ok()?);
                self.out.extend(label.as_bytes());
            }
            self.put(POINTER | self.domain);
        }
        self.out.extend(serial.to_be_bytes());
        [REFRESH, RETRY, EXPIRE].iter().for_each(|time| self.out.extend(time.to_be_bytes()));
        self.out.extend(minimum.to_be_bytes());
        Some(())
    }

    /// Our half of EDNS, to who has sent theirs.
    fn options(&mut self) {
        let Some(edns) = self.question.edns else { return };
        self.put_at(10, 1);
        let [high, low] = UDP_ANSWER.to_be_bytes();
        let dnssec_ok = u8::from(edns.dnssec_ok) << 7;
        self.out.extend([0, 0, OPT, high, low, 0, 0, dnssec_ok, 0, 0, 0]);
    }

    /// Type, class, time to live and length of data.
    fn fixed(&mut self, record_type: u16, ttl: u32, length: u16) {
        self.put(record_type);
        self.out.extend(INTERNET);
        self.out.extend(ttl.to_be_bytes());
        self.put(length);
    }

    fn put(&mut self, number: u16) {
        self.out.extend(number.to_be_bytes());
    }

    fn put_at(&mut self, place: usize, number: u16) {
        if let Some(to) = self.out.get_mut(place..place + 2) {
            to.copy_from_slice(&number.to_be_bytes());
        }
    }
}

/// The labels of a name before those of a domain that it is in.
fn below<'n>(name: &'n str, domain: &str) -> Option<&'n str> {
    name.strip_suffix(domain)?.strip_suffix('.')
}

/// Bytes before the question (RFC 1035 section 4.1.1).
const HEADER: usize = 12;
const RESPONSE: u16 = 0x8000;
const AUTHORITATIVE: u16 = 0x0400;
const RECURSION_DESIRED: u16 = 0x0100;
const RECURSION_AVAILABLE: u16 = 0x0080;
const AUTHENTIC_DATA: u16 = 0x0020;
const CHECKING_DISABLED: u16 = 0x0010;
const NX_DOMAIN: u16 = 3;

const A: u16 = 1;
const SOA: u16 = 6;
const AAAA: u16 = 28;
const OPT: u8 = 41;
const INTERNET: [u8; 2] = [0, 1];
/// The option of RFC 7873.
const COOKIE: u8 = 10;

/// To an earlier place in the message, in the low bits (RFC 1035 section 4.1.4).
const POINTER: u16 = 0xc000;
const POINTER_LENGTH: usize = 2;

/// With the final zero (RFC 1035 section 2.3.4).
const LONGEST_NAME: usize = 255;
const LONGEST_LABEL: usize = 63;
