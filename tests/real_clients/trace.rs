//! The context of a trace (W3C Trace Context and Baggage) belongs to those at the ends: it arrives as
//! it was sent, good or not.

use crate::common::Block;
use crate::common::backend::Backend;
use crate::common::http::seen;
use crate::front::{Front, run};

/// What `traceparent` says: the first is valid.
const PARENTS: [&str; 5] = [
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "00-00000000000000000000000000000000-0000000000000000-00",
    "ff-4BF92F3577B34DA6A3CE929D0E0E4736-00F067AA0BA902B7-01-more",
    "no trace, \"at\" all;",
    "0",
];
/// A list in two fields, whose order says who was last.
const STATES: [&str; 2] = ["rojo=00f067aa0ba902b7, empty=", "congo=t61rcWkgMzE;2"];
const BAGGAGE: &str = "userId=am%C3%A9lie;private,server node=DF%2028 , x = y";

/// How curl comes, and its scheme.
const WAYS: [(&str, &str); 4] = [
    ("--http1.1", "http"),
    ("--http1.1", "https"),
    ("--http2-prior-knowledge", "http"),
    ("--http2", "https"),
];

fn fields(parent: &str) -> Vec<String> {
    let states = STATES.map(|state| format!("tracestate: {state}"));
    let baggage = format!("baggage: {BAGGAGE}");
    let fields = [format!("traceparent: {parent}"), baggage].into_iter().chain(states);
    fields.flat_map(|field| ["-H".to_owned(), field]).collect()
}

#[test]
fn the_context_of_a_trace_arrives_as_it_was_sent() {
    let front = Front::start();
    for (way, scheme) in WAYS {
        for path in ["/echo", "/h2c"] {
            for parent in PARENTS {
                let fields = fields(parent);
                let arguments: Vec<&str> = fields.iter().map(String::as_str).collect();
                let url = format!("{scheme}://app.test{path}");
                let told = front.curl(&[&[way], &arguments[..]].concat(), &url);
                let told = serde_json::from_str(&told).unwrap_or_else(|_| panic!("{told}"));
                assert_eq!(seen(&told, "traceparent"), [parent], "{way} {url}");
                assert_eq!(seen(&told, "tracestate"), STATES, "{way} {url}");
                assert_eq!(seen(&told, "baggage"), [BAGGAGE], "{way} {url}");
            }
            // nobody has begun a trace: rutter begins none
            let told = front.curl(&[way], &format!("{scheme}://app.test{path}"));
            assert!(!told.contains("traceparent"), "{told}");
        }
    }
}

#[test]
fn the_context_of_a_trace_arrives_with_a_call_of_grpc() {
    let block = Block::claim();
    let addr = block.addr(130, 8080);
    let _echo = Backend::http(addr, "grpc-0");
    let front = Front::with_grpc(addr);
    // one empty message, not compressed
    let message = front.ca.with_file_name("message");
    std::fs::write(&message, [0; 5]).expect("a file");
    let (message, ip, ca) = (format!("@{}", message.display()), front.site.http().ip(), front.ca());
    let method = "gateway_api_conformance.echo_basic.grpcecho.GrpcEcho/Echo";
    let resolve = [format!("grpc.test:80:{ip}"), format!("grpc.test:443:{ip}")];
    for (way, scheme) in [WAYS[2], WAYS[3]] {
        for parent in PARENTS {
            let fields = fields(parent);
            let mut arguments: Vec<&str> = fields.iter().map(String::as_str).collect();
            arguments.extend(["-sS", "--max-time", "20", "--noproxy", "*", "--cacert", &ca, way]);
            arguments.extend(["--resolve", &resolve[0], "--resolve", &resolve[1]]);
            arguments.extend(["-H", "content-type: application/grpc", "-H", "te: trailers"]);
            let url = format!("{scheme}://grpc.test/{method}");
            arguments.extend(["--data-binary", &message, &url]);
            let told = run("curl", &arguments);
            for value in [parent, STATES[0], STATES[1], BAGGAGE] {
                assert!(told.contains(value), "{way} {url}: no {value} in {told}");
            }
        }
    }
}
