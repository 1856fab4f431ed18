//! Messages of upstreams that are good, bad and forged.

use std::rc::Rc;

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, CNAME, NS, SOA};
use hickory_proto::rr::{Name, RData, Record};
use proptest::prelude::*;

use super::answer::{Age, Answer};
use super::identity::Identity;
use super::query::{Asked, HEADER, Query};
use super::render::{ClientSide, render};
use super::reply::{Rejected, Reply};
use crate::snapshot::CachePolicy;

fn name(text: &str) -> Name {
    Name::from_ascii(text).expect("a name")
}

/// A question for the addresses of a name.
fn asked(text: &str) -> Asked {
    let mut wire = Vec::new();
    for label in name(text).iter() {
        wire.push(u8::try_from(label.len()).expect("a short label"));
        wire.extend(label);
    }
    wire.push(0);
    Asked { name: wire, query_type: 1, dnssec_ok: false, checking_disabled: false }
}

fn a(owner: &str, last: u8, ttl: u32) -> Record {
    Record::from_rdata(name(owner), ttl, RData::A(A::new(192, 0, 2, last)))
}

fn alias(owner: &str, target: &str, ttl: u32) -> Record {
    Record::from_rdata(name(owner), ttl, RData::CNAME(CNAME(name(target))))
}

fn ns(owner: &str) -> Record {
    Record::from_rdata(name(owner), 60, RData::NS(NS(name("ns.example."))))
}

fn soa(owner: &str, ttl: u32, minimum: u32) -> Record {
    let soa = SOA::new(name("ns.example."), name("mail.example."), 1, 2, 3, 4, minimum);
    Record::from_rdata(name(owner), ttl, RData::SOA(soa))
}

/// What an upstream says to a query, with the question as it was sent.
fn response(
    query: &[u8],
    code: ResponseCode,
    answers: Vec<Record>,
    authorities: Vec<Record>,
) -> Message {
    let query = Message::from_vec(query).expect("our query must be readable");
    let mut response = Message::new(query.metadata.id, MessageType::Response, OpCode::Query);
    response.metadata.response_code = code;
    response.metadata.recursion_available = true;
    response.queries = query.queries;
    response.answers = answers;
    response.authorities = authorities;
    response.edns = query.edns;
    response
}

fn to_bytes(message: &Message) -> Vec<u8> {
    message.to_vec().expect("a message must be writable")
}

fn query(text: &str) -> Query {
    Query::new(&asked(text))
}

fn read(query: &Query, answers: Vec<Record>, authorities: Vec<Record>) -> Result<Reply, Rejected> {
    let message = response(&query.bytes, ResponseCode::NoError, answers, authorities);
    Reply::read(&to_bytes(&message), query, false)
}

fn ttl(code: ResponseCode, answers: Vec<Record>, authorities: Vec<Record>) -> u32 {
    let query = query("www.example.org.");
    let message = response(&query.bytes, code, answers, authorities);
    let mut reply = Reply::read(&to_bytes(&message), &query, false).expect("a good answer");
    reply.keep_by(Some(&CachePolicy::default()));
    reply.ttl
}

#[test]
fn answers_are_good_for_as_long_as_they_say() {
    use ResponseCode::{NXDomain, NoError, ServFail};
    let www = "www.example.org.";
    assert_eq!(ttl(NoError, vec![a(www, 1, 60), a(www, 2, 50)], vec![]), 50);
    assert_eq!(ttl(NoError, vec![a(www, 1, 100_000)], vec![]), 3600);
    assert_eq!(ttl(NoError, vec![a(www, 1, 0x8000_0001)], vec![]), 0);
    let chain = || vec![alias(www, "b.example.", 20), a("b.example.", 1, 60)];
    assert_eq!(ttl(NoError, chain(), vec![]), 20);
    // what is not there, by the SOA (RFC 2308)
    assert_eq!(ttl(NXDomain, vec![], vec![soa("example.org.", 300, 40)]), 40);
    assert_eq!(ttl(NoError, vec![], vec![soa("example.org.", 30, 40)]), 30);
    assert_eq!(ttl(NXDomain, vec![], vec![soa("org.", 90_000, 90_000)]), 1800);
    assert_eq!(ttl(NXDomain, vec![], vec![]), 0);
    let dangling = vec![alias(www, "b.example.", 20)];
    assert_eq!(ttl(NXDomain, dangling.clone(), vec![soa("example.", 30, 30)]), 20);
    assert_eq!(ttl(NoError, dangling, vec![]), 0);
    assert_eq!(ttl(ServFail, vec![], vec![]), 1);
}

