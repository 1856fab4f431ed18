use std::fs;
use std::os::unix::fs::symlink;

use notify::event::{CreateKind, DataChange};

use super::super::tests::{Fixture, config_map, shown};
use super::*;

/// A source that watches, and what it sends.
struct Watched {
    fixture: Fixture,
    batches: tokio::sync::mpsc::Receiver<Batch>,
    _watch: Watch,
}

impl Watched {
    fn new(files: &[(&str, String)], poll: Duration) -> Self {
        let fixture = Fixture::new(files);
        let directory = Directory::open(&[fixture.place.path().to_owned()]).expect("it exists");
        let (sender, batches) = tokio::sync::mpsc::channel(16);
        let watch = watch(directory, poll, sender).expect("a thread can be started");
        Self { fixture, batches, _watch: watch }
    }

    /// Waits for the next batch.
    #[track_caller]
    fn check(&mut self, expected: &[&str]) {
        let batch = self.batches.blocking_recv().expect("the source must be alive");
        assert_eq!(shown(&batch), expected);
    }
}

/// Longer than any test: what is seen is seen by events.
const NEVER: Duration = Duration::from_secs(3600);

#[test]
fn saved_renamed_and_deleted_files_are_noticed() {
    let mut watched = Watched::new(&[("a.yaml", config_map("a", "1"))], NEVER);
    watched.check(&["init", "+ a", "done", ""]);
    watched.fixture.overwrite("a.yaml", &config_map("a", "22"));
    watched.check(&["~ a"]);
    watched.fixture.write(".b.yaml.tmp", &config_map("b", "1"));
    let path = |name| watched.fixture.path(name);
    fs::rename(path(".b.yaml.tmp"), path("b.yaml")).expect("must be renamed");
    watched.check(&["~ b"]);
    fs::remove_file(watched.fixture.path("a.yaml")).expect("must be removed");
    watched.check(&["- a"]);
    let elsewhere = Fixture::new(&[("new/deep/c.yaml", config_map("c", "1"))]);
    fs::rename(elsewhere.path("new"), watched.fixture.path("new")).expect("must be renamed");
    watched.check(&["~ c"]);
    watched.fixture.write("new/deep/c.yaml", &config_map("c", "22"));
    watched.check(&["~ c"]);
    fs::remove_dir_all(watched.fixture.path("new")).expect("must be removed");
    watched.check(&["- c"]);
}

#[test]
fn an_object_that_is_taken_out_of_a_file_goes_without_another_event() {
    let both = format!("{}---\n{}", config_map("a", "1"), config_map("b", "1"));
    let mut watched = Watched::new(&[("ab.yaml", both)], NEVER);
    watched.check(&["init", "+ a", "+ b", "done", ""]);
    watched.fixture.write("ab.yaml", &config_map("b", "1"));
    watched.check(&["~ b", "waiting: true"]);
    watched.check(&["- a", "waiting: false"]);
}

#[test]
fn the_deepest_file_is_read_on_the_stack_of_this_thread() {
    let nested = format!("more: {}1{}\n", "{a: ".repeat(62), "}".repeat(62));
    let text = config_map("a", "1") + &nested;
    let mut watched = Watched::new(&[("a.yaml", text)], NEVER);
    let batch = watched.batches.blocking_recv().expect("the source must be alive");
    assert!(shown(&batch).contains(&"+ a".to_owned()), "{:?}", shown(&batch));
}

#[test]
fn a_swapped_config_map_mount_is_noticed() {
    let mut watched = Watched::new(&[("..1/a.yaml", config_map("a", "1"))], NEVER);
    watched.check(&["init", "done", ""]);
    let link = |target, name| {
        symlink(target, watched.fixture.path("..tmp")).expect("must be linked");
        fs::rename(watched.fixture.path("..tmp"), watched.fixture.path(name)).expect("must be");
    };
    link("..1", "..data");
    link("..data/a.yaml", "a.yaml");
    watched.check(&["~ a"]);
    watched.fixture.write("..2/a.yaml", &config_map("a", "2"));
    let link = |target, name| {
        symlink(target, watched.fixture.path("..tmp")).expect("must be linked");
        fs::rename(watched.fixture.path("..tmp"), watched.fixture.path(name)).expect("must be");
    };
    link("..2", "..data");
    watched.check(&["~ a"]);
}

