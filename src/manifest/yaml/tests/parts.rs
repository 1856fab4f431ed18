//! Places inside of texts.

use super::*;

#[test]
fn a_part_of_a_text_is_found_on_its_own_line() {
    let map = |value: &str| {
        format!(
            "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\ndata:\n  Corefile: {value}"
        )
    };
    let part = Span { line: 2, column: 3, length: 4 };
    let rows = [
        ("|\n    one\n      two\n", (8, 7)),
        ("|-\n\n    one\n      two\n", (8, 7)),
        ("!!str |2 # indented by hand\n    one\n     two\n", (8, 7)),
        (">\n    one\n    two\n", (6, 3)),
        ("\"one\\n  two\"\n", (6, 3)),
    ];
    for (value, place) in rows {
        let text = map(value);
        let decoded = decode("test.yaml", &text);
        let origin = decoded.objects[0].1.clone();
        let found = Places::new(&text).find_part(&origin, "data.Corefile", part);
        assert_eq!(found.map(|span| (span.line, span.column)), Some(place), "{text}");
    }
    let text = map("x\n").replace("Corefile", "other");
    let origin = decode("test.yaml", &text).objects[0].1.clone();
    let found = Places::new(&text).find_part(&origin, "data.Corefile", part);
    assert_eq!(found.map(|span| span.line), Some(5), "the closest parent");
}
