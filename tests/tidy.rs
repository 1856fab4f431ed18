//! The invariants of ARCHITECTURE.md that the compiler cannot hold: which folder may import which,
//! where a third-party crate may be named, how long files and functions are.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// What each folder of `src` may import of the others. `app`, `cli` and `admin` see everything.
const IMPORTS: [(&str, &[&str]); 14] = [
    ("manifest", &[]),
    ("source", &["manifest"]),
    ("store", &["compile", "life", "manifest", "snapshot", "source"]),
    ("compile", &["manifest", "snapshot", "store"]),
    ("snapshot", &["manifest"]),
    ("explain", &["manifest", "snapshot"]),
    ("balance", &["snapshot"]),
    ("net", &[]),
    ("plane", &["balance", "life", "manifest", "net", "observe", "snapshot"]),
    ("echo", &["life", "net"]),
    ("observe", &["config", "life", "manifest", "snapshot"]),
    ("life", &[]),
    ("acme", &["compile", "config", "life", "manifest", "plane", "snapshot", "store"]),
    ("config", &["compile", "manifest", "plane"]),
];

/// Where a crate may be named: folders or files.
const FENCES: [(&str, &[&str]); 16] = [
    ("serde_saphyr", &["src/manifest/"]),
    ("arc_swap", &["src/snapshot/cell.rs"]),
    ("hickory_proto", &["src/plane/dns/"]),
    ("nix::sys", &["src/net/"]),
    ("notify::", &["src/source/directory/"]),
    ("prometheus_client", &["src/observe/"]),
    ("prost::", &["src/plane/l7/filter/external_auth/"]),
    ("annotate_snippets", &["src/cli/"]),
    ("x509_parser", &["src/acme/", "src/compile/", "src/plane/tls/"]),
    ("instant_acme", &["src/acme/"]),
    ("rustls_native_certs", &["src/plane/tls/"]),
    ("quinn::", &["src/plane/l7/downstream/h3/"]),
    ("h3::", &["src/plane/l7/downstream/h3/"]),
    ("brotli::", &["src/plane/l7/compress/"]),
    ("flate2::", &["src/plane/l7/compress/"]),
    ("zstd::", &["src/plane/l7/compress/"]),
];

/// Folders that are functions of their arguments.
const PURE: [&str; 4] = ["compile", "explain", "balance", "snapshot"];
/// What such a folder must not say, but for the one file that hands snapshots over.
const IMPURE: [&str; 6] =
    ["std::fs", "async fn", ".await", "SystemTime::now", "Instant::now", "tokio::net"];
const CELL: &str = "src/snapshot/cell.rs";

const MAX_FILE_LINES: usize = 400;
const MAX_FUNCTION_LINES: usize = 60;
/// Files that are longer all the same. A waiver that is needed no more fails: the list shrinks.
const LONG_FILES: [&str; 1] = ["src/echo/tests.rs"];
/// Functions that are longer all the same.
const LONG_FUNCTIONS: [&str; 0] = [];

struct Source {
    path: PathBuf,
    /// Relative to the root, with `/`.
    name: String,
    text: String,
}

fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    collect(&Path::new(ROOT).join("src"), &mut found);
    found.sort_by(|left, right| left.name.cmp(&right.name));
    found
}

fn collect(dir: &Path, found: &mut Vec<Source>) {
    for entry in fs::read_dir(dir).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(ROOT).expect("below the root").display().to_string();
            let text = fs::read_to_string(&path).expect("UTF-8");
            found.push(Source { path, name, text });
        }
    }
}

impl Source {
    /// The folder of `src` that it is in, or its own name for `src/app.rs`.
    fn folder(&self) -> &str {
        let below = self.name.strip_prefix("src/").expect("below src");
        below.split(['/', '.']).next().expect("a name")
    }

    fn is_test(&self) -> bool {
        self.name.ends_with("tests.rs") || self.name.contains("/tests/")
    }

    /// Its lines without tests at its end and without comments.
    fn code(&self) -> impl Iterator<Item = &str> {
        let is_test = self.is_test();
        self.text
            .lines()
            .take_while(|line| !line.trim_start().starts_with("#[cfg(test)]"))
            .filter(|line| !line.trim_start().starts_with("//"))
            .filter(move |_| !is_test)
    }
}

/// The folders named by `crate::` in a line, also in a list of braces.
fn imported(line: &str) -> impl Iterator<Item = &str> {
    line.split("crate::").skip(1).map(|rest| {
        let end = rest.find(|char: char| !char.is_ascii_alphanumeric() && char != '_');
        rest.get(..end.unwrap_or(rest.len())).unwrap_or_default()
    })
}

