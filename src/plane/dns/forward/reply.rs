//! Checks the message of an upstream, and finds what changes in it from client to client.

use super::query::{HEADER, OPT, Query};
use super::reader::{Reader, is_at_or_below};
use crate::snapshot::CachePolicy;

/// A good answer of an upstream: header, question, answers and authorities. Additional records are
/// left out: nobody vouches for them, and who needs them asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) bytes: Box<[u8]>,
    /// Length of the question's name.
    pub(super) name: usize,
    /// Where owners are that repeat it: the case in which it was asked is not the client's.
    pub(super) owners: Box<[u16]>,
    /// Where the times to live are.
    pub(super) ttls: Box<[u16]>,
    /// Where the addresses that were asked for are, each of `address` bytes.
    pub(super) addresses: Box<[u16]>,
    /// 4 or 16; 0 if no addresses were asked for.
    pub(super) address: usize,
    /// The response code, without extension.
    pub(super) rcode: u8,
    /// Whether something of the type that was asked for is there.
    pub(super) is_positive: bool,
    /// How long it is good for, in seconds; 0: not to be remembered.
    pub(super) ttl: u32,
    /// Clients are shown no shorter time to live, in seconds.
    pub(super) shortest: u32,
    /// Clients are shown no longer time to live, in seconds.
    pub(super) longest: u32,
}

/// Why a message is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rejected {
    /// Not to this query: the true answer may still come.
    NotOurs,
    /// There is more over TCP; also where the case of the name was not kept, so that only the id
    /// and the port tell that it is no forgery.
    Truncated,
    /// Unreadable, or about names that were not asked for.
    Lying,
}

impl Reply {
    /// Whether the upstream could not or would not answer: another may.
    pub(super) fn is_failure(&self) -> bool {
        !matches!(self.rcode, NO_ERROR | NX_DOMAIN)
    }

    /// Reads the answer to a query. `is_stream`: over TCP, where nobody guesses.
    pub(super) fn read(message: &[u8], query: &Query, is_stream: bool) -> Result<Self, Rejected> {
        let flags = check(message, query, is_stream)?;
        let rcode = u8::try_from(flags & 0xf).unwrap_or_default();
        let question = query.question();
        let name = question.len().saturating_sub(4);
        let query_type = Reader::new(question, name).u16().unwrap_or_default();
        let body = Body::read(message, HEADER + question.len()).ok_or(Rejected::Lying)?;
        let asked = Reader::new(question, 0).name().ok_or(Rejected::Lying)?;
        if body.extended_rcode != 0 || !body.is_about(&asked) {
            return Err(Rejected::Lying);
        }
        if !body.keeps_its_names(message, HEADER + question.len(), query_type) {
            return Err(Rejected::Lying);
        }
        let is_wanted = |record: &&Record| record.record_type == query_type;
        let address = match query_type {
            A => 4,
            AAAA => 16,
            _ => 0,
        };
        let is_address = |record: &&Record| is_wanted(record) && record.length == address;
        let addresses = body.answers.iter().filter(is_address).map(|record| record.data);
        let records = body.records();
        let is_positive = rcode == NO_ERROR && body.answers.iter().any(|it| is_wanted(&it));
        let repeats = |record: &&Record| record.owner == asked;
        let owners = body.answers.iter().filter(repeats).map(|record| record.at);
        Ok(Self {
            bytes: without_additionals(message.get(..body.end).unwrap_or_default()),
            name,
            owners: owners.collect(),
            ttls: records.map(|record| record.ttl_at).collect(),
            addresses: addresses.collect(),
            address: usize::from(address),
            rcode,
            is_positive,
            ttl: body.ttl(rcode, is_positive),
            shortest: 0,
            longest: u32::MAX,
        })
    }

