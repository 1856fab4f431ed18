//! From the bytes of a query to the bytes of its answer.

use std::net::IpAddr;

use hickory_proto::op::{Edns, Header, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};

use super::draft::{Asking, Draft};
use super::encode::encode;
use super::forward::ClientSide;
use super::limits::{PLAIN_UDP_ANSWER, UDP_ANSWER, largest_answer};
use super::pending::Pending;
use super::plain;
use super::wire;
use crate::observe::{QueryType, Searched};
use crate::snapshot::{Snapshot, Transport};

/// What the record of a query says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// What was asked for.
    pub query_type: QueryType,
    /// The response code, by its IANA name in upper case.
    pub rcode: &'static str,
    /// What it was in a search list.
    pub searched: Option<Searched>,
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
/// `from` is the client's address, `rotate` turns the order of addresses. Over UDP the answer has
/// at most 1232 bytes.
pub fn answer(
    request: &[u8],
    snapshot: &Snapshot,
    from: IpAddr,
    transport: Transport,
    rotate: u64,
    out: &mut Vec<u8>,
) -> Option<Said> {
    if let Some(answered) = plain::answer(request, snapshot, from, transport, rotate, out) {
        return Some(Said::Answered(answered));
    }
    answer_any(request, snapshot, from, transport, rotate, out)
}

/// As [`answer`], whatever is asked.
pub(super) fn answer_any(
    request: &[u8],
    snapshot: &Snapshot,
    from: IpAddr,
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
    let largest = largest_answer(transport, request.edns.as_ref().map(Edns::max_payload));
    if let Some(code) = refuse_question(&question, request.edns.as_ref(), snapshot) {
        response.metadata.response_code = code;
        return send(&response, Some(question.query_type), largest, out).map(Said::Answered);
    }
    response.metadata.recursion_available = snapshot.zone.forward.is_on();
    let has_edns = request.edns.is_some();
    let client = ClientSide { id: header.metadata.id, has_edns, largest, rotate };
    match (Asking { question, snapshot, from, client }).draft(response) {
        Draft::Whole(whole) => whole.send(client, out).map(Said::Answered),
        Draft::Ask(pending) => Some(Said::Pending(pending)),
    }
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
        searched: None,
    })
}