#[test]
fn a_policy_shortens_what_is_remembered_and_what_clients_are_shown() {
    let www = "www.example.org.";
    let policy = CachePolicy { positive_max: 30, negative_max: 0, ..CachePolicy::default() };
    let shortened = |answers: Vec<Record>| {
        let reply = read(&query(www), answers, vec![soa("example.org.", 300, 300)]);
        let mut reply = reply.expect("a good answer");
        reply.keep_by(Some(&policy));
        reply
    };
    let positive = shortened(vec![a(www, 1, 60), a(www, 2, 20)]);
    assert_eq!((positive.is_positive, positive.ttl), (true, 20));
    let mut out = Vec::new();
    let answer = answer(positive, Age::Seconds(5));
    render(&answer, &asked(www), side(1232), &mut out);
    let told = Message::from_vec(&out).expect("it must be readable");
    let ttls: Vec<_> = told.answers.iter().map(|record| record.ttl).collect();
    assert_eq!(ttls, [25, 15]);
    // one that is not remembered is shown as it is
    let negative = shortened(vec![]);
    assert_eq!((negative.is_positive, negative.ttl, negative.longest), (false, 0, u32::MAX));
}

#[test]
fn a_policy_tells_the_least_and_of_what_nothing_is_remembered() {
    use ResponseCode::{NXDomain, NoError, ServFail};
    let www = "www.example.org.";
    let policy = CachePolicy {
        positive_min: 20,
        negative_min: 10,
        negative_max: 15,
        failure: 7,
        ..CachePolicy::default()
    };
    let positive = |ttl| (vec![a(www, 1, ttl)], vec![]);
    let negative = |ttl| (vec![], vec![soa("example.org.", ttl, ttl)]);
    let rows = [
        (NoError, positive(60), 60, 20),
        (NoError, positive(5), 20, 20),
        (NoError, positive(0), 20, 20),
        (NXDomain, negative(300), 15, 10),
        (NXDomain, negative(3), 10, 10),
        (NoError, negative(12), 12, 10),
        // nobody says for how long
        (NXDomain, (vec![], vec![]), 0, 0),
        (ServFail, (vec![], vec![]), 7, 0),
    ];
    for (code, (answers, authorities), ttl, shortest) in rows {
        let query = query(www);
        let message = to_bytes(&response(&query.bytes, code, answers.clone(), authorities));
        let mut reply = Reply::read(&message, &query, false).expect("a good answer");
        reply.keep_by(Some(&policy));
        assert_eq!((reply.ttl, reply.shortest), (ttl, shortest), "{code} {answers:?}");
        reply.keep_by(None);
        assert_eq!(reply.ttl, 0);
    }
    let mut reply = read(&query(www), vec![a(www, 1, 5)], vec![]).expect("a good answer");
    reply.keep_by(Some(&policy));
    let answer = answer(reply, Age::Seconds(8));
    assert_eq!([5, 30].map(|ttl| answer.left(ttl)), [12, 22], "clients keep it as long as we do");
}

#[test]
fn answers_about_other_names_are_lies() {
    let www = "www.example.org.";
    let rows = [
        (vec![a(www, 1, 60)], vec![ns("example.org.")], true),
        (vec![alias(www, "b.example.", 60), a("b.example.", 1, 60)], vec![ns("example.")], true),
        // in any order
        (vec![a("b.example.", 1, 60), alias(www, "b.example.", 60)], vec![], true),
        (vec![alias(www, www, 60)], vec![], true),
        (vec![a("victim.example.", 1, 60)], vec![], false),
        (vec![a(www, 1, 60), a("victim.example.", 1, 60)], vec![], false),
        (vec![a("example.org.", 1, 60)], vec![], false),
        (vec![alias("b.example.", www, 60)], vec![], false),
        (vec![], vec![soa("victim.example.", 60, 60)], false),
        (vec![a(www, 1, 60)], vec![ns("x.www.example.org.")], false),
    ];
    for (answers, authorities, is_good) in rows {
        let told = read(&query(www), answers.clone(), authorities.clone());
        assert_eq!(told.is_ok(), is_good, "{answers:?} {authorities:?}");
        assert!(is_good || told == Err(Rejected::Lying), "{answers:?} {authorities:?}");
    }
}

