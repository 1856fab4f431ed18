//! Damaged answers of upstreams: read or rejected, and what goes on to the client can be read.

use std::rc::Rc;

use hickory_proto::op::{Message, MessageType, OpCode, Query as Question};
use hickory_proto::rr::{Name, RecordType};

use super::answer::{Age, Answer};
use super::query::{Asked, HEADER, Query};
use super::reader::Reader;
use super::render::{ClientSide, render};
use super::reply::Reply;
use crate::balance::Rng;
use crate::plane::dns::pending::Finished;
use crate::plane::dns::tests::CLIENT;
use crate::plane::dns::tests::fuzz::{check_answer, forwarding};
use crate::plane::dns::tests::mutation::{corpus, fuzz};
use crate::plane::dns::{Said, answer};
use crate::snapshot::{Snapshot, Transport};

const REPLIES: &str = include_str!("../../../../tests/data/dns-replies.txt");

/// What a message is about.
fn asked(message: &[u8]) -> Option<Asked> {
    let mut reader = Reader::new(message, HEADER);
    let (name, query_type) = (reader.name()?, reader.u16()?);
    Some(Asked { name, query_type, dnssec_ok: false, checking_disabled: false })
}

/// A message as if it were the answer to this query.
fn answering(query: &Query, message: &[u8]) -> Vec<u8> {
    let mut message = message.to_vec();
    let question = HEADER..HEADER + query.question().len();
    if question.end <= message.len() {
        message.splice(..2, query.id().to_vec());
        message.splice(question, query.question().to_vec());
    }
    message
}

#[test]
fn every_reply_of_the_corpus_is_read_but_the_truncated() {
    for (name, reply) in corpus(REPLIES) {
        let query = Query::new(&asked(&reply).expect("a question"));
        let read = Reply::read(&answering(&query, &reply), &query, false);
        assert_eq!(read.is_ok(), name != "truncated", "{name}: {read:?}");
    }
}

#[test]
fn damaged_replies_are_read_or_rejected() {
    let replies: Vec<Vec<u8>> = corpus(REPLIES).into_iter().map(|(_, reply)| reply).collect();
    let www = asked(replies.first().expect("there are replies")).expect("a question");
    let (snapshot, alias) = (forwarding(), alias_query());
    let mut read = 0;
    fuzz(&replies, |damaged, rng| {
        let asked = asked(damaged).unwrap_or_else(|| www.clone());
        let query = Query::new(&asked);
        let message = answering(&query, damaged);
        let Ok(reply) = Reply::read(&message, &query, rng.below(2) == 0) else { return };
        read += 1;
        let answer = Answer { reply: Rc::new(reply), age: Age::Seconds(1) };
        check_render(&answer, &asked, rng);
        check_alias(answer, &snapshot, &alias, rng);
    });
    assert!(read > 5_000, "only {read} were read");
}

/// The first answer of a reply with 60 seconds and two IPv6 addresses, whose start is this, and an
/// authority whose name is a pointer.
fn pointing(query: &Query, start: &[u8], pointer: usize) -> Vec<u8> {
    let mut message = query.bytes[..HEADER + query.question().len()].to_vec();
    message.splice(2..HEADER, [0x81, 0x80, 0, 1, 0, 2, 0, 1, 0, 0]);
    for first in [start, &[0]] {
        let mut address = first.to_vec();
        address.resize(16, 0);
        message.extend([0xc0, 12, 0, 28, 0, 1, 0, 0, 0, 60, 0, 16]);
        message.extend(address);
    }
    let [high, low] = (0xc000 | pointer as u16).to_be_bytes();
    // a text, which may belong to anybody
    message.extend([high, low, 0, 16, 0, 1, 0, 0, 0, 60, 0, 2, 1, b'x']);
    message
}

#[test]
fn names_made_of_what_changes_from_client_to_client_are_lies() {
    let name = b"\x03www\x07example\x03org\0".to_vec();
    let asked = Asked { name, query_type: 28, dnssec_ok: false, checking_disabled: false };
    let query = Query::new(&asked);
    let records = HEADER + query.question().len();
    // where the authority's name points: the question, part of it, the header, the time to live
    // and the address of the first answer
    let rows = [
        (HEADER, true),
        (HEADER + 4, true),
        (4, false),
        (records + 6, false),
        (records + 12, false),
    ];
    for (pointer, is_good) in rows {
        let read = Reply::read(&pointing(&query, b"\x03bad", pointer), &query, false);
        assert_eq!(read.is_ok(), is_good, "{pointer}: {read:?}");
    }
}

/// The message for a client has its size, its id, and whole records.
fn check_render(answer: &Answer, asked: &Asked, rng: &mut Rng) {
    let largest = if rng.below(2) == 0 { 512 } else { u16::MAX };
    let client = ClientSide { id: 4242, has_edns: true, largest, rotate: rng.next_u64() };
    let mut out = Vec::new();
    render(answer, asked, client, &mut out);
    assert!(out.len() <= usize::from(largest), "{} bytes of {largest}", out.len());
    let mut reader = Reader::new(&out, 0);
    assert_eq!(reader.u16(), Some(4242));
    assert!(reader.u16().is_some_and(|flags| flags & 0x8000 != 0));
    assert_eq!(reader.u16(), Some(1));
    let records: u16 = (0..3).filter_map(|_| reader.u16()).sum();
    assert_eq!(reader.bytes(asked.name.len()), Some(asked.name.as_slice()), "the question");
    assert_eq!(reader.u16(), Some(asked.query_type));
    reader.u16().expect("a class");
    for _ in 0..records {
        reader.name().expect("an owner");
        reader.bytes(8).expect("type, class and time to live");
        let length = reader.u16().expect("a length");
        reader.bytes(length.into()).expect("data");
    }
    assert_eq!(reader.at(), out.len(), "nothing is left over");
}

/// What an alias of the cluster leads to can be read as a whole.
fn check_alias(outside: Answer, snapshot: &Snapshot, query: &[u8], rng: &mut Rng) {
    let mut out = Vec::new();
    let said = answer(query, snapshot, CLIENT, Transport::Udp, rng.next_u64(), &mut out);
    let Some(Said::Pending(pending)) = said else { panic!("it leads outside") };
    let finished = pending.finish(&Ok(outside), &mut out);
    assert!(matches!(finished, Finished::Answered(Some(_))), "it must be answered");
    check_answer(query, &out, Transport::Udp);
}

fn alias_query() -> Vec<u8> {
    let mut message = Message::new(7, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    let name = Name::from_ascii("outside.shop.svc.cluster.local.").expect("a name");
    message.add_query(Question::query(name, RecordType::A));
    message.to_vec().expect("a query must be writable")
}
