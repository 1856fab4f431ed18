//! From the bytes of a query to the bytes of its answer.

use hickory_proto::ProtoError;
use hickory_proto::op::{Edns, Header, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};

use super::encode::encode;
use super::forward::{Asked, ClientSide};
use super::limits::{PLAIN_UDP_ANSWER, UDP_ANSWER};
use super::pending::Pending;
use super::plain;
use super::wire::{self, Writer};
use crate::observe::QueryType;
use crate::snapshot::zone::{Outcome, RecordData};
use crate::snapshot::{Snapshot, Transport, Zone};

/// What the record of a query says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    /// What was asked for.
    pub query_type: QueryType,
    /// The response code, by its IANA name in upper case.
    pub rcode: &'static str,
}

/// What becomes of a query.
#[derive(Debug)]
pub enum Said {
    /// The answer is written.
    Answered(Answered),
    /// Upstreams have to be asked.
    Pending(Box<Pending>),
}

/// Answers one query from the snapshot into `out`, whose content it replaces. `None`: there is
/// nothing to say, because the bytes are no query (a response, or less than a header).
///
/// `rotate` turns the order of addresses. Over UDP the answer has at most 1232 bytes.
pub fn answer(
    request: &[u8],
    snapshot: &Snapshot,
    transport: Transport,
    rotate: u64,
    out: &mut Vec<u8>,
) -> Option<Said> {
    if let Some(answered) = plain::answer(request, snapshot, transport, rotate, out) {
        return Some(Said::Answered(answered));
    }
    answer_any(request, snapshot, transport, rotate, out)
}

/// As [`answer`], whatever is asked.
pub(super) fn answer_any(
    request: &[u8],
    snapshot: &Snapshot,
    transport: Transport,
    rotate: u64,
    out: &mut Vec<u8>,
) -> Option<Said> {
    let header = Header::read(&mut BinDecoder::new(request)).ok()?;
    if header.metadata.message_type == MessageType::Response {
        return None;
    }
    let mut response = respond_to(&header);
    if let Some(code) = refuse_message(&header) {
        response.metadata.response_code = code;
        return send(&response, None, PLAIN_UDP_ANSWER, out).map(Said::Answered);
    }
    let Ok(request) = Message::from_vec(request) else {
        response.metadata.response_code = ResponseCode::FormErr;
        return send(&response, None, PLAIN_UDP_ANSWER, out).map(Said::Answered);
    };
    response.edns = request.edns.as_ref().map(edns);
    response.queries = request.queries;
    let question = response.queries.first()?.clone();
    let largest = match (transport, &request.edns) {
        (Transport::Tcp, _) => u16::MAX,
        (Transport::Udp, Some(edns)) => edns.max_payload().clamp(PLAIN_UDP_ANSWER, UDP_ANSWER),
        (Transport::Udp, None) => PLAIN_UDP_ANSWER,
    };
    let outside = match refuse_question(&question, request.edns.as_ref(), snapshot) {
        Some(code) => {
            response.metadata.response_code = code;
            None
        }
        None => fill(&mut response, &question, snapshot, rotate),
    };
    if let Some(outside) = outside {
        let client = ClientSide {
            id: header.metadata.id,
            has_edns: request.edns.is_some(),
            largest,
            rotate,
        };
        return Some(Said::Pending(Box::new(pending(
            response, question, outside, snapshot, client,
        ))));
    }
    send(&response, Some(question.query_type), largest, out).map(Said::Answered)
}

/// A name that upstreams know.
struct Outside {
    name: Name,
    /// Lower-case, without the trailing dot.
    text: String,
}

fn pending(
    response: Message,
    question: Query,
    outside: Outside,
    snapshot: &Snapshot,
    client: ClientSide,
) -> Pending {
    let mut name = Vec::with_capacity(outside.name.len() + 1);
    for label in outside.name.iter() {
        name.extend(u8::try_from(label.len()));
        name.extend(label);
    }
    name.push(0);
    let asked = Asked {
        name,
        query_type: question.query_type.into(),
        dnssec_ok: response.edns.as_ref().is_some_and(|edns| edns.flags().dnssec_ok),
        checking_disabled: response.metadata.checking_disabled,
    };
    let (name, forward) = (outside.text, snapshot.zone.forward.clone());
    Pending { response, question, asked, name, forward, client }
}

/// Writes an answer that has nothing but TC, for the client to come by TCP. `false`: the bytes are
/// no query.
pub(super) fn truncated(request: &[u8], out: &mut Vec<u8>) -> bool {
    let Some(header) = Header::read(&mut BinDecoder::new(request)).ok() else { return false };
    if header.metadata.message_type == MessageType::Response {
        return false;
    }
    let mut response = respond_to(&header);
    response.metadata.truncation = true;
    if let Ok(request) = Message::from_vec(request) {
        response.edns = request.edns.as_ref().map(edns);
        response.queries = request.queries;
    }
    encode(&response, PLAIN_UDP_ANSWER, out).is_ok()
}

