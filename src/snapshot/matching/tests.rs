use super::*;
use crate::manifest::{Kind, ObjectKey, ObjectRef, Origin};
use crate::snapshot::{Action, Failure, HostMatch, Reason};

fn rule(name: &str, host: &str, path: MatchPath) -> Arc<Rule> {
    let host = match host.strip_prefix("*.") {
        Some(suffix) => HostMatch::Wildcard(suffix.into()),
        None if host.is_empty() => HostMatch::Any,
        None => HostMatch::Exact(host.into()),
    };
    Arc::new(Rule {
        route: ObjectRef::new(Kind::Ingress, ObjectKey::new("default", name)),
        label: name.into(),
        host,
        path,
        predicates: Predicates::default(),
        filters: Vec::new(),
        timeouts: Default::default(),
        retry: None,
        session: None,
        action: Action::Fail(Failure { reason: Reason::NoService, detail: "".into() }),
        origin: Origin::default(),
        field: "".into(),
    })
}

fn prefix(path: &str) -> MatchPath {
    MatchPath::Prefix(path.trim_end_matches('/').into())
}

fn exact(path: &str) -> MatchPath {
    MatchPath::Exact(path.into())
}

type NoFields<'a> = std::iter::Empty<(&'a [u8], &'a [u8])>;

fn get<'a>(host: &'a str, path: &'a str) -> Asked<'a, NoFields<'a>> {
    Asked { host, path, method: "GET", query: "", fields: std::iter::empty() }
}

#[track_caller]
fn check(rules: &[Arc<Rule>], host: &str, path: &str, expected: Option<&str>) {
    let table = RouteTable::new(rules.to_vec());
    let selected = table.select(&get(host, path)).map(|rule| &*rule.label);
    assert_eq!(selected, expected, "{host} {path}");
}

#[test]
fn paths_match_as_the_ingress_table_says() {
    // reference: ingress.md section 1.2 and the conformance scenarios 10 to 25
    let rows: [(&[MatchPath], &str, bool); 17] = [
        (&[prefix("/")], "/anything", true),
        (&[exact("/foo")], "/foo", true),
        (&[exact("/foo")], "/foo/", false),
        (&[exact("/foo")], "/FOO", false),
        (&[exact("/foo")], "/bar", false),
        (&[exact("/foo/")], "/foo", false),
        (&[prefix("/foo")], "/foo", true),
        (&[prefix("/foo")], "/foo/", true),
        (&[prefix("/foo/")], "/foo", true),
        (&[prefix("/foo/")], "/foo/", true),
        (&[prefix("/aaa/bb")], "/aaa/bbb", false),
        (&[prefix("/aaa/bbb")], "/aaa/bbb", true),
        (&[prefix("/aaa/bbb")], "/aaa/bbb/", true),
        (&[prefix("/aaa/bbb")], "/aaa/bbb/ccc", true),
        (&[prefix("/aaa/bbb")], "/aaa/bbbxyz", false),
        (&[prefix("/aaa/bbb/")], "/aaa/bbb", true),
        (&[prefix("/foo")], "/FOO", false),
    ];
    for (paths, request, matches) in rows {
        let rules: Vec<_> = paths.iter().map(|path| rule("r", "", path.clone())).collect();
        check(&rules, "any.host", request, matches.then_some("r"));
        assert_eq!(path_matches(&paths[0], request), matches, "{paths:?} {request}");
    }
}

#[test]
fn the_longest_prefix_wins_and_exact_beats_prefix() {
    let rules = [
        rule("root", "", prefix("/")),
        rule("aaa", "", prefix("/aaa")),
        rule("bbb", "", prefix("/aaa/bbb")),
        rule("exact", "", exact("/aaa/bbb")),
    ];
    check(&rules, "h", "/aaa/bbb", Some("exact"));
    check(&rules, "h", "/aaa/bbb/ccc", Some("bbb"));
    check(&rules, "h", "/aaa/ccc", Some("aaa"));
    check(&rules, "h", "/aaaccc", Some("root"));
    check(&rules, "h", "/ccc", Some("root"));
}

