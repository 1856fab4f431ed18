//! Edits that are followed lead to what reading everything again leads to.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{Fixture, config_map};
use crate::manifest::{Finding, ObjectRef};
use crate::source::{Batch, Event, Sourced};

/// What a listener to a source knows.
#[derive(Debug, Default, PartialEq)]
struct Known {
    objects: BTreeMap<ObjectRef, Sourced>,
    findings: Vec<Finding>,
}

impl Known {
    fn hear(&mut self, batch: Batch) {
        for event in batch {
            match event {
                Event::Init | Event::InitDone => {}
                Event::InitApply(it) | Event::Apply(it) => {
                    self.objects.insert(it.object.reference(), Sourced::clone(&it));
                }
                Event::Delete(reference) => {
                    let was = self.objects.remove(&reference);
                    assert!(was.is_some(), "{reference} is deleted but was not there");
                }
                Event::Findings(findings) => self.findings = findings,
                Event::Waiting(_) => {}
            }
        }
    }
}

/// The objects of a file by name and value; a broken one, and one of no kind that is read, too.
#[derive(Clone, Debug)]
enum Text {
    Objects(Vec<(u8, u8)>),
    Broken(u8),
    Unknown,
    Gone,
}

fn text() -> impl Strategy<Value = Text> {
    prop_oneof![
        8 => prop::collection::vec((0u8..6, 0u8..3), 1..4).prop_map(Text::Objects),
        1 => (0u8..6).prop_map(Text::Broken),
        1 => Just(Text::Unknown),
        2 => Just(Text::Gone),
    ]
}

fn save(fixture: &Fixture, file: u8, text: &Text) {
    let name = format!("f{file}.yaml");
    match text {
        Text::Objects(objects) => {
            let all = objects.iter().map(|(name, value)| {
                format!("---\n{}", config_map(&format!("m{name}"), &value.to_string()))
            });
            fixture.write(&name, &all.collect::<String>());
        }
        Text::Broken(object) => {
            let broken = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m";
            fixture.write(&name, &format!("{broken}{object}}}\ndata: [1]\n"));
        }
        Text::Unknown => fixture.write(&name, "apiVersion: v1\nkind: Job\nmetadata: {name: j}\n"),
        Text::Gone => {
            if fixture.path(&name).exists() {
                std::fs::remove_file(fixture.path(&name)).expect("must be removed");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_listener_to_edits_knows_what_a_merge_of_everything_gives(
        steps in prop::collection::vec(prop::collection::vec((0u8..4, text()), 1..3), 1..8),
    ) {
        let mut fixture = Fixture::new(&[]);
        let mut known = Known::default();
        known.hear(fixture.batch());
        for edits in steps {
            for (file, text) in &edits {
                save(&fixture, *file, text);
            }
            known.hear(fixture.batch());
            // merged whole, from the same files: what was broken keeps what it was
            fixture.directory.view = None;
            let mut whole = Known::default();
            whole.hear(fixture.batch());
            prop_assert_eq!(&known, &whole);
        }
    }
}
