use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RecordType};
use proptest::prelude::*;

use super::{CLIENT, bytes, parse, query, snapshot};
use crate::manifest::ObjectKey;
use crate::observe::QueryType;
use crate::plane::dns::{Answered, Said, answer};
use crate::snapshot::{Snapshot, Transport};

/// The answer and its length.
#[track_caller]
fn ask(request: &Message, transport: Transport) -> (Message, usize) {
    let mut out = Vec::new();
    answer(&bytes(request), &snapshot(), CLIENT, transport, 0, &mut out)
        .expect("it must be answered");
    (parse(&out), out.len())
}

fn answered(said: Option<Said>) -> Option<Answered> {
    match said? {
        Said::Answered(answered) => Some(answered),
        Said::Pending(pending) => panic!("without upstreams nothing is pending: {pending:?}"),
    }
}

fn ask_udp(request: &Message) -> Message {
    ask(request, Transport::Udp).0
}

fn code(request: &Message) -> ResponseCode {
    ask_udp(request).metadata.response_code
}

fn with_edns(mut request: Message, size: u16) -> Message {
    let mut edns = Edns::new();
    edns.set_max_payload(size);
    request.set_edns(edns);
    request
}

#[test]
fn an_answer_is_authoritative_and_offers_no_recursion() {
    let response = ask_udp(&query("web.shop", RecordType::A));
    let metadata = response.metadata;
    assert_eq!((metadata.id, metadata.message_type), (4242, MessageType::Response));
    assert_eq!(metadata.response_code, ResponseCode::NoError);
    assert!(metadata.authoritative && metadata.recursion_desired);
    assert!(!metadata.recursion_available && !metadata.truncation && !metadata.authentic_data);
    assert_eq!(response.queries, query("web.shop", RecordType::A).queries);
    let [record] = response.answers.as_slice() else { panic!("{response:?}") };
    assert_eq!((record.ttl, record.data.to_string()), (5, "10.96.0.1".to_owned()));
    assert!(response.authorities.is_empty() && response.edns.is_none());
}

#[test]
fn what_is_not_there_comes_with_the_start_of_authority() {
    for (name, expected) in
        [("web.shop", ResponseCode::NoError), ("nothing.shop", ResponseCode::NXDomain)]
    {
        let response = ask_udp(&query(name, RecordType::AAAA));
        assert_eq!(response.metadata.response_code, expected, "{name}");
        assert!(response.metadata.authoritative && response.answers.is_empty(), "{name}");
        let [soa] = response.authorities.as_slice() else { panic!("{response:?}") };
        assert_eq!(
            soa.to_string(),
            "cluster.local. 5 IN SOA ns.dns.cluster.local. hostmaster.cluster.local. 7 7200 1800 \
             86400 5"
        );
    }
}

#[test]
fn the_case_of_the_question_is_kept_in_question_and_owner() {
    let request = query("wEb.ShOp", RecordType::A);
    let mut out = Vec::new();
    answer(&bytes(&request), &snapshot(), CLIENT, Transport::Udp, 0, &mut out).expect("an answer");
    let question = 12..bytes(&request).len();
    assert_eq!(out.get(question.clone()), bytes(&request).get(question));
    let response = parse(&out);
    let owner = &response.answers.first().expect("one answer").name;
    assert!(owner.eq_case(&request.queries.first().expect("one question").name), "{owner}");
}

#[test]
fn questions_that_are_not_for_us_are_refused() {
    let other = |name: &str, record_type, class| {
        let mut message = Message::new(1, MessageType::Query, OpCode::Query);
        let mut query = Query::query(Name::from_ascii(name).expect("a name"), record_type);
        query.set_query_class(class);
        message.add_query(query);
        message
    };
    let rows = [
        other("example.org.", RecordType::A, DNSClass::IN),
        other(".", RecordType::NS, DNSClass::IN),
        other("9.9.9.9.in-addr.arpa.", RecordType::PTR, DNSClass::IN),
        other("version.bind.", RecordType::TXT, DNSClass::CH),
        other("web.shop.svc.cluster.local.", RecordType::A, DNSClass::ANY),
        other("cluster.local.", RecordType::AXFR, DNSClass::IN),
        other("cluster.local.", RecordType::IXFR, DNSClass::IN),
    ];
    for request in rows {
        let response = ask_udp(&request);
        assert_eq!(response.metadata.response_code, ResponseCode::Refused, "{request:?}");
        assert!(!response.metadata.authoritative && response.authorities.is_empty());
        assert_eq!(response.queries, request.queries);
    }
}

