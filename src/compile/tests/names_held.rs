//! Names that are made of what changed, and of those that are held, are those made of everything.

use proptest::prelude::*;

use super::*;
use crate::manifest::{Kind, ObjectRef};

/// What somebody does, by the object that it is done to.
#[derive(Clone, Debug)]
enum Step {
    Service(u8, u8),
    Slice(u8, u8),
    Pod(u8),
    Corefile(u8),
    Namespace(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0u8..6, 0u8..9).prop_map(|(which, how)| Step::Service(which, how)),
        5 => (0u8..4, 0u8..9).prop_map(|(of, how)| Step::Slice(of, how)),
        2 => (0u8..3).prop_map(Step::Pod),
        1 => (0u8..5).prop_map(Step::Corefile),
        1 => (0u8..2).prop_map(Step::Namespace),
    ];
    prop::collection::vec(step, 1..14)
}

/// The object, or that it is not there. Addresses are few, so that they collide: some are virtual
/// and those of endpoints as well.
fn object_of(step: &Step) -> Result<Object, ObjectRef> {
    let gone = |kind, name: String| Err(ObjectRef::new(kind, ObjectKey::new("default", name)));
    match step {
        Step::Service(which, how) => {
            // the last two differ in case only
            let name = ["a", "b", "c", "d", "e", "E"].get(usize::from(*which)).copied();
            let name = name.unwrap_or_default();
            let ports = json!([{"name": format!("p{}", how % 2), "port": 80}]);
            let spec = match how {
                0 => return gone(Kind::Service, name.into()),
                1 | 2 => json!({"clusterIP": "None", "ports": ports}),
                3 => json!({"clusterIP": "None", "selector": {"app": "x"}, "ports": ports}),
                4 => json!({"type": "ExternalName", "externalName": "a.example"}),
                5 => json!({"ports": ports}),
                _ => json!({"clusterIP": format!("127.96.0.{how}"), "ports": ports}),
            };
            let mut service = service(name, spec);
            service["metadata"]["labels"] = json!({"team": format!("t{}", how % 2)});
            Ok(object(service))
        }
        Step::Slice(of, how) => {
            let name = format!("s{of}{}", how % 2);
            if *how == 0 {
                return gone(Kind::EndpointSlice, name);
            }
            let owner = ["a", "b", "c", "nobody"].get(usize::from(*of)).copied();
            let endpoint = json!({"addresses": [format!("127.96.0.{how}")],
                "conditions": {"ready": how % 4 != 1}, "hostname": format!("h{}", how % 3)});
            Ok(object(json!({"kind": "EndpointSlice", "addressType": "IPv4",
                "metadata": {"name": name, "labels": {"kubernetes.io/service-name": owner}},
                "endpoints": [endpoint], "ports": [{"name": "p0", "port": 8080}]})))
        }
        Step::Pod(0) => gone(Kind::Pod, "x-0".into()),
        Step::Pod(which) => Ok(object(pod("x-0", &format!("127.96.0.{}", 6 + which)))),
        Step::Corefile(how) => {
            let inside =
                ["", "ignore empty_service", "labels team=t1", "noendpoints", "namespaces x"];
            let inside = inside.get(usize::from(*how)).copied().unwrap_or_default();
            let zones = if how % 2 == 0 { "in-addr.arpa" } else { "" };
            let text =
                format!(".:53 {{\n kubernetes cluster.local {zones} {{\n {inside}\n }}\n}}\n");
            Ok(config_map(&text))
        }
        Step::Namespace(0) => Err(ObjectRef::new(Kind::Namespace, ObjectKey::cluster("more"))),
        Step::Namespace(_) => {
            Ok(object(json!({"kind": "Namespace", "metadata": {"name": "more"}})))
        }
    }
}

/// Enough of them that a few changes are few.
fn bystanders() -> Vec<Value> {
    let numbered = |number: u32| {
        let mut it = service(&format!("by{number}"), json!({"ports": [{"port": 80}]}));
        it["metadata"]["namespace"] = json!("crowd");
        it
    };
    (0..300).map(numbered).collect()
}

fn take(objects: &mut Objects, step: &Step) {
    match object_of(step) {
        Ok(object) => {
            objects.apply(&Sourced { object, origin: Origin::default(), stale: false });
        }
        Err(gone) => objects.remove(&gone),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]
    #[test]
    fn what_is_held_changes_no_name(batches in prop::collection::vec(steps(), 1..6)) {
        let mut objects = objects(bystanders());
        let settings = Settings::default();
        let mut held = Allocations::default();
        for batch in batches {
            batch.iter().for_each(|step| take(&mut objects, step));
            let whole = compile(&objects, &settings, &forgetting(&held), now());
            let compiled = compile(&objects, &settings, &held, now());
            let (ours, expected) = (&compiled.snapshot.zone, &whole.snapshot.zone);
            for (key, answer) in ours.services.iter().chain(expected.services.iter()) {
                prop_assert_eq!(expected.services.get(key), Some(answer), "{}", key);
                prop_assert_eq!(ours.services.get(key), Some(answer), "{}", key);
            }
            prop_assert!(ours.reverse == expected.reverse, "names of addresses differ");
            prop_assert!(compiled == whole, "something else differs");
            held = compiled.allocations;
        }
    }
}

#[test]
fn one_service_leaves_the_names_of_others_where_they_are() {
    let first = service("first", json!({"ports": [{"port": 80}]}));
    let mut objects = objects(bystanders().into_iter().chain([first]));
    let settings = Settings::default();
    let mut compiled = compile(&objects, &settings, &Allocations::default(), now());
    for how in [6, 1, 0] {
        let before = compiled.snapshot.zone.clone();
        take(&mut objects, &Step::Service(0, how));
        compiled = compile(&objects, &settings, &compiled.allocations, now());
        let changed = compiled.snapshot.zone.services.beyond(&before.services).count();
        assert!(changed < 150, "{how}: {changed} of 300");
    }
}