#[test]
fn only_the_answer_to_this_query_counts() {
    let query = query("www.example.org.");
    let good =
        response(&query.bytes, ResponseCode::NoError, vec![a("www.example.org.", 1, 60)], vec![]);
    let told = |change: &dyn Fn(&mut Message), is_stream| {
        let mut message = good.clone();
        change(&mut message);
        Reply::read(&to_bytes(&message), &query, is_stream).map(|_| ())
    };
    assert_eq!(told(&|_| (), false), Ok(()));
    assert_eq!(told(&|it| it.metadata.id ^= 1, false), Err(Rejected::NotOurs));
    assert_eq!(
        told(&|it| it.metadata.message_type = MessageType::Query, false),
        Err(Rejected::NotOurs)
    );
    assert_eq!(told(&|it| it.metadata.op_code = OpCode::Notify, false), Err(Rejected::NotOurs));
    assert_eq!(told(&|it| it.queries.clear(), false), Err(Rejected::NotOurs));
    let other = |it: &mut Message| {
        it.queries.first_mut().expect("one question").set_name(name("www.example.com."));
    };
    assert_eq!(told(&other, false), Err(Rejected::NotOurs));
    // over TCP nobody guesses, so that neither the case nor TC matters
    let flip = |it: &mut Message| {
        let question = it.queries.first_mut().expect("one question");
        let flip = |byte: u8| if byte.is_ascii_alphabetic() { byte ^ 0x20 } else { byte };
        let labels = question.name.iter().map(|label| label.iter().copied().map(flip).collect());
        let labels: Vec<Vec<u8>> = labels.collect();
        let flipped = Name::from_labels(labels.iter().map(Vec::as_slice)).expect("a name");
        question.set_name(flipped);
    };
    assert_eq!(told(&flip, false), Err(Rejected::Truncated));
    assert_eq!(told(&flip, true), Ok(()));
    assert_eq!(told(&|it| it.metadata.truncation = true, false), Err(Rejected::Truncated));
    assert_eq!(told(&|it| it.metadata.truncation = true, true), Ok(()));
}

fn answer(reply: Reply, age: Age) -> Answer {
    Answer { reply: Rc::new(reply), age }
}

fn side(largest: u16) -> ClientSide {
    ClientSide { id: 4242, has_edns: true, largest, rotate: 0 }
}

#[test]
fn a_client_gets_its_own_case_and_what_is_left_of_the_time() {
    let query = query("www.example.org.");
    let answers = vec![a("www.example.org.", 1, 60), a("www.example.org.", 2, 60)];
    let reply = read(&query, answers, vec![]).expect("a good answer");
    let mut client = asked("WWW.eXample.org.");
    client.checking_disabled = true;
    let mut out = Vec::new();
    for (age, left) in [(Age::Seconds(0), 60), (Age::Seconds(45), 15), (Age::Stale, 30)] {
        render(&answer(reply.clone(), age), &client, side(1232), &mut out);
        let told = Message::from_vec(&out).expect("it must be readable");
        assert_eq!(told.metadata.id, 4242);
        assert!(told.metadata.recursion_desired && told.metadata.recursion_available);
        assert!(told.metadata.checking_disabled && !told.metadata.authoritative);
        assert!(!told.metadata.truncation && !told.metadata.authentic_data);
        assert!(told.edns.is_some());
        for record in &told.answers {
            assert!(record.name.eq_case(&name("WWW.eXample.org.")), "{record}");
            assert_eq!(record.ttl, left);
        }
        assert_eq!(told.answers.len(), 2);
    }
    render(
        &answer(reply, Age::Stale),
        &client,
        ClientSide { has_edns: false, ..side(512) },
        &mut out,
    );
    assert_eq!(Message::from_vec(&out).expect("it must be readable").edns, None);
}