#[test]
fn other_operations_are_not_implemented() {
    for operation in [OpCode::Status, OpCode::Notify, OpCode::Update, OpCode::Unknown(9)] {
        let mut request = query("web.shop", RecordType::A);
        request.metadata.op_code = operation;
        let response = ask_udp(&request);
        assert_eq!(response.metadata.response_code, ResponseCode::NotImp, "{operation}");
        assert_eq!((response.metadata.id, response.metadata.op_code), (4242, operation));
    }
}

#[test]
fn malformed_queries_are_form_errors_with_their_id() {
    let whole = bytes(&query("web.shop", RecordType::A));
    let mut two = query("web.shop", RecordType::A);
    two.add_query(two.queries.first().expect("one question").clone());
    let none = Message::new(4242, MessageType::Query, OpCode::Query);
    let mut out = Vec::new();
    for request in [whole[..20].to_vec(), whole[..12].to_vec(), bytes(&two), bytes(&none)] {
        let said = answer(&request, &snapshot(), CLIENT, Transport::Udp, 0, &mut out);
        let expected = Answered { query_type: QueryType::Other, rcode: "FORMERR", searched: None };
        assert_eq!(answered(said), Some(expected));
        assert_eq!(parse(&out).metadata.id, 4242);
    }
}

#[test]
fn what_is_no_query_is_not_answered() {
    let mut response = query("web.shop", RecordType::A);
    response.metadata.message_type = MessageType::Response;
    let whole = bytes(&query("web.shop", RecordType::A));
    for request in [&bytes(&response), &whole[..11], &[]] {
        assert!(answer(request, &snapshot(), CLIENT, Transport::Udp, 0, &mut Vec::new()).is_none());
    }
}

#[test]
fn before_the_first_sync_nothing_is_said_about_names() {
    let empty = Snapshot::default();
    let mut out = Vec::new();
    let request = bytes(&query("web.shop", RecordType::A));
    let said = answer(&request, &empty, CLIENT, Transport::Udp, 0, &mut out);
    let expected = Answered { query_type: QueryType::A, rcode: "SERVFAIL", searched: None };
    assert_eq!(answered(said), Some(expected));
    let response = parse(&out);
    assert!(!response.metadata.authoritative && response.authorities.is_empty());
}

#[test]
fn a_name_that_does_not_fit_on_the_wire_is_a_failure_of_ours() {
    assert_eq!(code(&query("unwritable.shop", RecordType::A)), ResponseCode::ServFail);
}

#[test]
fn any_is_answered_with_one_hinfo() {
    let response = ask_udp(&query("db.shop", RecordType::ANY));
    let [record] = response.answers.as_slice() else { panic!("{response:?}") };
    assert_eq!(record.record_type(), RecordType::HINFO);
    assert_eq!(code(&query("nothing.shop", RecordType::ANY)), ResponseCode::NXDomain);
}

#[test]
fn edns_is_answered_only_to_who_speaks_it() {
    let mut request = with_edns(query("nothing.shop", RecordType::A), 4096);
    request.edns.as_mut().expect("just set").set_dnssec_ok(true);
    let edns = ask_udp(&request).edns.expect("EDNS must be answered");
    assert_eq!((edns.version(), edns.max_payload(), edns.flags().dnssec_ok), (0, 1232, true));
    assert!(edns.options().as_ref().is_empty());
    assert_eq!(ask_udp(&query("nothing.shop", RecordType::A)).edns, None);
}

#[test]
fn another_version_of_edns_is_told_ours() {
    let mut request = with_edns(query("web.shop", RecordType::A), 1232);
    request.edns.as_mut().expect("just set").set_version(1);
    let response = ask_udp(&request);
    // 16 is BADVERS or BADSIG, by context; hickory reads it as the latter
    assert_eq!(u16::from(response.metadata.response_code), 16);
    assert_eq!(response.edns.expect("EDNS must be answered").version(), 0);
    assert!(response.answers.is_empty());
}

