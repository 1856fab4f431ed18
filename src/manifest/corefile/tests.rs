use super::*;

/// A block a line: its keys, then its directives with their places and bodies.
fn shown(corefile: &Corefile) -> Vec<String> {
    let words = |words: &[Word]| words.iter().map(|it| it.text.clone()).collect::<Vec<_>>();
    fn directive(it: &Directive) -> String {
        let place = format!("{}:{}", it.name.span.line, it.name.span.column);
        let words: Vec<&str> = [it.name.text.as_str()].into_iter().chain(it.texts()).collect();
        let body: Vec<String> = it.body.iter().map(directive).collect();
        let body =
            if body.is_empty() { String::new() } else { format!(" {{{}}}", body.join("; ")) };
        format!("{place} {}{body}", words.join("|"))
    }
    let block = |block: &ServerBlock| {
        let directives: Vec<String> = block.directives.iter().map(directive).collect();
        format!("{}: {}", words(&block.keys).join(" "), directives.join("; "))
    };
    corefile.blocks.iter().map(block).collect()
}

#[track_caller]
fn check(text: &str, blocks: &[&str], problems: &[&str]) {
    let corefile = Corefile::parse(text);
    assert_eq!(shown(&corefile), blocks, "{text}");
    let told = corefile.problems.iter().map(|it| {
        let Span { line, column, length } = it.span;
        format!("{line}:{column}+{length} {}", it.message)
    });
    assert_eq!(told.collect::<Vec<_>>(), problems, "{text}");
}

#[test]
fn blocks_are_read_with_the_place_of_every_word() {
    check("", &[], &[]);
    check("# nothing\n\n", &[], &[]);
    check(
        ".:53 {\n    errors\n    cache 30 {  # a comment\n\t\tdisable success a b\n    }\n}\n\
         example.org:53, other.test {\r\n  forward . 10.0.0.1#x\r\n}\r\n",
        &[
            ".:53: 2:5 errors; 3:5 cache|30 {4:3 disable|success|a|b}",
            "example.org:53 other.test: 8:3 forward|.|10.0.0.1#x",
        ],
        &[],
    );
    let corefile = Corefile::parse(". {\n  rewrite \"a  b\" é x\n}\n");
    let words = &corefile.blocks[0].directives[0].arguments;
    let spans: Vec<_> = words.iter().map(|word| (word.span.column, word.span.length)).collect();
    assert_eq!(spans, [(11, 6), (18, 1), (20, 1)]);
}

#[test]
fn quotes_hold_words_together() {
    check(
        ". {\n  a \"x \\\" # y\" \"{\" b\"c\n  d \"two\nlines\" e\n  f\n}\n",
        &[".: 2:3 a|x \" # y|{|b\"c; 3:3 d|two\nlines|e; 5:3 f"],
        &[],
    );
    check(
        ". {\n  a\n  b \"c\n}\n",
        &[".: 2:3 a; 3:3 b"],
        &["1:3+1 this block is not closed", "3:5+1 this quote is not closed"],
    );
}

#[test]
fn keys_may_stand_on_several_lines_and_one_block_without_braces() {
    check("a,\nb\n{\n  errors\n}\n", &["a b: 4:3 errors"], &[]);
    check("a,b {\n}\n", &["a b: "], &[]);
    check(
        "\u{feff}.:53\nerrors\ncache 30 {\n  prefetch 2\n}\n",
        &[".:53: 2:1 errors; 3:1 cache|30 {4:3 prefetch|2}"],
        &[],
    );
}

#[test]
fn snippets_stand_where_they_are_imported() {
    check(
        "(common) {\n  errors\n  cache 30\n}\n(more) {\n  import common\n  log\n}\n. {\n  import \
         more\n  forward . 10.0.0.1 {\n    import common\n  }\n}\n",
        &[
            ".: 2:3 errors; 3:3 cache|30; 7:3 log; 11:3 forward|.|10.0.0.1 {2:3 errors; 3:3 cache|30}",
        ],
        &[],
    );
    check(
        "(common) {\n  errors\n}\n. {\n  import comon\n  log\n  import\n}\nimport x\n",
        &[".: 6:3 log"],
        &[
            "5:10+5 there is no snippet (comon) above this line",
            "7:3+6 import what?",
            "9:1+6 files are not imported",
        ],
    );
}

#[test]
fn what_is_of_the_environment_is_left_out() {
    check(
        ". {\n  log\n  forward . {$UP}\n  bind x{%Y%}\n}\n{$ZONE}:53 {\n  log\n}\n",
        &[".: 2:3 log"],
        &[
            "3:13+5 {$UP} is of the environment, which is not read",
            "4:8+6 x{%Y%} is of the environment, which is not read",
            "6:1+10 {$ZONE}:53 is of the environment, which is not read",
        ],
    );
    check(". {\n  rewrite {1} {$x\n}\n", &[".: 2:3 rewrite|{1}|{$x"], &[]);
}

#[test]
fn braces_that_do_not_match_make_a_corefile_broken() {
    for (text, blocks, problem) in [
        (". {\n  log\n", &[".: 2:3 log"][..], "1:3+1 this block is not closed"),
        (". {\n  log\n}\n}\n", &[".: 2:3 log"], "4:1+1 this brace closes nothing"),
        (". {\n}\na\nlog\n", &[".: "], "3:1+1 a { is missing behind this"),
    ] {
        let corefile = Corefile::parse(text);
        assert_eq!(shown(&corefile), blocks, "{text}");
        assert!(corefile.is_broken, "{text}");
        let Span { line, column, length } = corefile.problems[0].span;
        let told = format!("{line}:{column}+{length} {}", corefile.problems[0].message);
        assert_eq!(told, problem);
    }
    check("{\n  log\n}\n", &[], &["1:1+1 this block is for no zone"]);
    let deep = format!("{}\n", "a {\n".repeat(100_000));
    assert!(Corefile::parse(&deep).is_broken);
}

#[test]
fn snippets_that_import_each_other_do_not_grow_without_end() {
    let mut text = "(s0) {\n  log\n  log\n}\n".to_owned();
    for n in 1..60 {
        let line = format!("  import s{}\n", n - 1);
        text += &format!("(s{n}) {{\n{line}{line}}}\n");
    }
    text += ". {\n  import s59\n}\n";
    let corefile = Corefile::parse(&text);
    assert!(corefile.is_broken);
    assert_eq!(corefile.problems.len(), 1);
}
