//! The search list of a client, gone through for it in one round trip (CoreDNS: autopath).
//!
//! The first name of the list that exists decides, whatever its records are: the client asks for
//! both families of addresses, and both have to end at one name. (So do CoreDNS and musl. glibc
//! goes on after a name without records, and asks for the next itself.) If none exists, the answer
//! is that to the question as it was asked. What nobody here can know ends the list: the client
//! goes on, and asks who can. An upstream that fails ends it with that failure: the name might have
//! been there, and a later one must not be taken for it.

use hickory_proto::op::Message;

use super::draft::{Asking, Draft};
use super::wire;
use crate::observe::Searched;
use crate::snapshot::zone::{Lookup, Outcome, Record, RecordData, Search};

/// Answers a question whose name does not exist, which `missed` says.
pub(super) fn draft(asking: &Asking<'_>, empty: Message, asked: &str, missed: Lookup) -> Draft {
    let name = asked.to_ascii_lowercase();
    let Some(search) = asking.zone().search(asking.from, &name) else {
        return asking.settle(empty, asked, missed, None);
    };
    let is_recursive = empty.metadata.recursion_desired;
    if search.is_answered() && is_recursive && is_searched(asking, asked) {
        return go_through(asking, &empty, asked, missed, &search);
    }
    asking.settle(empty, asked, missed, Some(wasted(&search)))
}

/// Whether the answer can be that to another name: also not if the name has bytes that its text does
/// not tell.
fn is_searched(asking: &Asking<'_>, asked: &str) -> bool {
    wire::query(asking.question.query_type).is_searched() && !asked.contains('?')
}

fn go_through(
    asking: &Asking<'_>,
    empty: &Message,
    asked: &str,
    missed: Lookup,
    search: &Search<'_>,
) -> Draft {
    let namespace = search.namespace.cloned().unwrap_or_default();
    let found = || Some(Searched::Answered(namespace.clone()));
    let settle = |lookup, searched| asking.settle(empty.clone(), asked, lookup, searched);
    let query = wire::query(asking.question.query_type);
    let (mut outside, mut last) = (Vec::new(), None);
    for name in search.names().filter(|name| wire::name(name).is_ok()) {
        let lookup = asking.zone().lookup(&name, query);
        match &lookup.outcome {
            Outcome::NxDomain => {}
            Outcome::OutOfZone if asking.zone().forward.route(&name).is_some() => {
                outside.push(name);
            }
            Outcome::OutOfZone => break,
            Outcome::Records(_) | Outcome::NoData => {
                last = Some(aliased(asking, asked, &name, lookup));
                break;
            }
        }
    }
    let end = match last {
        Some(lookup) => settle(lookup, found()),
        None => settle(missed.clone(), Some(wasted(search))),
    };
    outside.iter().rfold(end, |otherwise, name| {
        let nothing = Lookup { outcome: Outcome::Records(Vec::new()), ..missed.clone() };
        match settle(aliased(asking, asked, name, nothing), found()) {
            Draft::Ask(mut pending) => {
                pending.otherwise = Some(Box::new(otherwise));
                Draft::Ask(pending)
            }
            Draft::Whole(whole) => Draft::Whole(whole),
        }
    })
}

/// Puts an alias to a name in front of what it has. A name without records is none.
fn aliased(asking: &Asking<'_>, asked: &str, name: &str, lookup: Lookup) -> Lookup {
    let Outcome::Records(found) = lookup.outcome else { return lookup };
    let alias = Record {
        name: asked.to_ascii_lowercase().into(),
        ttl: asking.zone().ttl,
        data: RecordData::Cname(name.into()),
    };
    let outcome = Outcome::Records([vec![alias], found].concat());
    Lookup { outcome, ..lookup }
}

/// A step of a search list that leads nowhere.
pub(super) fn wasted(search: &Search<'_>) -> Searched {
    Searched::Missed(search.namespace.cloned().unwrap_or_default())
}