    /// Sets how long it is good for; without a policy it is not remembered. What a denial says of
    /// that is no less than the least only if it says something: without an SOA nobody knows.
    pub(super) fn keep_by(&mut self, policy: Option<&CachePolicy>) {
        let Some(policy) = policy else {
            self.ttl = 0;
            return;
        };
        if self.is_failure() {
            self.ttl = policy.failure;
            return;
        }
        let (least, most) = if self.is_positive {
            (policy.positive_min, policy.positive_max)
        } else {
            (policy.negative_min, policy.negative_max)
        };
        if self.is_positive || self.ttl > 0 {
            self.ttl = self.ttl.max(least);
        }
        self.ttl = self.ttl.min(most);
        if self.ttl > 0 {
            self.shortest = least.min(most);
        }
        if most > 0 {
            self.longest = most;
        }
    }
}

/// A message that ends with its authorities, and says so.
fn without_additionals(message: &[u8]) -> Box<[u8]> {
    let mut message: Box<[u8]> = message.into();
    if let Some(count) = message.get_mut(10..HEADER) {
        count.fill(0);
    }
    message
}

/// The flags of a message that answers the query.
fn check(message: &[u8], query: &Query, is_stream: bool) -> Result<u16, Rejected> {
    let mut reader = Reader::new(message, 0);
    if reader.bytes(2) != Some(query.id()) {
        return Err(Rejected::NotOurs);
    }
    let flags = reader.u16().ok_or(Rejected::NotOurs)?;
    let questions = reader.u16();
    if flags & (RESPONSE | OPERATION) != RESPONSE || questions != Some(1) {
        return Err(Rejected::NotOurs);
    }
    let question = Reader::new(message, HEADER).bytes(query.question().len());
    let question = question.ok_or(Rejected::NotOurs)?;
    if !question.eq_ignore_ascii_case(query.question()) {
        return Err(Rejected::NotOurs);
    }
    if !is_stream && (question != query.question() || flags & TRUNCATED != 0) {
        return Err(Rejected::Truncated);
    }
    Ok(flags)
}

struct Body {
    answers: Vec<Record>,
    authorities: Vec<Record>,
    extended_rcode: u8,
    /// Where the authorities end.
    end: usize,
}

struct Record {
    at: u16,
    owner: Vec<u8>,
    record_type: u16,
    ttl: u32,
    ttl_at: u16,
    data: u16,
    length: u16,
    /// What a CNAME or DNAME leads to.
    target: Option<Vec<u8>>,
    /// The last number of an SOA: how long to remember that something is not there.
    minimum: u32,
}

impl Body {
    fn read(message: &[u8], at: usize) -> Option<Self> {
        let mut counts = Reader::new(message, 6);
        let (answers, authorities, additionals) = (counts.u16()?, counts.u16()?, counts.u16()?);
        let mut reader = Reader::new(message, at);
        let mut section = |count: u16| {
            (0..count).map(|_| Record::read(message, &mut reader)).collect::<Option<Vec<_>>>()
        };
        let (answers, authorities) = (section(answers)?, section(authorities)?);
        let end = reader.at();
        let mut extended_rcode = 0;
        for _ in 0..additionals {
            let record = Record::read(message, &mut reader)?;
            if record.record_type == OPT {
                extended_rcode = record.ttl.to_be_bytes()[0];
            }
        }
        Some(Self { answers, authorities, extended_rcode, end })
    }

    /// Whether every answer belongs to the chain of aliases that begins at the name that was asked
    /// for, and every authority is above it (its bailiwick).
    fn is_about(&self, asked: &[u8]) -> bool {
        let mut chain = vec![asked];
        while let Some(last) = chain.last().filter(|_| chain.len() <= LONGEST_CHAIN) {
            let alias = |record: &&Record| record.record_type == CNAME && record.owner == *last;
            let target =
                self.answers.iter().find(alias).and_then(|record| record.target.as_deref());
            match target {
                Some(target) if !chain.contains(&target) => chain.push(target),
                _ => break,
            }
        }
        let is_above = |owner: &[u8]| chain.iter().any(|name| is_at_or_below(name, owner));
        let is_chained = |record: &Record| {
            chain.contains(&record.owner.as_slice())
                || matches!(record.record_type, DNAME | RRSIG) && is_above(&record.owner)
        };
        // what proves that something does not exist has names of its own (RFC 5155)
        let is_in_bailiwick =
            |record: &Record| !matches!(record.record_type, SOA | NS) || is_above(&record.owner);
        self.answers.iter().all(is_chained) && self.authorities.iter().all(is_in_bailiwick)
    }