#[test]
fn a_file_given_directly_may_be_replaced() {
    let fixture =
        Fixture::new(&[("a.yaml", config_map("a", "1")), ("b.yaml", config_map("b", "1"))]);
    let directory = Directory::open(&[fixture.path("a.yaml")]).expect("it exists");
    let (sender, batches) = tokio::sync::mpsc::channel(16);
    let watch = watch(directory, NEVER, sender).expect("a thread can be started");
    let mut watched = Watched { fixture, batches, _watch: watch };
    watched.check(&["init", "+ a", "done", ""]);
    watched.fixture.write("new", &config_map("a", "2"));
    fs::rename(watched.fixture.path("new"), watched.fixture.path("a.yaml")).expect("must be");
    watched.check(&["~ a"]);
}

#[test]
fn a_directory_that_goes_and_comes_back_is_followed() {
    let outer = Fixture::new(&[("m/a.yaml", config_map("a", "1"))]);
    let directory = Directory::open(&[outer.path("m")]).expect("it exists");
    let (sender, batches) = tokio::sync::mpsc::channel(16);
    let watch = watch(directory, Duration::from_millis(20), sender).expect("must start");
    let mut watched = Watched { fixture: outer, batches, _watch: watch };
    watched.check(&["init", "+ a", "done", ""]);
    fs::rename(watched.fixture.path("m"), watched.fixture.path("old")).expect("must be renamed");
    watched.check(&["- a", "RT001"]);
    fs::rename(watched.fixture.path("old"), watched.fixture.path("m")).expect("must be renamed");
    watched.check(&["~ a", ""]);
    watched.fixture.write("m/a.yaml", &config_map("a", "22"));
    watched.check(&["~ a"]);
}

#[test]
fn the_poll_finds_what_no_event_tells() {
    let elsewhere = Fixture::new(&[("target", config_map("a", "1"))]);
    let mut watched = Watched::new(&[], Duration::from_millis(20));
    watched.check(&["init", "done", ""]);
    let link = watched.fixture.path("a.yaml");
    symlink(elsewhere.path("target"), link).expect("must be linked");
    watched.check(&["~ a"]);
    elsewhere.write("target", &config_map("a", "22"));
    watched.check(&["~ a"]);
}

#[test]
fn the_thread_ends_with_its_handle() {
    let Watched { mut batches, _watch: watch, fixture: _fixture } = Watched::new(&[], NEVER);
    assert!(batches.blocking_recv().is_some());
    watch.rescan();
    drop(watch);
    assert!(batches.blocking_recv().is_none());
}

#[test]
fn what_is_written_to_other_files_is_no_reason_to_look() {
    let written = EventKind::Modify(ModifyKind::Data(DataChange::Any));
    let closed = EventKind::Access(AccessKind::Close(AccessMode::Write));
    let created = EventKind::Create(CreateKind::File);
    let rows = [
        (written, Some("m/access.log"), true),
        (closed, Some("m/access.log"), true),
        (EventKind::Access(AccessKind::Read), Some("m/a.yaml"), true),
        // it may be a directory, or a link to one
        (created, Some("m/access.log"), false),
        (written, Some("m/a.yaml"), false),
        (closed, Some("m/a.json"), false),
        (written, Some("./named.conf"), false),
        // the queue of the system was full
        (written, None, false),
        (EventKind::Other, None, false),
    ];
    for (kind, path, expected) in rows {
        let event = path.map(PathBuf::from).into_iter().fold(Event::new(kind), Event::add_path);
        assert_eq!(is_harmless(&event, &["named.conf".into()]), expected, "{event:?}");
    }
}
