//! Damaged queries: whatever comes, there is an answer that can be read, or rightly none.

use std::net::SocketAddr;
use std::sync::Arc;

use hickory_proto::op::{Message, MessageType};

use super::mutation::{corpus, fuzz};
use super::{parse, snapshot};
use crate::plane::dns::answer::answer_any;
use crate::plane::dns::forward::Failure;
use crate::plane::dns::{Said, answer, plain};
use crate::snapshot::{Forward, Snapshot, Transport};

const QUERIES: &str = include_str!("../../../../tests/data/dns-queries.txt");

fn queries() -> Vec<Vec<u8>> {
    corpus(QUERIES).into_iter().map(|(_, message)| message).collect()
}

/// Whose other names somebody else knows.
pub(in crate::plane::dns) fn forwarding() -> Snapshot {
    let mut snapshot = snapshot();
    let upstreams = vec![SocketAddr::from(([127, 0, 0, 1], 9)).into()];
    let forward = Forward { upstreams, ..Forward::default() };
    Arc::make_mut(&mut snapshot.zone).forward = Arc::new(forward);
    snapshot
}

#[test]
fn damaged_queries_get_an_answer_that_can_be_read() {
    let snapshots = [snapshot(), forwarding(), Snapshot::default()];
    fuzz(&queries(), |request, rng| {
        for snapshot in &snapshots {
            for transport in [Transport::Udp, Transport::Tcp] {
                check(request, snapshot, transport, rng.next_u64());
            }
        }
    });
}

#[test]
fn damaged_queries_that_are_plain_get_the_answer_of_the_general_way() {
    let snapshots = [snapshot(), forwarding()];
    let mut plain = 0;
    fuzz(&queries(), |request, rng| {
        for snapshot in &snapshots {
            for transport in [Transport::Udp, Transport::Tcp] {
                plain += u32::from(check_plain(request, snapshot, transport, rng.next_u64()));
            }
        }
    });
    assert!(plain > 3_000, "only {plain} were plain");
}

/// Whether a query is plain, and is then answered as any is. (Messages are compared, not bytes: what
/// repeats a name may be compressed in more than one way.)
fn check_plain(request: &[u8], snapshot: &Snapshot, transport: Transport, rotate: u64) -> bool {
    let (mut plainly, mut generally) = (Vec::new(), Vec::new());
    let said = plain::answer(request, snapshot, transport, rotate, &mut plainly);
    let Some(plain) = said else { return false };
    let said = answer_any(request, snapshot, transport, rotate, &mut generally);
    let Some(Said::Answered(any)) = said else {
        panic!("the general way must answer too: {said:?}")
    };
    assert_eq!(plain, any);
    assert_eq!(parse(&plainly), parse(&generally));
    true
}

fn check(request: &[u8], snapshot: &Snapshot, transport: Transport, rotate: u64) {
    let mut out = vec![0xff; 3];
    let said = answer(request, snapshot, transport, rotate, &mut out);
    let is_query = request.len() >= 12 && request.get(2).is_some_and(|flags| flags & 0x80 == 0);
    assert_eq!(said.is_some(), is_query, "only what is no query has no answer");
    match said {
        None => {}
        Some(Said::Answered(_)) => check_answer(request, &out, transport),
        Some(Said::Pending(pending)) => {
            let failure =
                if rotate.is_multiple_of(2) { Failure::Refused } else { Failure::Unreachable };
            pending.finish(&Err(failure), &mut out).expect("a failure must be answered");
            check_answer(request, &out, transport);
        }
    }
}

/// What holds for every answer to whatever query.
pub(in crate::plane::dns) fn check_answer(request: &[u8], out: &[u8], transport: Transport) {
    assert_eq!(out.get(..2), request.get(..2), "the id");
    let response = Message::from_vec(out).expect("an answer must be readable");
    assert_eq!(response.metadata.message_type, MessageType::Response);
    let flags = |message: &[u8]| message.get(2).map(|flags| flags & 0x79);
    // operation and RD
    assert_eq!(flags(out), flags(request));
    let Ok(request) = Message::from_vec(request) else {
        assert!(out.len() <= 512 && response.answers.is_empty());
        return;
    };
    let largest = match (transport, &request.edns) {
        (Transport::Tcp, _) => u16::MAX,
        (Transport::Udp, Some(edns)) => edns.max_payload().clamp(512, 1232),
        (Transport::Udp, None) => 512,
    };
    assert!(out.len() <= usize::from(largest), "{} bytes of {largest}", out.len());
    assert!(response.edns.is_none() || request.edns.is_some(), "EDNS is for who speaks it");
    if let Some(question) = response.queries.first() {
        let asked = request.queries.first().expect("no question is invented");
        assert!(asked.name.eq_case(&question.name), "{question} for {asked}");
        assert_eq!(asked, question);
    } else {
        assert!(response.answers.is_empty() && response.authorities.is_empty());
    }
    assert!(!response.metadata.truncation || response.metadata.response_code.low() == 0);
}

#[test]
fn every_query_of_the_corpus_is_answered() {
    for (name, message) in corpus(QUERIES) {
        let is_response = message.get(2).is_some_and(|flags| flags & 0x80 != 0);
        let said = answer(&message, &snapshot(), Transport::Udp, 0, &mut Vec::new());
        assert_eq!(said.is_none(), is_response, "{name}");
    }
}
