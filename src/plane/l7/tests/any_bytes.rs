//! Whatever bytes come, and however they were split on the way.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio::io::AsyncWriteExt;
use tokio::task::LocalSet;

use super::world::*;
use crate::life;
use crate::plane::Limits;

/// Runs a test whose clock jumps ahead when everybody waits: time-outs end what is incomplete.
fn run_at_once<F: Future>(test: F) -> F::Output {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    LocalSet::new().block_on(&runtime.expect("a runtime must start"), test)
}

/// Fewer than so many parts, one behind the other.
fn joined(
    part: impl Strategy<Value = &'static str>,
    most: usize,
) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(part, 0..most).prop_map(|parts| parts.concat().into_bytes())
}

/// Pieces of requests, good and bad, that add up to anything.
fn requests_like() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        4 => Just("GET /a HTTP/1.1\r\nHost: h\r\n\r\n"),
        2 => Just("POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"),
        2 => Just("POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"),
        2 => Just("3\r\nabc\r\n"),
        2 => Just("0\r\n\r\n"),
        1 => Just("POST /d HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n"),
        1 => Just("Transfer-Encoding: chunked\r\n"),
        1 => Just("HEAD /e HTTP/1.0\r\nHost: h\r\n\r\n"),
        1 => Just("Connection: close\r\n"),
        1 => Just("Expect: 100-continue\r\n"),
        1 => Just("\r\n"),
        1 => Just("\n"),
        1 => Just("\0"),
        1 => Just("abc"),
    ];
    prop_oneof![9 => joined(part, 8), 1 => prop::collection::vec(any::<u8>(), 0..200)]
}

/// Pieces of heads of which each is near to one of the limits of [`tight`], or beyond it.
fn heads_like() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        2 => Just("GET"),
        1 => Just("FETCHING"),
        1 => Just("@"),
        4 => Just(" "),
        3 => Just("/"),
        2 => Just("/12345678901234"),
        3 => Just(" HTTP/1.1\r\n"),
        1 => Just(" FOO/1.1\r\n"),
        2 => Just("Host: h\r\n"),
        1 => Just("Name: 123456789012\r\n"),
        2 => Just("Name: 12345678901234567890\r\n"),
        3 => Just("\r\n"),
        1 => Just("\n"),
        1 => Just("\0"),
    ];
    joined(part, 20)
}

fn tight() -> Limits {
    Limits {
        head_bytes: 100,
        head_fields: 4,
        field_bytes: 20,
        method_bytes: 8,
        target_bytes: 16,
        ..Limits::default()
    }
}

/// Pieces of responses, good and bad.
fn response_like() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        4 => Just("HTTP/1.1 200 OK\r\n"),
        1 => Just("HTTP/1.1 204 No Content\r\n"),
        1 => Just("HTTP/1.1 103 Early Hints\r\n\r\n"),
        1 => Just("HTTP/1.1 100 Continue\r\n\r\n"),
        1 => Just("HTTP/1.1 101 Switching Protocols\r\n"),
        2 => Just("Content-Length: 3\r\n"),
        2 => Just("Transfer-Encoding: chunked\r\n"),
        1 => Just("Connection: close\r\n"),
        4 => Just("\r\n"),
        2 => Just("abc"),
        2 => Just("3\r\nabc\r\n"),
        2 => Just("0\r\n\r\n"),
        1 => Just("\n"),
        1 => Just("\0"),
    ];
    // text, because the client of these tests reads text
    prop_oneof![9 => joined(part, 8), 1 => prop::collection::vec(0..128_u8, 0..200)]
}

