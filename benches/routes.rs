//! The cost of finding a rule, by the number of rules: `cargo bench --bench routes`.
//!
//! Tables of 1 to 100,000 rules: ten a host, of which some are exact, some ask for a method or a
//! header field, and one host in a hundred has a regular expression. Prints nanoseconds a match
//! (median of 9 rounds over all hosts) and allocations a match. The goals: flat but for the
//! caches of the processor, and no allocation at all (the bench fails otherwise).

use std::hint::black_box;
use std::sync::Arc;

use rutter::manifest::{Kind, ObjectKey, ObjectRef, Origin};
use rutter::snapshot::matching::{Asked, FieldMatch, MatchValue, Pattern, Predicates};
use rutter::snapshot::{Action, Failure, HostMatch, MatchPath, Reason, RouteTable, Rule, Timeouts};
use tokio::time::Instant;

const ROUNDS: usize = 9;
const MATCHES: usize = 200_000;

fn main() {
    let quick = std::env::args().any(|arg| arg == "--quick");
    let sizes: &[usize] = if quick { &[1, 1_000] } else { &[1, 10, 100, 1_000, 10_000, 100_000] };
    println!("{:>8}  {:>8}  {:>11}", "rules", "ns/match", "allocations");
    for size in sizes {
        let table = table(*size);
        let hosts: Vec<String> = (0..size.div_ceil(10)).map(host).collect();
        let mut times: Vec<u128> = (0..ROUNDS).map(|_| round(&table, &hosts)).collect();
        times.sort_unstable();
        let median = times.get(ROUNDS / 2).copied().unwrap_or_default();
        let allocated = allocation_counter::measure(|| {
            for host in hosts.iter().take(1_000) {
                black_box(ask(&table, host, "/api/v1/carts/7"));
            }
        });
        println!("{size:>8}  {median:>8}  {:>11}", allocated.count_total);
        assert_eq!(allocated.count_total, 0, "a match must not allocate");
    }
}

/// Nanoseconds a match, over all hosts in an order that caches cannot foresee.
fn round(table: &RouteTable, hosts: &[String]) -> u128 {
    let start = Instant::now();
    let mut at = 0_usize;
    for _ in 0..MATCHES {
        at = (at * 1_103_515_245 + 12_345) % hosts.len().max(1);
        assert!(black_box(ask(table, &hosts[at], "/api/v1/carts/7")), "every host has a rule");
    }
    start.elapsed().as_nanos() / MATCHES as u128
}

fn ask(table: &RouteTable, host: &str, path: &str) -> bool {
    let fields: [(&[u8], &[u8]); 3] =
        [(b"host", b"h"), (b"user-agent", b"bench"), (b"x-version", b"2")];
    let asked = Asked { host, path, method: "GET", query: "?page=1", fields: fields.into_iter() };
    table.select(&asked).is_some()
}

fn host(number: usize) -> String {
    format!("shop-{number}.example.com")
}

fn table(rules: usize) -> RouteTable {
    RouteTable::new((0..rules).map(rule).collect())
}

fn rule(number: usize) -> Arc<Rule> {
    let regex = || Pattern::new("/static/[a-z]+\\.js").expect("a pattern");
    let header = FieldMatch { name: "x-version".into(), value: MatchValue::Exact("3".into()) };
    let (path, predicates) = match number % 10 {
        0 => (MatchPath::Prefix("".into()), Predicates::default()),
        1 => (MatchPath::Exact("/health".into()), Predicates::default()),
        2 => {
            let method = Some("POST".into());
            let predicates = Predicates { method, ..Predicates::default() };
            (MatchPath::Prefix("/api/v1/carts".into()), predicates)
        }
        3 => {
            let predicates = Predicates { headers: vec![header], ..Predicates::default() };
            (MatchPath::Prefix("/api/v1/carts".into()), predicates)
        }
        4 if number % 1_000 == 4 => (MatchPath::Regex(regex()), Predicates::default()),
        other => (MatchPath::Prefix(format!("/api/v{other}").into()), Predicates::default()),
    };
    Arc::new(Rule {
        route: ObjectRef::new(Kind::HttpRoute, ObjectKey::new("shop", format!("r{number}"))),
        label: "shop/r".into(),
        host: HostMatch::Exact(host(number / 10).into()),
        path,
        predicates,
        filters: Vec::new(),
        timeouts: Timeouts::default(),
        retry: None,
        session: None,
        action: Action::Fail(Failure { reason: Reason::NoService, detail: "".into() }),
        origin: Origin::default(),
        field: "".into(),
    })
}