#[test]
fn hosts_are_exact_then_wildcard_of_one_label_then_any() {
    let rules = [
        rule("any", "", prefix("/")),
        rule("wild", "*.foo.com", prefix("/")),
        rule("bar", "bar.foo.com", prefix("/")),
    ];
    check(&rules, "bar.foo.com", "/", Some("bar"));
    check(&rules, "baz.foo.com", "/", Some("wild"));
    check(&rules, "baz.bar.foo.com", "/", Some("any"));
    check(&rules, "foo.com", "/", Some("any"));
    check(&rules[1..], "foo.com", "/", None);
}

#[test]
fn a_host_without_a_rule_for_the_path_falls_through() {
    let rules = [
        rule("bar", "bar.foo.com", prefix("/only")),
        rule("wild", "*.foo.com", prefix("/")),
        rule("default", "", MatchPath::Fallback),
    ];
    check(&rules, "bar.foo.com", "/other", Some("wild"));
    check(&rules, "elsewhere", "/", Some("default"));
}

#[test]
fn of_equal_rules_the_first_wins() {
    let rules = [rule("first", "h", prefix("/a")), rule("second", "h", prefix("/a/"))];
    check(&rules, "h", "/a", Some("first"));
    let table = RouteTable::new(rules.to_vec());
    let asked = get("h", "/a");
    let verdicts: Vec<_> = table.candidates(&asked).map(|(_, verdict)| verdict).collect();
    assert_eq!(verdicts, [Verdict::Selected, Verdict::LessSpecific]);
}

fn with(label: &str, path: MatchPath, predicates: Predicates) -> Arc<Rule> {
    Arc::new(Rule { predicates, ..Rule::clone(&rule(label, "", path)) })
}

fn field(name: &str, value: &str) -> FieldMatch {
    FieldMatch { name: name.into(), value: MatchValue::Exact(value.into()) }
}

#[test]
fn a_suffix_takes_any_number_of_labels_and_the_longest_wins() {
    let suffix = |label: &str, suffix: &str| {
        let host = HostMatch::Suffix(suffix.into());
        Arc::new(Rule { host, ..Rule::clone(&rule(label, "", prefix("/"))) })
    };
    let rules = [suffix("com", "com"), suffix("foo", "foo.com"), rule("any", "", prefix("/"))];
    check(&rules, "a.foo.com", "/", Some("foo"));
    check(&rules, "a.b.foo.com", "/", Some("foo"));
    check(&rules, "foo.com", "/", Some("com"));
    check(&rules, "com", "/", Some("any"));
}

#[test]
fn among_rules_of_a_path_the_one_that_asks_for_most_wins() {
    // Gateway API HTTPRouteRule: method, then header fields, then query parameters, then order
    let post = Predicates { method: Some("POST".into()), ..Predicates::default() };
    let header = Predicates { headers: vec![field("v", "2")], ..Predicates::default() };
    let two = vec![field("v", "2"), field("color", "blue")];
    let headers = Predicates { headers: two, ..Predicates::default() };
    let query = Predicates { query: vec![field("q", "a b")], ..Predicates::default() };
    let regex = MatchValue::Regex(Pattern::new("[0-9]+").expect("a pattern"));
    let number = FieldMatch { name: "n".into(), value: regex };
    let number = Predicates { query: vec![number], ..Predicates::default() };
    let rules = [
        with("plain", prefix("/"), Predicates::default()),
        with("query", prefix("/"), query),
        with("number", prefix("/"), number),
        with("header", prefix("/"), header),
        with("headers", prefix("/"), headers),
        with("post", prefix("/"), post),
        with("deep", prefix("/deep"), Predicates::default()),
    ];
    let table = RouteTable::new(rules.to_vec());
    type Fields = &'static [(&'static str, &'static str)];
    let rows: [(&str, &str, &str, Fields, &str); 11] = [
        ("GET", "/", "", &[], "plain"),
        ("GET", "/", "?q=a+b", &[], "query"),
        ("GET", "/", "?x=1&q=a%20b", &[], "query"),
        ("GET", "/", "?q=b&q=a+b", &[], "plain"),
        ("GET", "/", "?n=42", &[], "number"),
        ("GET", "/", "?n=42x", &[], "plain"),
        ("GET", "/", "", &[("V", "2")], "header"),
        ("GET", "/", "", &[("v", "2"), ("Color", "blue")], "headers"),
        ("GET", "/", "", &[("v", "2"), ("v", "3")], "plain"),
        ("POST", "/", "", &[("v", "2")], "post"),
        ("POST", "/deep/x", "", &[("v", "2")], "deep"),
    ];
    for (method, path, query, fields, expected) in rows {
        let fields = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let asked = Asked { host: "h", path, method, query, fields };
        let selected = table.select(&asked).map(|rule| &*rule.label);
        assert_eq!(selected, Some(expected), "{asked:?}");
    }
}

