mod edits;

use std::fs;
use std::os::unix::fs::{FileExt, symlink};
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::manifest::{Code, Finding};
use crate::source::Event;

pub(super) fn config_map(name: &str, value: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{a: v{value}}}\n")
}

/// A directory of manifests, and the source that reads it.
pub(super) struct Fixture {
    pub(super) place: TempDir,
    pub(super) directory: Directory,
}

impl Fixture {
    pub(super) fn new(files: &[(&str, String)]) -> Self {
        let place = tempfile::tempdir().expect("a directory for the test");
        for (name, text) in files {
            write(place.path(), name, text);
        }
        let directory = Directory::open(&[place.path().to_owned()]).expect("the directory exists");
        Self { place, directory }
    }

    /// As [`new`](Self::new), after the first scan.
    fn listed(files: &[(&str, String)]) -> Self {
        let mut fixture = Self::new(files);
        fixture.scan();
        fixture
    }

    pub(super) fn write(&self, name: &str, text: &str) {
        write(self.place.path(), name, text);
    }

    /// Writes into the file that is there; the text must not be shorter.
    pub(super) fn overwrite(&self, name: &str, text: &str) {
        let file = fs::File::options().write(true).open(self.path(name)).expect("must open");
        file.write_all_at(text.as_bytes(), 0).expect("must be written");
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    /// Scans when the files have been left alone for long.
    fn batch(&mut self) -> Batch {
        self.directory.scan_at(SystemTime::now() + Duration::from_secs(60))
    }

    fn scan(&mut self) -> Vec<String> {
        shown(&self.batch())
    }

    #[track_caller]
    fn check(&mut self, expected: &[&str]) {
        assert_eq!(self.scan(), expected);
    }
}

fn write(place: &Path, name: &str, text: &str) {
    let path = place.join(name);
    fs::create_dir_all(path.parent().expect("a file has a directory")).expect("must be created");
    let hidden = place.join(".being-written");
    fs::write(&hidden, text).expect("must be written");
    fs::rename(hidden, path).expect("must be renamed");
}

/// `+` a listed object, `~` an applied one, `-` a deleted one, codes of findings.
pub(super) fn shown(batch: &[Event]) -> Vec<String> {
    let name = |object: &crate::source::Sourced| {
        let stale = if object.stale { " stale" } else { "" };
        format!("{}{stale}", object.object.metadata().name)
    };
    let code = |finding: &Finding| finding.code.to_string();
    batch
        .iter()
        .map(|event| match event {
            Event::Init => "init".to_owned(),
            Event::InitApply(object) => format!("+ {}", name(object)),
            Event::InitDone => "done".to_owned(),
            Event::Apply(object) => format!("~ {}", name(object)),
            Event::Delete(reference) => format!("- {}", reference.key.name),
            Event::Waiting(is_waiting) => format!("waiting: {is_waiting}"),
            Event::Findings(findings) => {
                findings.iter().map(code).collect::<Vec<_>>().join(" ").trim().to_owned()
            }
        })
        .collect()
}

fn findings(batch: &[Event]) -> Vec<Finding> {
    match batch.last() {
        Some(Event::Findings(findings)) => findings.clone(),
        last => panic!("{last:?}"),
    }
}

#[test]
fn the_first_scan_is_a_listing_of_manifests_in_any_depth() {
    let mut fixture = Fixture::new(&[
        ("b.yaml", config_map("b", "1")),
        ("a/deep/er.yml", config_map("er", "1")),
        ("c.JSON", r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"pod"}}"#.into()),
        ("notes.txt", "not: [a manifest".into()),
        (".hidden.yaml", config_map("hidden", "1")),
        (".git/x.yaml", config_map("hidden", "1")),
    ]);
    fixture.check(&["init", "+ pod", "+ b", "+ er", "done", ""]);
    fixture.check(&[]);
}