#[test]
fn folders_import_only_what_the_design_allows() {
    let mut problems = Vec::new();
    for source in sources() {
        let folder = source.folder().to_owned();
        let Some((_, allowed)) = IMPORTS.iter().find(|(name, _)| *name == folder) else { continue };
        for line in source.code() {
            for other in imported(line).filter(|other| !other.is_empty() && *other != folder) {
                if !allowed.contains(&other) {
                    problems.push(format!("{}: {folder} imports {other}", source.name));
                }
            }
        }
    }
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn planes_never_import_each_other() {
    let planes = ["announce", "dns", "l4", "l7"];
    // what planes share knows none of them
    let rooms = [&planes[..], &["tls"]].concat();
    for source in sources() {
        let Some(room) =
            rooms.iter().find(|it| source.name.starts_with(&format!("src/plane/{it}/")))
        else {
            continue;
        };
        for line in source.code() {
            for other in planes.iter().filter(|other| *other != room) {
                let is_import = line.contains(&format!("plane::{other}"));
                assert!(!is_import, "{}: {room} imports {other}", source.name);
            }
        }
    }
}

#[test]
fn third_party_crates_stay_behind_their_fences() {
    for source in sources() {
        for (name, rooms) in FENCES {
            let is_named = source.code().any(|line| line.contains(name));
            let is_inside = rooms.iter().any(|room| source.name.starts_with(room));
            assert!(!is_named || is_inside, "{}: {name}", source.name);
        }
    }
}

#[test]
fn pure_folders_do_no_io_and_read_no_clock() {
    for source in sources() {
        if !PURE.contains(&source.folder()) || source.name == CELL {
            continue;
        }
        for word in IMPURE {
            let is_said = source.code().any(|line| line.contains(word));
            assert!(!is_said, "{} is pure, but says {word}", source.name);
        }
    }
}

#[test]
fn nothing_is_left_undone_or_unsafe() {
    for source in sources() {
        for word in ["todo!", "unimplemented!", "dbg!", "unsafe {", "unsafe fn", "unsafe impl"] {
            let is_said = source.code().any(|line| line.contains(word));
            assert!(!is_said, "{}: {word}", source.name);
        }
    }
}

#[test]
fn files_are_short() {
    let long = |source: &Source| source.text.lines().count() > MAX_FILE_LINES;
    let long: BTreeSet<String> = sources().into_iter().filter(long).map(|it| it.name).collect();
    assert_eq!(long, waived(&LONG_FILES), "files of more than {MAX_FILE_LINES} lines");
}

#[test]
fn functions_are_short() {
    let mut long = BTreeSet::new();
    for source in sources() {
        for (name, lines) in functions(&source.text) {
            if lines > MAX_FUNCTION_LINES {
                long.insert(format!("{} {name}", source.name));
            }
        }
    }
    assert_eq!(long, waived(&LONG_FUNCTIONS), "functions of more than {MAX_FUNCTION_LINES} lines");
}

fn waived(list: &[&str]) -> BTreeSet<String> {
    list.iter().map(|name| (*name).to_owned()).collect()
}

/// Name and length of every function: from its `fn` to the brace at the same indentation, which
/// rustfmt puts there.
fn functions(text: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let Some((before, after)) = line.split_once("fn ") else { continue };
        let is_definition = before
            .split_whitespace()
            .all(|word| word.starts_with("pub") || ["async", "const", "crate)"].contains(&word));
        let opens = lines.iter().skip(start).find(|line| line.ends_with(['{', ';', '}']));
        if !is_definition || !opens.is_some_and(|line| line.ends_with('{')) {
            continue;
        }
        let name = after.split(['(', '<']).next().unwrap_or_default().to_owned();
        let indent = line.len() - line.trim_start().len();
        let end = format!("{}}}", " ".repeat(indent));
        let length = lines.iter().skip(start).position(|line| *line == end);
        found.push((name, length.map_or(1, |length| length + 1)));
    }
    found
}

#[test]
fn every_file_is_reached_by_a_mod_line() {
    let sources = sources();
    for source in &sources {
        let stem = source.path.file_stem().expect("a name").to_string_lossy().into_owned();
        if ["main", "lib"].contains(&&*stem) {
            continue;
        }
        let (name, folder) = match &*stem {
            "mod" => {
                let folder = source.path.parent().expect("a folder");
                let name = folder.file_name().expect("a name").to_string_lossy().into_owned();
                (name, folder.parent().expect("a folder").to_owned())
            }
            _ => (stem, source.path.parent().expect("a folder").to_owned()),
        };
        let declares = |text: &str| {
            text.lines().any(|line| {
                let line = line.trim();
                line.ends_with(&format!("mod {name};")) && !line.starts_with("//")
            })
        };
        let parents = [folder.join("mod.rs"), folder.join("lib.rs"), folder.with_extension("rs")];
        let is_reached = sources.iter().any(|it| parents.contains(&it.path) && declares(&it.text));
        assert!(is_reached, "{} is reached by no mod line", source.name);
    }
}

#[test]
fn every_folder_opens_with_its_doc() {
    for source in sources() {
        if source.name.ends_with("/mod.rs") && !source.is_test() {
            assert!(source.text.starts_with("//! "), "{} does not open with //!", source.name);
        }
    }
}

#[test]
fn tests_are_sentences() {
    for source in sources() {
        let mut lines = source.text.lines();
        while let Some(line) = lines.next() {
            if !["#[test]", "#[tokio::test]"].contains(&line.trim()) {
                continue;
            }
            let name = lines.find_map(|line| line.split("fn ").nth(1)).unwrap_or_default();
            let name = name.split('(').next().unwrap_or_default();
            assert!(name.split('_').count() >= 3, "{}: {name} is no sentence", source.name);
        }
    }
}
