//! Manifests as people edit them, in the middle of an edit: what can be read is read, and whatever
//! is said of the rest points into the file.

use super::corefile::{Corefile, Directive, Word};
use super::document::documents;
use super::yaml::{Decoded, Places, STACK_BYTES, decode};
use super::{Finding, Object, Origin, Span};
use crate::fuzz_tests::Target;

const MANIFESTS: Target<'_> = Target { name: "manifest", words: &WORDS, inputs: 2_000 };

/// What manifests are made of, and what YAML has besides.
pub(crate) const WORDS: [&str; 48] = [
    "\n",
    "\r\n",
    "\r",
    "\n---\n",
    "\n...\n",
    "  ",
    "\t",
    "- ",
    ": ",
    ":",
    "{",
    "}",
    "[",
    "]",
    ", ",
    "\"",
    "'",
    "|\n",
    ">-\n",
    "&a ",
    "*a",
    "<<: *a",
    "!!binary ",
    "!!str ",
    "%YAML 1.2\n",
    "\u{feff}",
    "\u{85}",
    "\u{2028}",
    "# ",
    "null",
    "~",
    "true",
    "on",
    "0x10",
    "010",
    "1e3",
    ".nan",
    "-1",
    "65536",
    "2001:db8::1",
    "10.0.0.0/8",
    "kind: Service\n",
    "kind: List\nitems:\n- ",
    "metadata: {name: a}\n",
    "é",
    "\0",
    "{{ x }}",
    "name: http",
];

fn is_inside(span: Span, lines: usize) -> bool {
    let line = usize::try_from(span.line).unwrap_or(usize::MAX);
    (1..=lines.max(1)).contains(&line) && span.column > 0 && span.length > 0
}

/// Every finding is about a line of the file, and an object that it names has a name.
fn check_finding(finding: &Finding, lines: usize) {
    assert!(finding.origin.line as usize <= lines.max(1), "{finding:?}");
    if let Some(span) = finding.span {
        assert!(is_inside(span, lines), "{finding:?}");
    }
    assert!(!finding.message.is_empty());
}

fn check(text: &str) -> Decoded {
    let decoded = decode("f.yaml", text);
    let (count, lines) = (documents(text).len(), text.lines().count());
    let mut places = Places::new(text);
    for finding in &decoded.findings {
        check_finding(finding, lines);
        let found = places.find(&finding.origin, &finding.field);
        assert!(found.is_none_or(|span| is_inside(span, lines)), "{found:?} of {finding:?}");
        assert!((finding.origin.document as usize) < count);
    }
    for (object, origin) in &decoded.objects {
        assert!(!object.metadata().name.is_empty());
        assert!((1..=lines).contains(&(origin.line as usize)), "{origin:?}");
        for field in ["", "metadata.name", "spec.ports[0].port", "spec.rules[1].host"] {
            let found = places.find(origin, field);
            assert!(found.is_some_and(|span| is_inside(span, lines)), "{found:?} of {field}");
        }
    }
    decoded
}

/// A line more in front: everything is the same, a line below.
fn check_below(text: &str, decoded: &Decoded) {
    let below = decode("f.yaml", &format!("# in front\n{text}"));
    let objects = |of: &Decoded, lines: u32| {
        let one = |(object, origin): &(Object, Origin)| (object.clone(), origin.line + lines);
        of.objects.iter().map(one).collect::<Vec<_>>()
    };
    assert_eq!(objects(&below, 0), objects(decoded, 1));
    let findings = |of: &Decoded, lines: u32| {
        let one = |it: &Finding| {
            (it.code, it.field.clone(), it.span.map(|span| (span.line + lines, span.column)))
        };
        of.findings.iter().map(one).collect::<Vec<_>>()
    };
    assert_eq!(findings(&below, 0), findings(decoded, 1));
    assert_eq!(below.broken, decoded.broken);
}

/// The documents are parts of the text, in order, and say where they begin.
fn check_documents(text: &str) {
    let (mut seen, mut lines) = (0, 0);
    for document in documents(text) {
        let start = document.text.as_ptr() as usize - text.as_ptr() as usize;
        lines += text[seen..start].matches('\n').count();
        seen = start;
        assert_eq!(document.lines_before as usize, lines);
    }
}

/// On a stack such as the thread has that reads directories.
pub(crate) fn on_its_stack(test: fn()) {
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(test);
    thread.expect("a thread").join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

#[test]
fn damaged_manifests_are_read_or_told_about_at_a_line_of_the_file() {
    on_its_stack(|| {
        MANIFESTS.fuzz(|input, rng| {
            let text = String::from_utf8_lossy(input);
            let decoded = check(&text);
            check_documents(&text);
            if rng.below(4) == 0 && !text.starts_with('\u{feff}') {
                check_below(&text, &decoded);
            }
            let codes: Vec<_> =
                decoded.findings.iter().map(|it| (it.code, it.field.clone())).collect();
            (decoded.objects.len(), decoded.broken.len(), codes)
        });
    });
}

const COREFILES: Target<'_> = Target {
    name: "corefile",
    words: &[
        "{",
        "}",
        "\n",
        "\r\n",
        "\"",
        "\\\"",
        "\\",
        "#",
        "(a) {\n",
        "import a\n",
        "import ../x",
        " ",
        "\t",
        ". {\n",
        ":53",
        "tls://",
        "forward . ",
        "{$X}",
        "\u{feff}",
        "\u{2028}",
        "é",
        "/etc/resolv.conf",
    ],
    inputs: 4_000,
};

/// A word is where it says it is.
fn check_word(word: &Word, lines: &[&str]) {
    let line = lines.get(word.span.line as usize - 1).expect("a line");
    // every word of a line looks for its own place in it
    if line.len() > 4_096 {
        return;
    }
    let from: String = line.chars().skip(word.span.column as usize - 1).collect();
    // keys of a block may be one word with commas in it
    let is_there = from.contains(word.text.as_str()) || from.starts_with('"');
    assert!(is_there, "{word:?} in {line:?}");
}

fn check_directive(directive: &Directive, lines: &[&str], depth: usize) -> usize {
    assert!(depth < 1_000, "blocks have a deepest");
    let words = std::iter::once(&directive.name).chain(&directive.arguments);
    words.for_each(|word| check_word(word, lines));
    1 + directive.body.iter().map(|it| check_directive(it, lines, depth + 1)).sum::<usize>()
}

#[test]
fn damaged_corefiles_are_read_or_told_about_at_a_line_of_the_text() {
    COREFILES.fuzz(|input, _| {
        let text = String::from_utf8_lossy(input);
        let corefile = Corefile::parse(&text);
        let count = text.lines().count();
        for problem in &corefile.problems {
            assert!(is_inside(problem.span, count), "{problem:?}");
        }
        let lines: Vec<_> = text.strip_prefix('\u{feff}').unwrap_or(&text).split('\n').collect();
        let mut directives = 0;
        for block in &corefile.blocks {
            assert!(!block.keys.is_empty());
            block.keys.iter().for_each(|word| check_word(word, &lines));
            directives +=
                block.directives.iter().map(|it| check_directive(it, &lines, 0)).sum::<usize>();
        }
        let problems: Vec<_> = corefile.problems.iter().map(|it| it.message.len()).collect();
        (corefile.blocks.len().min(9), directives.min(40), problems, corefile.is_broken)
    });
}