#[test]
fn later_scans_tell_only_what_changed() {
    let both = format!("{}---\n{}", config_map("a", "1"), config_map("b", "1"));
    let mut fixture =
        Fixture::listed(&[("ab.yaml", both.clone()), ("c.yaml", config_map("c", "1"))]);
    fixture.write("ab.yaml", &both.replace("{a: v1}", "{a: v2}").replacen("{a: v2}", "{a: v1}", 1));
    fixture.check(&["~ b"]);
    fixture.write("d.yaml", &config_map("d", "1"));
    fs::remove_file(fixture.path("c.yaml")).expect("must be removed");
    fixture.check(&["~ d", "- c"]);
}

#[test]
fn a_change_within_the_tick_of_file_times_is_seen() {
    let mut fixture = Fixture::new(&[("a.yaml", config_map("a", "1"))]);
    fixture.directory.scan();
    let times = fs::metadata(fixture.path("a.yaml")).and_then(|it| it.modified());
    fixture.overwrite("a.yaml", &config_map("a", "2"));
    let file = fs::File::options().write(true).open(fixture.path("a.yaml")).expect("must open");
    file.set_modified(times.expect("files have times")).expect("must be set");
    fixture.check(&["~ a"]);
}

#[test]
fn an_object_that_is_missing_is_gone_when_the_file_is_left_alone() {
    let both = format!("{}---\n{}", config_map("a", "1"), config_map("b", "1"));
    let mut fixture = Fixture::listed(&[("ab.yaml", both)]);
    fixture.write("ab.yaml", &config_map("a", "1"));
    let batch = fixture.directory.scan_at(SystemTime::UNIX_EPOCH);
    assert!(matches!(batch[..], [Event::Waiting(true)]), "{batch:?}");
    assert!(fixture.directory.is_waiting());
    fixture.check(&["- b", "waiting: false"]);
    assert!(!fixture.directory.is_waiting());
}

#[test]
fn objects_that_moved_within_a_file_know_their_new_line() {
    let text = format!("{}---\n{}", config_map("a", "1"), config_map("b", "x: [1"));
    let text = format!("{text}---\n{}", config_map("c", "1").replace("\ndata", "\ndota"));
    let mut fixture = Fixture::listed(&[("a.yaml", text.clone())]);
    fixture.write("a.yaml", &format!("# one\n# two\n{text}"));
    let batch = fixture.batch();
    let [Event::Apply(a), Event::Apply(c), _] = batch.as_slice() else {
        panic!("{batch:?}");
    };
    assert_eq!([a.origin.line, c.origin.line], [3, 13]);
    let spans: Vec<_> = findings(&batch).iter().map(|it| it.span.map(|it| it.line)).collect();
    assert_eq!(spans, [Some(11), Some(16)]);
}

#[test]
fn a_broken_object_keeps_its_last_good_version() {
    let good = format!("{}---\n{}", config_map("a", "1"), config_map("b", "1"));
    let mut fixture = Fixture::listed(&[("ab.yaml", good.clone())]);
    fixture.write("ab.yaml", &good.replacen("{a: v1}", "{a: [}", 1));
    fixture.check(&["~ a stale", "RT002"]);
    fixture.check(&[]);
    fixture.write("ab.yaml", &good.replacen("{a: v1}", "{a: v2}", 1));
    fixture.check(&["~ a", ""]);
}

#[test]
fn a_value_of_a_wrong_type_keeps_the_object_but_not_its_neighbours() {
    let good = format!("{}---\n{}", config_map("a", "x"), config_map("b", "x"));
    let mut fixture = Fixture::listed(&[("ab.yaml", good)]);
    fixture.write("ab.yaml", &config_map("a", "").replace("v}", "1.5}"));
    fixture.check(&["~ a stale", "- b", "RT005"]);
}