/// Sends the bytes, cut at these places and with everybody else idle in between.
async fn send_in_pieces(client: &mut Client, bytes: &[u8], cuts: &[usize]) {
    let mut from = 0;
    for cut in cuts.iter().map(|cut| (*cut).min(bytes.len())).chain([bytes.len()]) {
        let piece = bytes.get(from..cut).unwrap_or_default();
        from = cut;
        // the other side may have heard enough
        if client.stream.write_all(piece).await.is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn cuts() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(0..300_usize, 0..6).prop_map(|mut cuts| {
        cuts.sort_unstable();
        cuts
    })
}

type Requests = Rc<RefCell<Vec<String>>>;

/// An endpoint that answers a request once it has all of it.
async fn patient_origin() -> (SocketAddr, Requests) {
    let (origin, requests) = (Manual::new().await, Requests::default());
    let (addr, all) = (origin.addr, requests.clone());
    life::spawn_local("origin", async move {
        loop {
            let mut connection = origin.accept().await;
            let all = all.clone();
            life::spawn_local("origin", async move {
                while let Some(request) = whole_request(&mut connection).await {
                    all.borrow_mut().push(request);
                    let _ = connection.stream.write_all(OK.as_bytes()).await;
                }
            });
        }
    });
    (addr, requests)
}

/// The head and the body without its framing.
async fn whole_request(connection: &mut Client) -> Option<String> {
    let mut request = read_until(connection, "\r\n\r\n").await?;
    if request.contains("\r\nContent-Length: 3\r\n") {
        request += &read_length(connection, 3).await?;
    } else if request.contains("\r\nTransfer-Encoding: chunked\r\n") {
        loop {
            let size = read_until(connection, "\r\n").await?;
            let size = usize::from_str_radix(size.trim_end(), 16).expect("the size of a chunk");
            request += &read_length(connection, size).await?;
            read_until(connection, "\r\n").await?;
            if size == 0 {
                break;
            }
        }
    }
    Some(request)
}

/// What the client is answered, and what the endpoint was sent, without what differs from time to
/// time.
async fn exchanged(limits: &Limits, bytes: &[u8], cuts: &[usize]) -> (Vec<String>, Vec<String>) {
    const UNSTABLE: [&str; 3] = ["Date: ", "X-Request-Id: ", "X-Forwarded-Port: "];
    let (origin, requests) = patient_origin().await;
    let world = World::to_within(limits.clone(), &[origin]).await;
    let mut client = world.client().await;
    send_in_pieces(&mut client, bytes, cuts).await;
    let answers = client.rest().await;
    let is_stable = |line: &&str| !UNSTABLE.iter().any(|field| line.starts_with(field));
    let lines = |text: &str| text.lines().filter(is_stable).map(str::to_owned).collect::<Vec<_>>();
    let requests = requests.borrow().join("\n");
    (lines(&answers), lines(&requests))
}

/// Interim answers, then one whole answer or the beginning of one, and nothing after it.
fn is_one_answer(answer: &str) -> bool {
    let Some((head, rest)) = answer.split_once("\r\n\r\n") else { return false };
    let Some(status) = head.strip_prefix("HTTP/1.1 ") else { return false };
    let has = |field: &str| head.lines().any(|line| line == field);
    match status.get(..3) {
        Some("101") => true,
        Some(interim) if interim.starts_with('1') => rest.is_empty() || is_one_answer(rest),
        Some("204") => rest.is_empty(),
        _ if has("Transfer-Encoding: chunked") => are_chunks(rest),
        _ => head
            .lines()
            .find_map(|line| line.strip_prefix("Content-Length: ")?.parse().ok())
            .is_some_and(|length: usize| rest.len() <= length),
    }
}

/// Chunks up to the last one or up to a cut, and nothing after the last one.
fn are_chunks(text: &str) -> bool {
    let Some((size, rest)) = text.split_once("\r\n") else { return text.len() < 9 };
    match usize::from_str_radix(size, 16) {
        Ok(0) => rest == "\r\n" || rest.is_empty(),
        Ok(size) => match rest.get(size..) {
            Some(rest) => rest.strip_prefix("\r\n").map_or(rest.len() < 2, are_chunks),
            None => true,
        },
        Err(_) => text.is_empty(),
    }
}

fn check<S: Strategy>(inputs: S, test: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let config = Config { failure_persistence: None, ..Config::default() };
    TestRunner::new(config).run(&inputs, test).expect("it must hold for every input");
}

#[test]
fn requests_get_the_same_answers_however_they_are_split() {
    let requests = (Just(Limits::default()), requests_like());
    let requests = prop_oneof![requests, (Just(tight()), heads_like())];
    check((requests, cuts()), |((limits, bytes), cuts)| {
        let panics = life::task_panics();
        let (whole, split) = run_at_once(async {
            (exchanged(&limits, &bytes, &[]).await, exchanged(&limits, &bytes, &cuts).await)
        });
        prop_assert_eq!(whole, split);
        prop_assert_eq!(life::task_panics(), panics);
        Ok(())
    });
}

#[test]
fn what_is_refused_is_refused_for_the_same_reason_however_it_was_split() {
    const ROWS: [(&str, usize, &str); 9] = [
        ("METHODICAL / HTTP/1.1\r\n\r\n", 9, "501 method_too_long"),
        ("METHODICAL\n", 9, "501 method_too_long"),
        ("METHODICAL\r\n\r\n", 9, "501 method_too_long"),
        ("\0ETHODICAL\n", 9, "400 bad_request"),
        ("\0ETHODICAL / HTTP/1.1\r\n\r\n", 9, "400 bad_request"),
        ("GET /1234567890123456 HTTP/1.1\r\n\r\n", 20, "414 uri_too_long"),
        ("GET /123456789012345678901234567890\0\n", 36, "414 uri_too_long"),
        ("POST /123456789012345678901234567890 FOO/1.1\r\n\r\n", 40, "414 uri_too_long"),
        (
            "GET / HTTP/1.1\r\na: 1234567890\r\nb: 1234567890\r\nc: 1234567890\r\n\
             d: 1234567890\r\ne: 1234567890\r\nf: 12345678\n",
            100,
            "431 headers_too_large",
        ),
    ];
    for (bytes, cut, expected) in ROWS {
        for cuts in [&[][..], &[cut]] {
            let (answers, requests) =
                run_at_once(async { exchanged(&tight(), bytes.as_bytes(), cuts).await });
            let last = answers.last().map(String::as_str);
            assert_eq!(last, Some(&*format!("rutter: {expected}")), "{bytes:?} {cuts:?}");
            assert!(requests.is_empty(), "{bytes:?} {cuts:?}");
        }
    }
}

#[test]
fn one_empty_line_before_a_request_is_skipped_however_it_arrives() {
    let request = "\r\nGET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    let limits = Limits::default();
    let twice = format!("\r\n{request}");
    for cuts in [&[][..], &[1], &[2], &[1, 2], &[3], &[1, 2, 3, 4]] {
        run_at_once(async {
            let (answers, requests) = exchanged(&limits, request.as_bytes(), cuts).await;
            assert_eq!(answers.first().map(String::as_str), Some("HTTP/1.1 200 OK"), "{cuts:?}");
            assert_eq!(requests.first().map(String::as_str), Some("GET /a HTTP/1.1"), "{cuts:?}");
            let (answers, requests) = exchanged(&limits, twice.as_bytes(), cuts).await;
            let refused = Some("HTTP/1.1 400 Bad Request");
            assert_eq!(answers.first().map(String::as_str), refused, "{cuts:?}");
            assert!(requests.is_empty(), "{cuts:?}");
        });
    }
}

#[test]
fn whatever_an_endpoint_answers_the_client_gets_one_answer_or_an_end() {
    check((response_like(), cuts()), |(bytes, cuts)| {
        let panics = life::task_panics();
        let answer = run_at_once(async {
            let origin = Manual::new().await;
            let world = World::to(&[origin.addr]).await;
            let mut client = world.client().await;
            client.send("POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await;
            let mut upstream = origin.accept().await;
            upstream.head().await;
            send_in_pieces(&mut upstream, &bytes, &cuts).await;
            drop(upstream);
            client.rest().await
        });
        prop_assert_eq!(life::task_panics(), panics);
        prop_assert!(answer.is_empty() || is_one_answer(&answer), "{answer}");
        Ok(())
    });
}
