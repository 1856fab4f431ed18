//! From a question that is well asked to what there is to say: by the zone, or as far as it goes.

use std::net::IpAddr;

use hickory_proto::ProtoError;
use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::answer::{Answered, send};
use super::forward::{Asked, ClientSide};
use super::pending::Pending;
use super::search;
use super::wire::{self, Writer};
use crate::observe::Searched;
use crate::snapshot::zone::{Decision, Lookup, Outcome, RecordData, Rewritten};
use crate::snapshot::{Snapshot, Zone};

/// What there is to say.
#[derive(Debug)]
pub(super) enum Draft {
    /// Everything.
    Whole(Whole),
    /// Something, or nothing, before upstreams are asked.
    Ask(Box<Pending>),
}

/// A whole answer.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) message: Message,
    pub(super) searched: Option<Searched>,
}

impl Whole {
    pub(super) fn send(self, client: ClientSide, out: &mut Vec<u8>) -> Option<Answered> {
        let asked = self.message.queries.first().map(|question| question.query_type);
        let answered = send(&self.message, asked, client.largest, out)?;
        Some(Answered { searched: self.searched, ..answered })
    }
}

/// A question that may be answered.
pub(super) struct Asking<'a> {
    pub(super) question: Query,
    pub(super) snapshot: &'a Snapshot,
    /// The address that asks.
    pub(super) from: IpAddr,
    pub(super) client: ClientSide,
}

impl Asking<'_> {
    /// Answers from the zone; from the search list of the client if that is gone through for it.
    /// `empty` is the answer without records.
    pub(super) fn draft(&self, empty: Message) -> Draft {
        let asked = wire::text(&self.question.name);
        let lookup = self.zone().lookup(&asked, wire::query(self.question.query_type));
        if lookup.outcome == Outcome::NxDomain {
            return search::draft(self, empty, &asked, lookup);
        }
        self.settle(empty, &asked, lookup, None)
    }

    /// Says what the zone has found. A name that is outside, or where the aliases of the zone lead
    /// there, is left over for upstreams.
    pub(super) fn settle(
        &self,
        empty: Message,
        asked: &str,
        lookup: Lookup,
        searched: Option<Searched>,
    ) -> Draft {
        let message = self.fill(empty, asked, &lookup);
        let is_failure = message.metadata.response_code == ResponseCode::ServFail;
        // who does not want recursion wants to know what others have asked for
        let may_ask = message.metadata.recursion_desired && !is_failure;
        let outside = may_ask.then(|| self.outside(asked, &lookup)).flatten();
        let is_routed = |outside: &Outside| self.zone().forward.route(&outside.text).is_some();
        match outside.filter(is_routed) {
            Some(outside) => Draft::Ask(Box::new(self.pending(message, outside, searched))),
            None => Draft::Whole(Whole { message, searched }),
        }
    }

    /// The answer with the records of a lookup.
    fn fill(&self, mut message: Message, asked: &str, lookup: &Lookup) -> Message {
        let (code, records) = match &lookup.outcome {
            Outcome::Records(records) => (ResponseCode::NoError, records.as_slice()),
            Outcome::NoData => (ResponseCode::NoError, [].as_slice()),
            Outcome::NxDomain => (ResponseCode::NXDomain, [].as_slice()),
            Outcome::OutOfZone if lookup.decision == Decision::NoName => {
                (ResponseCode::ServFail, [].as_slice())
            }
            Outcome::OutOfZone => (ResponseCode::Refused, [].as_slice()),
        };
        let question = &self.question.name;
        let writer = Writer { question, asked, serial: self.snapshot.serial };
        let written = || {
            let authority = lookup.authority.iter().map(|record| writer.record(record));
            Ok::<_, ProtoError>((
                writer.records(records)?,
                authority.collect::<Result<Vec<_>, _>>()?,
                writer.records(&lookup.additional)?,
            ))
        };
        let Ok((answers, authorities, additionals)) = written() else {
            message.metadata.response_code = ResponseCode::ServFail;
            return message;
        };
        message.metadata.response_code = code;
        message.metadata.authoritative = lookup.outcome != Outcome::OutOfZone;
        message.answers = answers;
        message.authorities = authorities;
        message.additionals = additionals;
        rotate_addresses(&mut message.answers, self.client.rotate);
        message
    }

    fn outside(&self, asked: &str, lookup: &Lookup) -> Option<Outside> {
        match &lookup.outcome {
            Outcome::OutOfZone => match &lookup.rewritten {
                Some(rewritten) => Outside::rewritten(rewritten),
                None => Some(Outside::of(self.question.name.clone(), asked)),
            },
            Outcome::Records(records) if self.question.query_type != RecordType::CNAME => {
                let RecordData::Cname(target) = &records.last()?.data else { return None };
                let query = wire::query(self.question.query_type);
                let lookup = self.zone().lookup(target, query);
                match &lookup.rewritten {
                    _ if lookup.outcome != Outcome::OutOfZone => None,
                    Some(rewritten) => Outside::rewritten(rewritten),
                    None => Some(Outside::of(wire::name(target).ok()?, target)),
                }
            }
            Outcome::Records(_) | Outcome::NoData | Outcome::NxDomain => None,
        }
    }

    fn pending(&self, response: Message, outside: Outside, searched: Option<Searched>) -> Pending {
        let mut name = Vec::with_capacity(outside.name.len() + 1);
        for label in outside.name.iter() {
            name.extend(u8::try_from(label.len()));
            name.extend(label);
        }
        name.push(0);
        let asked = Asked {
            name,
            query_type: self.question.query_type.into(),
            dnssec_ok: response.edns.as_ref().is_some_and(|edns| edns.flags().dnssec_ok),
            checking_disabled: response.metadata.checking_disabled,
        };
        Pending {
            response,
            question: self.question.clone(),
            asked,
            name: outside.text,
            rewritten: outside.rewritten,
            forward: self.zone().forward.clone(),
            client: self.client,
            searched,
            otherwise: None,
        }
    }

    pub(super) fn zone(&self) -> &Zone {
        &self.snapshot.zone
    }
}

/// A name that upstreams know.
struct Outside {
    name: Name,
    /// Lower-case, without the trailing dot.
    text: String,
    /// How the name was made of the one that was asked for.
    rewritten: Option<Rewritten>,
}

impl Outside {
    fn of(name: Name, text: &str) -> Self {
        Self { name, text: text.to_ascii_lowercase(), rewritten: None }
    }

    /// `None`: what it was rewritten to is no name.
    fn rewritten(rewritten: &Rewritten) -> Option<Self> {
        let name = wire::name(&rewritten.name).ok()?;
        Some(Self { rewritten: Some(rewritten.clone()), ..Self::of(name, &rewritten.name) })
    }
}

/// Spreads clients that take the first address. Aliases stay in front.
pub(super) fn rotate_addresses(answers: &mut [Record], by: u64) {
    let is_address = |record: &Record| matches!(record.data, RData::A(_) | RData::AAAA(_));
    let first = answers.iter().position(is_address).unwrap_or(answers.len());
    let (_, addresses) = answers.split_at_mut(first);
    if let Some(by) = by.checked_rem(addresses.len() as u64) {
        addresses.rotate_left(usize::try_from(by).unwrap_or_default());
    }
}