fn respond_to(header: &Header) -> Message {
    let request = &header.metadata;
    let mut response = Message::response(request.id, request.op_code);
    response.metadata.recursion_desired = request.recursion_desired;
    response.metadata.checking_disabled = request.checking_disabled;
    response
}

/// Our half of EDNS (RFC 6891), which is sent only to who has sent theirs.
fn edns(request: &Edns) -> Edns {
    let mut edns = Edns::new();
    edns.set_max_payload(UDP_ANSWER);
    // copied although there are no signatures to send (RFC 3225 section 3)
    edns.set_dnssec_ok(request.flags().dnssec_ok);
    edns
}

fn refuse_message(header: &Header) -> Option<ResponseCode> {
    if header.metadata.op_code != OpCode::Query {
        return Some(ResponseCode::NotImp);
    }
    (header.counts.queries != 1).then_some(ResponseCode::FormErr)
}

fn refuse_question(
    question: &Query,
    edns: Option<&Edns>,
    snapshot: &Snapshot,
) -> Option<ResponseCode> {
    if edns.is_some_and(|edns| edns.version() != 0) {
        return Some(ResponseCode::BADVERS);
    }
    let is_transfer = matches!(question.query_type, RecordType::AXFR | RecordType::IXFR);
    if question.query_class != DNSClass::IN || is_transfer {
        return Some(ResponseCode::Refused);
    }
    (!snapshot.synced).then_some(ResponseCode::ServFail)
}

/// Fills in what the zone has. A name that is outside, or where the aliases of the zone lead there,
/// is left over for upstreams.
fn fill(
    response: &mut Message,
    question: &Query,
    snapshot: &Snapshot,
    rotate: u64,
) -> Option<Outside> {
    response.metadata.recursion_available = snapshot.zone.forward.is_on();
    let asked = wire::text(&question.name);
    let lookup = snapshot.zone.lookup(&asked, wire::query(question.query_type));
    let (code, records) = match &lookup.outcome {
        Outcome::Records(records) => (ResponseCode::NoError, records.as_slice()),
        Outcome::NoData => (ResponseCode::NoError, [].as_slice()),
        Outcome::NxDomain => (ResponseCode::NXDomain, [].as_slice()),
        Outcome::OutOfZone => (ResponseCode::Refused, [].as_slice()),
    };
    let writer =
        Writer { question: &question.name, asked: &asked, generation: snapshot.generation };
    let written = || {
        let authority = lookup.authority.iter().map(|record| writer.record(record));
        Ok::<_, ProtoError>((
            writer.records(records)?,
            authority.collect::<Result<Vec<_>, _>>()?,
            writer.records(&lookup.additional)?,
        ))
    };
    let Ok((answers, authorities, additionals)) = written() else {
        response.metadata.response_code = ResponseCode::ServFail;
        return None;
    };
    response.metadata.response_code = code;
    response.metadata.authoritative = lookup.outcome != Outcome::OutOfZone;
    response.answers = answers;
    response.authorities = authorities;
    response.additionals = additionals;
    rotate_addresses(&mut response.answers, rotate);
    // who does not want recursion wants to know what others have asked for
    if !response.metadata.recursion_desired {
        return None;
    }
    let outside = outside(question, &asked, &lookup.outcome, &snapshot.zone)?;
    snapshot.zone.forward.route(&outside.text).is_some().then_some(outside)
}

fn outside(question: &Query, asked: &str, outcome: &Outcome, zone: &Zone) -> Option<Outside> {
    match outcome {
        Outcome::OutOfZone => {
            Some(Outside { name: question.name.clone(), text: asked.to_ascii_lowercase() })
        }
        Outcome::Records(records) if question.query_type != RecordType::CNAME => {
            let RecordData::Cname(target) = &records.last()?.data else { return None };
            let query = wire::query(question.query_type);
            let is_outside = zone.lookup(target, query).outcome == Outcome::OutOfZone;
            let name = wire::name(target).ok().filter(|_| is_outside)?;
            Some(Outside { name, text: target.to_ascii_lowercase() })
        }
        Outcome::Records(_) | Outcome::NoData | Outcome::NxDomain => None,
    }
}

/// Spreads clients that take the first address. Aliases stay in front.
pub(super) fn rotate_addresses(answers: &mut [Record], by: u64) {
    let is_address = |record: &Record| matches!(record.data, RData::A(_) | RData::AAAA(_));
    let first = answers.iter().position(is_address).unwrap_or(answers.len());
    let (_, addresses) = answers.split_at_mut(first);
    if let Some(by) = by.checked_rem(addresses.len() as u64) {
        addresses.rotate_left(usize::try_from(by).unwrap_or_default());
    }
}

pub(super) fn send(
    response: &Message,
    asked: Option<RecordType>,
    largest: u16,
    out: &mut Vec<u8>,
) -> Option<Answered> {
    encode(response, largest, out).ok()?;
    Some(Answered {
        query_type: asked.map_or(QueryType::Other, wire::query_type),
        rcode: wire::rcode(response.metadata.response_code),
    })
}
