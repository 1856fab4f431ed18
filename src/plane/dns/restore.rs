//! The answer to another question, as the answer to the one that it was made of (`rewrite`).

use std::borrow::Cow;

use hickory_proto::rr::{Name, RData, Record};

use super::wire;
use crate::snapshot::zone::Rewritten;

/// Records about the rewritten name as who has asked `question` is to see them.
pub(super) fn restore(
    records: impl Iterator<Item = Record>,
    rewritten: &Rewritten,
    question: &Name,
) -> Vec<Record> {
    let restorer = Restorer { rewritten, question };
    records.map(|record| restorer.record(record)).collect()
}

struct Restorer<'r> {
    rewritten: &'r Rewritten,
    /// In the case in which it was asked.
    question: &'r Name,
}

impl Restorer<'_> {
    fn record(&self, mut record: Record) -> Record {
        if let Some(name) = self.changed(&record.name, Rewritten::owner) {
            record.name = name;
        }
        if let Some(target) = target(&mut record.data)
            && let Some(name) = self.changed(target, Rewritten::target)
        {
            *target = name;
        }
        record
    }

    fn changed(
        &self,
        name: &Name,
        change: for<'n> fn(&Rewritten, &'n str) -> Cow<'n, str>,
    ) -> Option<Name> {
        let text = wire::text(name);
        let changed = change(self.rewritten, &text);
        // the case of the name that was asked for is that of the query to the upstream (0x20)
        let is_asked = text.eq_ignore_ascii_case(&self.rewritten.name);
        if *changed == *text && !is_asked {
            return None;
        }
        let changed = wire::name(&changed.to_ascii_lowercase()).ok()?;
        Some(if *self.question == changed { self.question.clone() } else { changed })
    }
}

/// The name that a record leads to.
#[expect(clippy::wildcard_enum_match_arm, reason = "most types of records lead to none")]
fn target(data: &mut RData) -> Option<&mut Name> {
    match data {
        RData::CNAME(target) => Some(&mut target.0),
        RData::NS(target) => Some(&mut target.0),
        RData::PTR(target) => Some(&mut target.0),
        RData::SRV(srv) => Some(&mut srv.target),
        RData::MX(mx) => Some(&mut mx.exchange),
        RData::SOA(soa) => Some(&mut soa.mname),
        _ => None,
    }
}
