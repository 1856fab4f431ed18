use super::*;
use crate::manifest::{Kind, ObjectKey, ObjectRef, Origin};
use crate::snapshot::{Action, Reason};

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
        action: Action::Fail { reason: Reason::NoService, detail: "".into() },
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

#[track_caller]
fn check(rules: &[Arc<Rule>], host: &str, path: &str, expected: Option<&str>) {
    let table = RouteTable::new(rules.to_vec());
    let selected = table.select(host, path).map(|rule| &*rule.label);
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
    let verdicts: Vec<_> = table.candidates("h", "/a").map(|(_, verdict)| verdict).collect();
    assert_eq!(verdicts, [Verdict::Selected, Verdict::LessSpecific]);
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
                    HostMatch::Any => 2,
                };
                let path = match &rule.path {
                    MatchPath::Exact(_) => (0, 0),
                    MatchPath::Prefix(path) => (1, usize::MAX - path.len()),
                    MatchPath::Fallback => (2, 0),
                };
                (path.0 == 2, host, path, *place)
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
            let (found, wanted) = (table.select(&host, &path), naive(&rules, &host, &path));
            prop_assert_eq!(found.map(Arc::as_ptr), wanted.map(Arc::as_ptr));
        }
    }
}
