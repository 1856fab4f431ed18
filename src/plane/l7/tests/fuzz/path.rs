//! Targets and hosts: the one form that rules are matched by. An input is a number of them, one a
//! line.

use std::sync::Arc;

use super::super::world::{fail, rule};
use crate::fuzz_tests::Target as Fuzz;
use crate::plane::l7::route::{Target, canonical_host};
use crate::snapshot::matching::{Asked, Pattern};
use crate::snapshot::{HostMatch, MatchPath, Reason, RouteTable, Rule};

const PATHS: Fuzz<'_> = Fuzz {
    name: "path",
    words: &[
        "/",
        "//",
        "/.",
        "/..",
        "/./",
        "/../",
        "%2e",
        "%2E",
        "%2f",
        "%5c",
        "\\",
        "%00",
        "%25",
        "%",
        ";",
        "..;",
        "%3b",
        "?",
        "#",
        "*",
        "http://",
        "https://h",
        ":80",
        "@",
        "[::1]",
        "a",
        "%61",
        "/foo",
        "/aaa/bbb",
        "/strict/",
        "é",
        "\n/",
    ],
    inputs: 20_000,
};

/// Rules of every kind of path.
fn rules() -> RouteTable {
    let rule = |label: &str, path: MatchPath| {
        let rule = rule(HostMatch::Any, "", fail(Reason::NoService));
        Arc::new(Rule { label: label.into(), path, ..Arc::unwrap_or_clone(rule) })
    };
    let regex = Pattern::new("/[a-z]+[.]html").expect("a pattern");
    RouteTable::new(vec![
        rule("foo", MatchPath::Prefix("/foo".into())),
        rule("bbb", MatchPath::Prefix("/aaa/bbb".into())),
        rule("aaa", MatchPath::Prefix("/aaa".into())),
        rule("strict", MatchPath::Exact("/strict/".into())),
        rule("html", MatchPath::Regex(regex)),
        rule("rest", MatchPath::Fallback),
    ])
}

fn selected<'t>(table: &'t RouteTable, path: &str) -> Option<&'t str> {
    let fields = std::iter::empty::<(&[u8], &[u8])>();
    let asked = Asked { host: "h", path, method: "GET", query: "", fields };
    table.select(&asked).map(|rule| &*rule.label)
}

/// A path as an endpoint reads it that decodes all of it and then takes the dots out: segments, and
/// whether a slash ends it.
fn understood(path: &str) -> Option<(Vec<Vec<u8>>, bool)> {
    let mut decoded = Vec::new();
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        let digits = |bytes: &mut std::str::Bytes<'_>| {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            Some(16 * digit(bytes.next()?)? + digit(bytes.next()?)?)
        };
        decoded.push(if byte == b'%' { u8::try_from(digits(&mut bytes)?).ok()? } else { byte });
    }
    let (mut segments, mut is_folder) = (Vec::<Vec<u8>>::new(), true);
    for segment in decoded.split(|byte| *byte == b'/') {
        is_folder = matches!(segment, b"" | b"." | b"..");
        match segment {
            b"" | b"." => {}
            b".." => drop(segments.pop()),
            name => segments.push(name.to_vec()),
        }
    }
    Some((segments, is_folder))
}

/// Bytes that a path of whatever reading must not have.
fn is_ambiguous(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    ["%2f", "%5c", "%00", "\\"].iter().any(|it| lower.contains(it))
}

fn check_target(line: &str, table: &RouteTable) -> Option<(bool, usize)> {
    let target = Target::parse(line, "GET")?;
    let path = target.matched();
    assert!(path.starts_with('/') && !path.contains("//"), "{path}");
    assert!(path.split('/').all(|segment| !matches!(segment, "." | "..")), "{path}");
    assert!(path.bytes().all(|byte| byte.is_ascii_graphic()), "{path}");
    assert!(target.query.is_empty() || target.query.starts_with('?'));
    let sent = format!("{path}{}", target.query);
    let again = Target::parse(&sent, "GET").expect("what goes on is a target");
    assert_eq!((&*again.path, again.query), (path, target.query));
    // the endpoint reads of it what it would have read of the other
    let start =
        target.authority.map_or(0, |it| line.find("://").unwrap_or_default() + 3 + it.len());
    let original = line.get(start..line.len() - target.query.len()).expect("within the line");
    let original = if original.is_empty() { "/" } else { original };
    assert!(!is_ambiguous(original), "{line}");
    assert_eq!(understood(path), understood(original), "{path} of {original}");
    assert_eq!(selected(table, path), selected(table, again.matched()));
    let rule = selected(table, path).expect("there is one for the rest");
    Some((*path == *original, rule.len() + path.matches('%').count()))
}

fn check_host(line: &str) -> Option<usize> {
    let host = canonical_host(line)?;
    assert!(!host.is_empty() && host.len() <= line.len());
    assert!(!host.bytes().any(|byte| byte.is_ascii_uppercase() || !byte.is_ascii_graphic()));
    assert!(!host.contains(['/', '@', ',', '?', '#', '\\', '%']), "{host}");
    let again = canonical_host(&host);
    assert_eq!(again.as_deref(), Some(&*host));
    let bare = line.rsplit_once(':').map_or(line, |(host, _)| host);
    let same = [line, bare]
        .into_iter()
        .any(|it| it.eq_ignore_ascii_case(&host) || it.eq_ignore_ascii_case(&format!("{host}.")));
    assert!(same, "{host} of {line}");
    Some(host.len())
}

#[test]
fn damaged_targets_have_one_form_or_are_refused() {
    let table = rules();
    PATHS.fuzz(|input, _| {
        let text = String::from_utf8_lossy(input);
        let lines = text.lines().take(50);
        let made = lines.map(|line| (check_target(line, &table), check_host(line)));
        made.last()
    });
}