#[test]
fn a_text_that_was_cut_off_deletes_nothing() {
    let names = ["a", "b", "c", "d"];
    let whole = names.map(|name| config_map(name, "text")).join("---\n");
    let mut fixture = Fixture::listed(&[("all.yaml", whole.clone())]);
    // The cut: behind `b`, within the third `metadata`.
    let (before_c, _) = whole.split_once("{name: c").expect("c is in the text");
    fixture.write("all.yaml", &format!("{before_c}{{na"));
    fixture.check(&["~ c stale", "~ d stale", "RT002"]);
    fixture.write("all.yaml", "");
    fixture.check(&["~ a stale", "~ b stale", "RT008"]);
    fixture.write("all.yaml", &whole);
    fixture.check(&["~ a", "~ b", "~ c", "~ d", ""]);
    fixture.write("all.yaml", "# nothing any more\n");
    fixture.check(&["- a", "- b", "- c", "- d", "RT008"]);
}

#[test]
fn an_object_that_moves_out_of_a_broken_file_is_not_stale() {
    let mut fixture = Fixture::listed(&[("a.yaml", config_map("a", "1"))]);
    fixture.write("a.yaml", "kind: [");
    fixture.write("b.yaml", &config_map("a", "1"));
    fixture.check(&["~ a", "RT002"]);
}

#[test]
fn what_cannot_be_read_keeps_what_it_held() {
    let mut fixture =
        Fixture::listed(&[("a.yaml", config_map("a", "1")), ("sub/b.yaml", config_map("b", "1"))]);
    fs::write(fixture.path("a.yaml"), b"kind: \xff").expect("must be written");
    let batch = fixture.batch();
    assert_eq!(shown(&batch), ["~ a stale", "RT001"]);
    assert_eq!(findings(&batch)[0].span.map(|span| (span.line, span.column)), Some((1, 7)));
    let large = " ".repeat(usize::try_from(file::MAX_FILE_BYTES).expect("fits") + 1);
    fixture.write("a.yaml", &large);
    fixture.check(&["RT001"]);
    fixture.check(&[]);
    fixture.write("a.yaml", &config_map("a", "1"));
    fixture.check(&["~ a", ""]);
}

#[test]
fn a_link_that_leads_nowhere_keeps_what_it_led_to() {
    let mut fixture = Fixture::new(&[(".v1/b.yaml", config_map("b", "1"))]);
    symlink(fixture.path(".v1"), fixture.path("current")).expect("must be linked");
    fixture.check(&["init", "+ b", "done", ""]);
    fs::rename(fixture.path(".v1"), fixture.path(".v2")).expect("must be renamed");
    fixture.check(&["~ b stale", "RT001"]);
    fs::remove_file(fixture.path("current")).expect("must be removed");
    fixture.check(&["- b", ""]);
}

#[test]
fn the_first_in_path_order_has_the_object_and_the_other_is_a_finding() {
    let mut fixture =
        Fixture::new(&[("a.yaml", config_map("x", "1")), ("b.yaml", config_map("x", "2"))]);
    let batch = fixture.batch();
    assert_eq!(shown(&batch), ["init", "+ x", "done", "RT006"]);
    let finding = &findings(&batch)[0];
    assert!(finding.origin.file.ends_with("b.yaml"), "{finding:?}");
    assert!(finding.message.ends_with("a.yaml:1"), "{finding:?}");
    fs::remove_file(fixture.path("a.yaml")).expect("must be removed");
    fixture.check(&["~ x", ""]);
}

#[test]
fn a_mounted_config_map_is_read_once_and_swapped_at_once() {
    let mut fixture = Fixture::new(&[("..2026_1/a.yaml", config_map("a", "1"))]);
    symlink("..2026_1", fixture.path("..data")).expect("must be linked");
    symlink("..data/a.yaml", fixture.path("a.yaml")).expect("must be linked");
    fixture.check(&["init", "+ a", "done", ""]);
    fixture.write("..2026_2/a.yaml", &config_map("a", "2"));
    symlink("..2026_2", fixture.path("..data_tmp")).expect("must be linked");
    fs::rename(fixture.path("..data_tmp"), fixture.path("..data")).expect("must be renamed");
    fs::remove_dir_all(fixture.path("..2026_1")).expect("must be removed");
    fixture.check(&["~ a"]);
}