#[test]
fn answers_over_udp_keep_to_the_size_of_the_client_and_to_ours() {
    // name, EDNS size, largest, how many answers fit: of 16 bytes each, behind 44 of header and
    // question and before 11 of EDNS
    let rows = [
        ("db.shop", None, 512, 3),
        ("big.shop", None, 512, 29),
        ("big.shop", Some(512), 512, 28),
        ("big.shop", Some(100), 512, 28),
        ("big.shop", Some(1232), 1232, 73),
        ("big.shop", Some(65_535), 1232, 73),
    ];
    for (name, size, largest, answers) in rows {
        let request = query(name, RecordType::A);
        let request = match size {
            Some(size) => with_edns(request, size),
            None => request,
        };
        let (response, length) = ask(&request, Transport::Udp);
        assert!(length <= largest, "{name} {size:?}: {length}");
        // with TC the client comes back over TCP; one that cannot has some of the addresses
        assert_eq!(response.metadata.truncation, name == "big.shop", "{name} {size:?}");
        assert_eq!(response.answers.len(), answers, "{name} {size:?}");
        assert_eq!(response.edns.is_some(), size.is_some(), "{name} {size:?}");
        assert_eq!(response.metadata.response_code, ResponseCode::NoError);
    }
}

#[test]
fn additional_records_give_way_without_a_truncated_answer() {
    let mut snapshot = snapshot();
    let zone = std::sync::Arc::make_mut(&mut snapshot.zone);
    let endpoints = (0..10).map(|n| super::endpoint(&format!("e{n}"), n)).collect();
    let some = crate::snapshot::ZoneService::Headless { endpoints };
    zone.services.insert(ObjectKey::new("shop", "some"), some);
    let mut out = Vec::new();
    let request = bytes(&query("_http._tcp.some.shop", RecordType::SRV));
    answer(&request, &snapshot, CLIENT, Transport::Tcp, 0, &mut out).expect("an answer");
    assert_eq!((parse(&out).answers.len(), parse(&out).additionals.len()), (10, 10));
    let request = bytes(&with_edns(query("_http._tcp.some.shop", RecordType::SRV), 700));
    answer(&request, &snapshot, CLIENT, Transport::Udp, 0, &mut out).expect("an answer");
    let response = parse(&out);
    assert_eq!((response.answers.len(), response.additionals.len()), (10, 0));
    assert!(!response.metadata.truncation);
}

#[test]
fn over_tcp_the_client_gets_all_or_as_much_as_a_message_holds() {
    let (response, _) = ask(&query("big.shop", RecordType::A), Transport::Tcp);
    assert_eq!((response.answers.len(), response.metadata.truncation), (250, false));
    let (response, length) = ask(&query("huge.shop", RecordType::A), Transport::Tcp);
    assert!(response.answers.len() > 4_000 && length > 65_000, "{length}");
    assert!(response.metadata.truncation);
    let request = with_edns(query("huge.shop", RecordType::A), 1232);
    let (response, _) = ask(&request, Transport::Tcp);
    assert!(response.metadata.truncation && response.edns.is_some());
}

#[test]
fn names_are_compressed() {
    // 12 of the header, 31 of the question, 16 for each address
    assert_eq!(ask(&query("db.shop", RecordType::A), Transport::Udp).1, 12 + 31 + 3 * 16);
}

#[test]
fn large_answers_are_compressed_too() {
    // musl reads 768 bytes of an answer over UDP: 35 addresses fit, and do not without compression
    let length =
        |name: &str, transport| ask(&with_edns(query(name, RecordType::A), 1232), transport);
    let (response, all) = length("big.shop", Transport::Tcp);
    assert_eq!((response.answers.len(), all), (250, 12 + 32 + 250 * 16 + 11));
    let request = query("_http._tcp.db.shop", RecordType::SRV);
    let (response, all) = ask(&request, Transport::Tcp);
    assert_eq!((response.answers.len(), response.additionals.len()), (3, 3));
    // each target and each owner is a label and a pointer, or less
    assert!(all <= 12 + 42 + 3 * (12 + 6 + 34) + 3 * 16, "{all}");
}