#[test]
fn of_what_does_not_fit_there_is_as_much_as_fits_with_tc() {
    let query = query("www.example.org.");
    let answers = (0..60).map(|last| a("www.example.org.", last, 60)).collect();
    let reply = read(&query, answers, vec![]).expect("a good answer");
    let mut out = Vec::new();
    render(&answer(reply, Age::Seconds(0)), &asked("www.example.org."), side(512), &mut out);
    let told = Message::from_vec(&out).expect("it must be readable");
    assert!(told.metadata.truncation && told.edns.is_some());
    assert_eq!((told.queries.len(), told.authorities.len()), (1, 0));
    // one more, of 16 bytes with a pointer, would not
    assert!((512 - 16..=512).contains(&out.len()), "{}", out.len());
    assert!(!told.answers.is_empty());
}

#[test]
fn addresses_turn_and_keep_their_aliases_in_front() {
    let query = query("www.example.org.");
    let mut answers = vec![alias("www.example.org.", "b.example.", 60)];
    answers.extend((1..=3).map(|last| a("b.example.", last, 60)));
    let reply = read(&query, answers, vec![]).expect("a good answer");
    let order = |rotate| {
        let mut out = Vec::new();
        let answer = answer(reply.clone(), Age::Seconds(0));
        let client = ClientSide { rotate, ..side(1232) };
        render(&answer, &asked("www.example.org."), client, &mut out);
        let told = Message::from_vec(&out).expect("it must be readable");
        told.answers.iter().map(|record| record.data.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(order(0), ["b.example.", "192.0.2.1", "192.0.2.2", "192.0.2.3"]);
    assert_eq!(order(1), ["b.example.", "192.0.2.2", "192.0.2.3", "192.0.2.1"]);
    assert_eq!(order(5), ["b.example.", "192.0.2.3", "192.0.2.1", "192.0.2.2"]);
}

#[test]
fn owners_that_are_spelled_out_have_the_case_of_the_client() {
    let query = query("www.example.org.");
    let mut bytes = query.bytes[..HEADER + query.question().len()].to_vec();
    // a response with one answer, whose owner is half spelled out and half a pointer
    (bytes[2], bytes[7], bytes[11]) = (0x80, 1, 0);
    bytes.extend(&query.question()[..4]);
    bytes.extend([0xc0, 16, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1]);
    let reply = Reply::read(&bytes, &query, false).expect("a good answer");
    let mut out = Vec::new();
    render(&answer(reply, Age::Seconds(0)), &asked("wWw.eXample.org."), side(512), &mut out);
    let told = Message::from_vec(&out).expect("it must be readable");
    assert!(told.answers[0].name.eq_case(&name("wWw.eXample.org.")), "{}", told.answers[0]);
}

#[test]
fn only_the_process_itself_knows_its_name() {
    let (ours, other) = (Identity::random(), Identity::random());
    for domain in ["", "corp.example"] {
        let question = ours.question(domain);
        let query = Query::new(&question);
        let asked = Message::from_vec(&query.bytes).expect("our query must be readable");
        let asked = crate::plane::dns::wire::text(&asked.queries[0].name).to_ascii_lowercase();
        assert!(asked.ends_with(domain));
        assert!(ours.is_in(&asked) && !other.is_in(&asked), "{asked}");
    }
    assert!(!ours.is_in("example.org") && !ours.is_in(""));
}

proptest! {
    #[test]
    fn any_damaged_message_is_read_or_rejected(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        length in any::<prop::sample::Index>(),
        is_cut: bool,
        largest in 12u16..1300,
    ) {
        let query = query("www.example.org.");
        let answers = vec![
            alias("www.example.org.", "b.example.", 60),
            a("b.example.", 1, 60),
            a("b.example.", 2, 60),
        ];
        let message = response(
            &query.bytes, ResponseCode::NoError, answers, vec![soa("example.", 60, 60)],
        );
        let mut bytes = to_bytes(&message);
        for (at, byte) in changes {
            // behind what is compared with the query
            let at = 4 + at.index(bytes.len() - 4);
            bytes[at] = byte;
        }
        if is_cut {
            bytes.truncate(length.index(bytes.len()));
        }
        if let Ok(reply) = Reply::read(&bytes, &query, true) {
            let mut out = Vec::new();
            let client = asked("www.example.org.");
            render(&answer(reply, Age::Seconds(1)), &client, side(largest.max(512)), &mut out);
            prop_assert!(out.len() <= usize::from(largest.max(512)));
            prop_assert_eq!(out.get(..2), Some(&4242u16.to_be_bytes()[..]));
        }
    }
}