#[test]
fn a_loop_of_links_is_a_finding_and_nothing_is_listed_twice() {
    let mut fixture = Fixture::new(&[("sub/a.yaml", config_map("a", "1"))]);
    symlink("..", fixture.path("sub/up")).expect("must be linked");
    symlink("sub", fixture.path("z-same")).expect("must be linked");
    symlink("sub/a.yaml", fixture.path("z.yaml")).expect("must be linked");
    symlink("self.yaml", fixture.path("self.yaml")).expect("must be linked");
    fixture.check(&["init", "+ a", "done", "RT001 RT001"]);
    let paths = [fixture.path("sub"), fixture.path("sub/a.yaml"), fixture.place.path().to_owned()];
    let (batch, _) = load(&paths).expect("the paths exist");
    assert_eq!(shown(&batch)[..3], ["init", "+ a", "done"]);
}

#[test]
fn kinds_that_are_not_read_are_noted_once() {
    let deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\n".to_owned();
    let mut fixture = Fixture::new(&[("a.yaml", deployment.clone()), ("b.yaml", deployment)]);
    let batch = fixture.batch();
    assert_eq!(shown(&batch), ["init", "done", "RT003"]);
    assert_eq!(findings(&batch)[0].message, "2 objects of kind Deployment are not read");
}

#[test]
fn a_file_without_objects_is_noted() {
    let mut fixture = Fixture::new(&[("a.yaml", String::new()), ("b.yaml", "# soon\n".into())]);
    fixture.check(&["init", "done", "RT008 RT008"]);
}

#[test]
fn a_path_that_does_not_exist_is_an_error_that_names_it() {
    let error = load(&["/nowhere/at/all".into()]).expect_err("the path does not exist");
    assert_eq!(error.to_string(), "cannot read /nowhere/at/all");
}

#[test]
fn findings_are_located_in_their_files() {
    let fixture = Fixture::new(&[("a.yaml", config_map("a", "1"))]);
    let (batch, mut texts) = load(&[fixture.path("a.yaml")]).expect("the file exists");
    let Some(Event::InitApply(object)) = batch.get(1) else {
        panic!("{batch:?}");
    };
    let finding = Finding::error(Code::BadValue, &object.origin, "bad").at("data.a");
    let elsewhere = Finding::error(Code::BadValue, &file_origin("/nowhere"), "gone");
    let mut findings = [finding, elsewhere];
    locate(&mut findings, &mut texts);
    assert_eq!(findings.map(|it| it.span.map(|it| (it.line, it.column))), [Some((4, 11)), None]);
}

/// Prints what `cargo test --release -- --ignored --nocapture` measures.
#[test]
#[ignore = "measurement"]
fn measure_a_save_among_20_000_objects() {
    let maps = |file: usize| -> String {
        (0..20).map(|i| format!("{}---\n", config_map(&format!("m-{file}-{i}"), "1"))).collect()
    };
    let files: Vec<_> = (0..1_000).map(|file| (format!("{file}.yaml"), maps(file))).collect();
    let files: Vec<_> = files.iter().map(|(name, text)| (name.as_str(), text.clone())).collect();
    let mut fixture = Fixture::new(&files);
    let one = (0..20_000).map(|i| format!("{}---\n", config_map(&format!("one-{i}"), "1")));
    let one: String = one.collect();
    for step in ["listing", "nothing", "small", "large"] {
        match step {
            "small" => fixture.write("7.yaml", &maps(7).replacen("a: v1", "a: v2", 1)),
            "large" => fixture.write("one.yaml", &one),
            _ => {}
        }
        let start = tokio::time::Instant::now();
        let events = fixture.scan().len();
        println!("{step}: {events} events, {:?}", start.elapsed());
    }
    fixture.write("one.yaml", &one.replacen("a: v1", "a: v2", 1));
    let start = tokio::time::Instant::now();
    println!("edit of one.yaml: {:?}, {:?}", fixture.scan(), start.elapsed());
}