#[test]
fn types_that_no_name_has_are_no_data_where_the_name_exists() {
    use RecordType::{CAA, HINFO, HTTPS, MX, NAPTR, SVCB};
    for record_type in [HINFO, MX, HTTPS, SVCB, CAA, NAPTR, RecordType::Unknown(65_280)] {
        let apex = Name::from_ascii("cluster.local.").expect("a name");
        let mut request = query("web.shop", record_type);
        request.queries[0].set_name(apex);
        for (request, expected) in [
            (request, ResponseCode::NoError),
            (query("web.shop", record_type), ResponseCode::NoError),
            (query("nothing.shop", record_type), ResponseCode::NXDomain),
        ] {
            let response = ask_udp(&request);
            assert_eq!(response.metadata.response_code, expected, "{record_type}");
            assert_eq!((response.answers.len(), response.authorities.len()), (0, 1));
        }
    }
}

#[test]
fn options_of_edns_that_nobody_knows_are_dropped() {
    use hickory_proto::rr::rdata::opt::EdnsOption;
    let mut request = with_edns(query("web.shop", RecordType::A), 1232);
    let edns = request.edns.as_mut().expect("just set");
    edns.options_mut().insert(EdnsOption::Unknown(65_001, vec![1, 2, 3]));
    edns.options_mut().insert(EdnsOption::Unknown(10, vec![7; 8]));
    let response = ask_udp(&request);
    assert_eq!(response.answers.len(), 1);
    assert!(response.edns.expect("EDNS must be answered").options().as_ref().is_empty());
}

#[test]
fn addresses_turn_and_aliases_stay_in_front() {
    let order = |rotate: u64| {
        let mut out = Vec::new();
        let request = bytes(&query("alias.shop", RecordType::A));
        answer(&request, &snapshot(), CLIENT, Transport::Udp, rotate, &mut out).expect("an answer");
        let response = parse(&out);
        response.answers.iter().map(|record| record.data.to_string()).collect::<Vec<_>>()
    };
    const ALIASED: &str = "db.shop.svc.cluster.local.";
    assert_eq!(order(0), [ALIASED, "10.0.0.0", "10.0.0.1", "10.0.0.2"]);
    assert_eq!(order(1), [ALIASED, "10.0.0.1", "10.0.0.2", "10.0.0.0"]);
    assert_eq!(order(u64::MAX), order(0));
}

#[test]
fn bytes_that_are_no_host_name_are_labels_like_others() {
    let mut request = query("web.shop", RecordType::A);
    let labels: [&[u8]; 5] = [b"web.shop", b"\xff\0", b"svc", b"cluster", b"local"];
    let name = Name::from_labels(labels).expect("a name");
    request.queries.first_mut().expect("one question").set_name(name);
    let response = ask_udp(&request);
    assert_eq!(response.metadata.response_code, ResponseCode::NXDomain);
    assert_eq!(response.queries, request.queries);
}

/// Checks what holds for every answer.
fn check_any(request: &[u8], transport: Transport) -> Result<(), TestCaseError> {
    let mut out = Vec::new();
    let answered = answer(request, &snapshot(), CLIENT, transport, 1, &mut out);
    let is_query = request.len() >= 12 && request.get(2).is_some_and(|flags| flags & 0x80 == 0);
    prop_assert_eq!(answered.is_some(), is_query);
    if !is_query {
        return Ok(());
    }
    prop_assert_eq!(out.get(..2), request.get(..2));
    prop_assert!(out.get(2).is_some_and(|flags| flags & 0x80 != 0));
    prop_assert!(transport == Transport::Tcp || out.len() <= 1232);
    let response = Message::from_vec(&out).expect("an answer must be readable");
    if let (Ok(request), Some(question)) = (Message::from_vec(request), response.queries.first()) {
        prop_assert_eq!(Some(question), request.queries.first());
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_bytes_are_answered_or_ignored(
        request in prop::collection::vec(any::<u8>(), 0..600),
        is_tcp: bool,
    ) {
        check_any(&request, if is_tcp { Transport::Tcp } else { Transport::Udp })?;
    }

    #[test]
    fn any_damaged_query_is_answered_or_ignored(
        name in prop::sample::select(&["web.shop", "_http._tcp.db.shop", "alias.shop", "x"][..]),
        record_type in any::<u16>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        length in any::<prop::sample::Index>(),
        is_cut: bool,
    ) {
        let mut request = bytes(&with_edns(query(name, RecordType::from(record_type)), 1232));
        for (at, byte) in changes {
            let at = at.index(request.len());
            request[at] = byte;
        }
        if is_cut {
            request.truncate(length.index(request.len()));
        }
        check_any(&request, Transport::Udp)?;
    }
}
