//! A question that somebody else has to answer, at least in part.

use std::sync::Arc;

use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::rdata::TXT;
use hickory_proto::rr::{Name, RData, Record};

use super::answer::{Answered, send};
use super::draft::{Draft, rotate_addresses};
use super::forward::{Answer, Asked, ClientSide, Failure, render};
use super::restore::restore;
use super::wire;
use crate::observe::Searched;
use crate::snapshot::zone::{Forward, Rewritten};

/// A question with our half of the answer.
#[derive(Debug)]
pub struct Pending {
    /// What there is to say already: nothing, or the aliases that lead out of the zone.
    pub(super) response: Message,
    pub(super) question: Query,
    /// What is forwarded.
    pub(super) asked: Asked,
    /// Its name as text: lower-case, without the trailing dot.
    pub(super) name: String,
    /// How that was made of the name that was asked for.
    pub(super) rewritten: Option<Rewritten>,
    /// Who may be asked, as published when the question came.
    pub(super) forward: Arc<Forward>,
    pub(super) client: ClientSide,
    /// What the question was in a search list.
    pub(super) searched: Option<Searched>,
    /// In a search list: what there is to say if upstreams do not know this name.
    pub(super) otherwise: Option<Box<Draft>>,
}

/// What becomes of a question that somebody else has answered.
#[derive(Debug)]
pub(super) enum Finished {
    /// The answer is written; `None`: there is none.
    Answered(Option<Answered>),
    /// There is another name to ask for.
    Ask(Box<Pending>),
}

impl Pending {
    /// Writes the answer into `out`, whose content it replaces. Without one the client is told that
    /// it failed, also if there are aliases: nobody could tell them from a name without addresses.
    pub(super) fn finish(
        mut self,
        outcome: &Result<Answer, Failure>,
        out: &mut Vec<u8>,
    ) -> Finished {
        let otherwise = self.otherwise.take();
        let code = match (outcome, otherwise) {
            (Ok(answer), _) if self.response.answers.is_empty() && self.rewritten.is_some() => {
                return Finished::Answered(self.finish_rewritten(answer, out));
            }
            (Ok(answer), _) if self.response.answers.is_empty() => {
                render(answer, &self.asked, self.client, out);
                let rcode = wire::rcode(code(answer));
                return Finished::Answered(Some(self.answered(rcode)));
            }
            (Ok(answer), Some(otherwise)) if code(answer) == ResponseCode::NXDomain => {
                return match *otherwise {
                    Draft::Whole(whole) => Finished::Answered(whole.send(self.client, out)),
                    Draft::Ask(pending) => Finished::Ask(pending),
                };
            }
            (Ok(answer), otherwise) => self.add(answer, otherwise.is_some()),
            (Err(Failure::Refused), _) => ResponseCode::Refused,
            (Err(Failure::Unreachable), _) => ResponseCode::ServFail,
        };
        self.fail_with(code);
        let query_type = Some(self.question.query_type);
        let answered = send(&self.response, query_type, self.client.largest, out);
        Finished::Answered(answered.map(|it| Answered { searched: self.searched, ..it }))
    }

    /// The stub domain that the name is in.
    pub(super) fn zone(&self) -> Option<Arc<str>> {
        let domain = self.forward.route(&self.name)?.domain;
        self.forward.stubs.get_key_value(domain).map(|(domain, _)| domain.clone())
    }

    /// Answers with what an upstream has said of another name.
    fn finish_rewritten(mut self, answer: &Answer, out: &mut Vec<u8>) -> Option<Answered> {
        self.response.metadata.response_code = ResponseCode::ServFail;
        if let Ok(message) = Message::from_vec(answer.message()) {
            self.response.metadata.response_code = code(answer);
            self.response.answers = self.records(answer, message.answers);
            self.response.authorities = self.records(answer, message.authorities);
            rotate_addresses(&mut self.response.answers, self.client.rotate);
        }
        send(&self.response, Some(self.question.query_type), self.client.largest, out)
    }

    /// Records of an upstream as the client is to see them.
    fn records(&self, answer: &Answer, records: Vec<Record>) -> Vec<Record> {
        let aged = records.into_iter().map(|mut record| {
            record.ttl = answer.left(record.ttl);
            record
        });
        match &self.rewritten {
            Some(rewritten) => restore(aged, rewritten, &self.question.name),
            None => aged.collect(),
        }
    }

    /// Answers that the question has come back to where it was asked.
    pub(super) fn tell(mut self, text: String, out: &mut Vec<u8>) -> Option<Answered> {
        let data = RData::TXT(TXT::new(vec![text]));
        self.response.answers = vec![Record::from_rdata(self.question.name.clone(), 0, data)];
        send(&self.response, Some(self.question.query_type), self.client.largest, out)
    }

    /// Adds what the last alias leads to. That there is nothing leaves the aliases alone, as with
    /// CoreDNS; they themselves exist. Not so that of a search list, which is made up.
    fn add(&mut self, answer: &Answer, is_search: bool) -> ResponseCode {
        let code = code(answer);
        if code == ResponseCode::NXDomain {
            return ResponseCode::NoError;
        }
        if code != ResponseCode::NoError {
            return ResponseCode::ServFail;
        }
        let Ok(message) = Message::from_vec(answer.message()) else {
            return ResponseCode::ServFail;
        };
        if message.answers.is_empty() && is_search {
            self.response.answers.clear();
            return ResponseCode::NoError;
        }
        self.response.authorities.clear();
        let target = self.response.answers.last().and_then(|alias| {
            let RData::CNAME(target) = &alias.data else { return None };
            Some(target.0.clone())
        });
        let owner = |name: Name| match &target {
            Some(target) if *target == name => target.clone(),
            _ => name,
        };
        let records = self.records(answer, message.answers).into_iter();
        self.response.answers.extend(records.map(|mut record| {
            record.name = owner(record.name);
            record
        }));
        rotate_addresses(&mut self.response.answers, self.client.rotate);
        ResponseCode::NoError
    }

    fn fail_with(&mut self, code: ResponseCode) {
        self.response.metadata.response_code = code;
        if code != ResponseCode::NoError {
            self.searched = None;
            self.response.answers.clear();
            self.response.authorities.clear();
            self.response.metadata.authoritative = false;
        }
    }

    fn answered(&self, rcode: &'static str) -> Answered {
        let query_type = wire::query_type(self.question.query_type);
        Answered { query_type, rcode, searched: None }
    }
}

fn code(answer: &Answer) -> ResponseCode {
    ResponseCode::from(0, answer.rcode())
}