    /// Whether names are the same where times and addresses are others, as clients get them: a name
    /// with a pointer into those would be another than the one that was checked.
    fn keeps_its_names(&self, message: &[u8], at: usize, query_type: u16) -> bool {
        let mut other = message.to_vec();
        let mut blur = |at: u16, length: u16| {
            let place = usize::from(at)..usize::from(at) + usize::from(length);
            other.get_mut(place).unwrap_or_default().fill(0xff);
        };
        for record in self.records() {
            blur(record.ttl_at, 4);
            if record.record_type == query_type && matches!(query_type, A | AAAA) {
                blur(record.data, record.length);
            }
        }
        let names =
            |body: &Self| body.records().map(|it| (it.owner.clone(), it.target.clone())).collect();
        let ours: Vec<_> = names(self);
        Self::read(&other, at).is_some_and(|other| names(&other) == ours)
    }

    fn records(&self) -> impl Iterator<Item = &Record> {
        self.answers.iter().chain(&self.authorities)
    }

    /// The shortest of all answers; of what is not there, what the SOA says (RFC 2308 section 5),
    /// and without one nothing is to be remembered.
    fn ttl(&self, rcode: u8, is_found: bool) -> u32 {
        let of_answers = self.answers.iter().map(|record| record.ttl).min();
        let is_soa = |record: &&Record| record.record_type == SOA;
        let of_nothing = || {
            let soa = self.authorities.iter().find(is_soa)?;
            Some(soa.ttl.min(soa.minimum).min(of_answers.unwrap_or(u32::MAX)))
        };
        match rcode {
            NO_ERROR if is_found => of_answers.unwrap_or_default(),
            NO_ERROR | NX_DOMAIN => of_nothing().unwrap_or_default(),
            // how long that is remembered is a matter of policy
            _ => 0,
        }
    }
}

impl Record {
    fn read(message: &[u8], reader: &mut Reader<'_>) -> Option<Self> {
        let at = u16::try_from(reader.at()).ok()?;
        let owner = reader.name()?;
        let (record_type, _class) = (reader.u16()?, reader.u16()?);
        let ttl_at = u16::try_from(reader.at()).ok()?;
        // one with the highest bit is no time (RFC 2181 section 8)
        let ttl = reader.u32()?;
        let ttl = if ttl > i32::MAX.unsigned_abs() && record_type != OPT { 0 } else { ttl };
        let length = reader.u16()?;
        let data = reader.at();
        let bytes = reader.bytes(length.into())?;
        let target = match record_type {
            CNAME | DNAME => {
                let mut inner = Reader::new(message, data);
                let target = inner.name()?;
                (inner.at() == reader.at()).then_some(Some(target))?
            }
            _ => None,
        };
        let minimum = match record_type {
            SOA => u32::from_be_bytes(*bytes.last_chunk()?),
            _ => 0,
        };
        let data = u16::try_from(data).ok()?;
        Some(Self { at, owner, record_type, ttl, ttl_at, data, length, target, minimum })
    }
}

pub(super) const NO_ERROR: u8 = 0;
pub(super) const NX_DOMAIN: u8 = 3;
const RESPONSE: u16 = 0x8000;
const OPERATION: u16 = 0x7800;
const TRUNCATED: u16 = 0x0200;

const A: u16 = 1;
const NS: u16 = 2;
const CNAME: u16 = 5;
const SOA: u16 = 6;
const AAAA: u16 = 28;
const DNAME: u16 = 39;
const RRSIG: u16 = 46;

/// How many aliases of an upstream are followed; more are a lie.
const LONGEST_CHAIN: usize = 16;
