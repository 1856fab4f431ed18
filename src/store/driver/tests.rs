use std::cell::Cell;
use std::rc::Rc;

use super::*;
use crate::life::drain;
use crate::manifest::yaml::decode;
use crate::manifest::{Code, Origin};
use crate::snapshot::cell;
use crate::source::{Event, Sourced};

fn config_map(name: &str) -> Event {
    let text = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n");
    let (object, origin) = decode("", &text).objects.pop().expect("the text must be an object");
    Event::Apply(Arc::new(Sourced { object, origin, stale: name == "stale" }))
}

/// A compiler whose snapshot is a zone named by the objects.
fn compile_names(objects: &Objects, _: &Allocations) -> Compiled {
    let names: Vec<_> = objects.config_maps.keys().map(|key| key.name.to_string()).collect();
    let zone = crate::snapshot::Zone { domain: names.join(" ").into(), ..Default::default() };
    let snapshot = Snapshot { zone: Arc::new(zone), ..Snapshot::default() };
    let finding = Finding::warning(Code::EmptySelection, &Origin::default(), "of the compiler");
    let report = Report { findings: vec![finding], ..Report::default() };
    Compiled { snapshot, report, ..Compiled::default() }
}

/// A driver on this thread, fed and watched by the test.
struct Fixture {
    batches: mpsc::Sender<Batch>,
    status: watch::Receiver<Status>,
    reader: cell::Reader,
    compiles: Rc<Cell<u64>>,
}

async fn with_driver<F: Future<Output = ()>>(test: impl FnOnce(Fixture) -> F) {
    let (sender, batches) = mpsc::channel(16);
    let (status, watched) = watch::channel(Status::default());
    let (publisher, reader) = cell::new();
    let compiles = Rc::new(Cell::new(0));
    let counted = compiles.clone();
    let driver = Driver {
        batches,
        hosts: watch::channel(HostsFiles::default()).1,
        issued: watch::channel(Default::default()).1,
        compile: move |objects: &Objects, _: HostsFiles, held: &Allocations| {
            counted.set(counted.get() + 1);
            compile_names(objects, held)
        },
        settings: Settings::default(),
        inbox: Inbox::default(),
        changed: None,
        collect_time: Duration::ZERO,
        allocations: Allocations::default(),
        corefile_failures: 0,
        publisher,
        status,
    };
    let (_signal, drain) = drain();
    let fixture = Fixture { batches: sender, status: watched, reader, compiles };
    let (test, run) = (Box::pin(test(fixture)), Box::pin(driver.run(drain)));
    tokio::select! {
        () = test => {}
        () = run => panic!("the driver must outlive the test"),
    }
}

impl Fixture {
    async fn send(&self, batch: Batch) {
        self.batches.send(batch).await.expect("the driver must be alive");
    }

    async fn next(&mut self) -> Status {
        self.status.changed().await.expect("the driver must be alive");
        self.status.borrow_and_update().clone()
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_published_before_the_first_listing_is_complete() {
    with_driver(async |mut fixture| {
        fixture.send(vec![config_map("early")]).await;
        fixture.send(vec![Event::Init]).await;
        tokio::time::advance(PATIENCE * 2).await;
        assert_eq!(fixture.compiles.get(), 0);
        fixture.send(vec![Event::InitDone]).await;
        let status = fixture.next().await;
        assert_eq!(status.generation, Generation(1));
        assert!(fixture.reader.load().synced);
        assert!(status.published.is_some());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn equal_content_is_compiled_but_not_published_again() {
    with_driver(async |mut fixture| {
        fixture.send(vec![Event::Init, Event::InitDone, config_map("a")]).await;
        assert_eq!(fixture.next().await.generation, Generation(1));
        let finding = Finding::error(Code::Syntax, &Origin::default(), "of the source");
        fixture.send(vec![config_map("a"), Event::Findings(vec![finding])]).await;
        let status = fixture.next().await;
        assert_eq!((status.generation, status.compiles), (Generation(1), 2));
        let messages: Vec<_> = status.report.findings.iter().map(|it| &it.message).collect();
        assert_eq!(messages, ["of the source", "of the compiler"]);
        fixture.send(vec![config_map("stale")]).await;
        let status = fixture.next().await;
        assert_eq!((status.generation, status.stale), (Generation(2), 1));
        assert_eq!(&*fixture.reader.load().zone.domain, "a stale");
    })
    .await;
}

#[test]
fn the_serial_of_the_zone_is_the_time_of_its_last_change_and_always_grows() {
    let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let rows = [
        (0, at(1_700_000_000), 1_700_000_000),
        // two changes within a second, and a clock that was set back
        (1_700_000_000, at(1_700_000_000), 1_700_000_001),
        (1_700_000_001, at(5), 1_700_000_002),
        (0, SystemTime::UNIX_EPOCH - Duration::from_secs(1), 1),
    ];
    for (before, now, expected) in rows {
        assert_eq!(serial(before, now), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn the_serial_changes_with_the_content_only() {
    with_driver(async |mut fixture| {
        fixture.send(vec![Event::Init, Event::InitDone, config_map("a")]).await;
        fixture.next().await;
        let first = fixture.reader.load().serial;
        assert!(first > 1_700_000_000, "{first}");
        fixture.send(vec![config_map("a")]).await;
        fixture.next().await;
        assert_eq!(fixture.reader.load().serial, first);
        fixture.send(vec![config_map("b")]).await;
        fixture.next().await;
        assert!(fixture.reader.load().serial > first);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn batches_that_come_close_together_are_compiled_once() {
    with_driver(async |mut fixture| {
        fixture.send(vec![Event::Init, Event::InitDone]).await;
        for name in ["a", "b", "c"] {
            fixture.send(vec![config_map(name)]).await;
        }
        assert_eq!(fixture.next().await.compiles, 1);
        assert_eq!(&*fixture.reader.load().zone.domain, "a b c");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_change_waits_at_most_a_second_for_quiet() {
    with_driver(async |mut fixture| {
        fixture.send(vec![Event::Init, Event::InitDone]).await;
        fixture.next().await;
        let start = Instant::now();
        let batches = fixture.batches.clone();
        let storm = async {
            loop {
                tokio::time::sleep(QUIET / 2).await;
                let _ = batches.send(vec![config_map("a")]).await;
            }
        };
        tokio::select! {
            _ = fixture.next() => {}
            () = storm => {}
        }
        assert!(start.elapsed() <= PATIENCE + QUIET * 2, "{:?}", start.elapsed());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn everything_is_compiled_again_every_hour() {
    with_driver(async |mut fixture| {
        fixture.send(vec![Event::Init, Event::InitDone]).await;
        fixture.next().await;
        let start = Instant::now();
        assert_eq!(fixture.next().await.compiles, 2);
        assert!(start.elapsed() > RECOMPILE / 2);
    })
    .await;
}
