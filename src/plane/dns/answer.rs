//! From the bytes of a query to the bytes of its answer.

use hickory_proto::ProtoError;
use hickory_proto::op::{Edns, Header, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, RData, Record, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};

use super::encode::encode;
use super::limits::{PLAIN_UDP_ANSWER, UDP_ANSWER};
use super::wire::{self, Writer};
use crate::observe::QueryType;
use crate::snapshot::zone::Outcome;
use crate::snapshot::{Snapshot, Transport};

/// What the record of a query says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    /// What was asked for.
    pub query_type: QueryType,
    /// The response code, by its IANA name in upper case.
    pub rcode: &'static str,
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
) -> Option<Answered> {
    let header = Header::read(&mut BinDecoder::new(request)).ok()?;
    if header.metadata.message_type == MessageType::Response {
        return None;
    }
    let mut response = respond_to(&header);
    if let Some(code) = refuse_message(&header) {
        response.metadata.response_code = code;
        return send(&response, None, PLAIN_UDP_ANSWER, out);
    }
    let Ok(request) = Message::from_vec(request) else {
        response.metadata.response_code = ResponseCode::FormErr;
        return send(&response, None, PLAIN_UDP_ANSWER, out);
    };
    response.edns = request.edns.as_ref().map(edns);
    response.queries = request.queries;
    let question = response.queries.first()?.clone();
    match refuse_question(&question, request.edns.as_ref(), snapshot) {
        Some(code) => response.metadata.response_code = code,
        None => fill(&mut response, &question, snapshot, rotate),
    }
    let largest = match (transport, &request.edns) {
        (Transport::Tcp, _) => u16::MAX,
        (Transport::Udp, Some(edns)) => edns.max_payload().clamp(PLAIN_UDP_ANSWER, UDP_ANSWER),
        (Transport::Udp, None) => PLAIN_UDP_ANSWER,
    };
    send(&response, Some(question.query_type), largest, out)
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

fn fill(response: &mut Message, question: &Query, snapshot: &Snapshot, rotate: u64) {
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
        return;
    };
    response.metadata.response_code = code;
    response.metadata.authoritative = lookup.outcome != Outcome::OutOfZone;
    response.answers = answers;
    response.authorities = authorities;
    response.additionals = additionals;
    rotate_addresses(&mut response.answers, rotate);
}

/// Spreads clients that take the first address. Aliases stay in front.
fn rotate_addresses(answers: &mut [Record], by: u64) {
    let is_address = |record: &Record| matches!(record.data, RData::A(_) | RData::AAAA(_));
    let first = answers.iter().position(is_address).unwrap_or(answers.len());
    let (_, addresses) = answers.split_at_mut(first);
    if let Some(by) = by.checked_rem(addresses.len() as u64) {
        addresses.rotate_left(usize::try_from(by).unwrap_or_default());
    }
}

fn send(
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