#[test]
fn patterns_match_whole_paths_after_exact_ones_and_before_prefixes() {
    let pattern = |text: &str| MatchPath::Regex(Pattern::new(text).expect("a pattern"));
    let rules = [
        rule("root", "", prefix("/")),
        rule("short", "", pattern("/v[0-9]+/.*")),
        rule("long", "", pattern("/v[0-9]+/carts/[a-z]+")),
        rule("exact", "", exact("/v1/carts/a")),
    ];
    check(&rules, "h", "/v1/carts/a", Some("exact"));
    check(&rules, "h", "/v1/carts/b", Some("long"));
    check(&rules, "h", "/v1/x", Some("short"));
    check(&rules, "h", "/a/v1/x", Some("root"));
    assert!(Pattern::new("(").is_err() && Pattern::new("(a{1000}){1000}").is_err());
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    /// The specification, read literally: of all rules that match, the best by host, path, order.
    fn naive<'a>(rules: &'a [Arc<Rule>], host: &str, path: &str) -> Option<&'a Arc<Rule>> {
        rules
            .iter()
            .enumerate()
            .filter(|(_, rule)| host_matches(&rule.host, host) && path_matches(&rule.path, path))
            .min_by_key(|(place, rule)| {
                let host = match rule.host {
                    HostMatch::Exact(_) => 0,
                    HostMatch::Wildcard(_) => 1,
                    HostMatch::Suffix(ref suffix) => 1_000 - suffix.len(),
                    HostMatch::Any => 1_000,
                };
                let path = match &rule.path {
                    MatchPath::Exact(_) => (0, 0),
                    MatchPath::Regex(pattern) => (1, usize::MAX - pattern.to_string().len()),
                    MatchPath::Prefix(path) => (2, usize::MAX - path.len()),
                    MatchPath::Fallback => (3, 0),
                };
                (path.0 == 3, host, path, *place)
            })
            .map(|(_, rule)| rule)
    }

    fn host() -> impl Strategy<Value = String> {
        prop::sample::select(vec!["a.b.c", "b.c", "x.b.c", "c", "z.a.b.c"]).prop_map(String::from)
    }

    fn path() -> impl Strategy<Value = String> {
        prop::collection::vec(prop::sample::select(vec!["", "a", "b", "ab"]), 0..5)
            .prop_map(|elements| format!("/{}", elements.join("/")))
    }

    fn any_rule() -> impl Strategy<Value = Arc<Rule>> {
        (host(), 0..3, path(), 0..7).prop_map(|(host, kind, path, how)| {
            let host = match kind {
                0 => host,
                1 => format!("*.{host}"),
                _ => String::new(),
            };
            let path = match how {
                0..3 => exact(&path),
                3..6 => prefix(&path),
                _ => MatchPath::Fallback,
            };
            let host = if path == MatchPath::Fallback { String::new() } else { host };
            rule("r", &host, path)
        })
    }

    proptest! {
        #[test]
        fn the_index_agrees_with_the_specification(
            rules in prop::collection::vec(any_rule(), 0..12), host in host(), path in path(),
        ) {
            let table = RouteTable::new(rules.clone());
            let (found, wanted) = (table.select(&get(&host, &path)), naive(&rules, &host, &path));
            prop_assert_eq!(found.map(Arc::as_ptr), wanted.map(Arc::as_ptr));
        }
    }
}
