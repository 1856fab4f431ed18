//! A message as bytes, as much of it as fits.

use hickory_proto::ProtoError;
use hickory_proto::op::{Message, emit_message_parts};
use hickory_proto::rr::{Name, Record};
use hickory_proto::serialize::binary::{BinEncodable, BinEncoder};

/// Writes what fits: everything; else all but the additional records, which nobody misses
/// (RFC 2181 section 9); else, over UDP, only the question with TC, for the client to come back
/// over TCP. TCP itself has no next step: there the client gets as many records as fit, with TC.
pub(super) fn encode(
    response: &Message,
    largest: u16,
    out: &mut Vec<u8>,
) -> Result<(), ProtoError> {
    if emit(response, largest, out)? == Fit::Whole {
        return Ok(());
    }
    let mut shorter = response.clone();
    shorter.additionals.clear();
    if emit(&shorter, largest, out)? == Fit::Whole || largest == u16::MAX {
        return Ok(());
    }
    emit(&response.truncate(), largest, out).map(drop)
}

#[derive(PartialEq, Eq)]
enum Fit {
    Whole,
    Truncated,
}

fn emit(message: &Message, largest: u16, out: &mut Vec<u8>) -> Result<Fit, ProtoError> {
    out.clear();
    let mut encoder = BinEncoder::new(out);
    encoder.set_max_size(largest);
    let question = message.queries.first().map(|query| &query.name);
    let answers: Vec<Answer<'_>> =
        message.answers.iter().map(|record| Answer { record, question }).collect();
    let written = emit_message_parts(
        &message.metadata,
        &mut message.queries.iter(),
        &mut answers.iter(),
        &mut message.authorities.iter(),
        &mut message.additionals.iter(),
        message.edns.as_ref(),
        None,
        &mut encoder,
    )?;
    Ok(if written.metadata.truncation { Fit::Truncated } else { Fit::Whole })
}

/// A record of the answer. Its owner mostly is the question, whose place in a message is fixed:
/// hickory would search for it each time, and no longer after 120 names, which leaves room for a
/// third of the addresses.
struct Answer<'m> {
    record: &'m Record,
    question: Option<&'m Name>,
}

impl BinEncodable for Answer<'_> {
    fn emit(&self, encoder: &mut BinEncoder<'_>) -> Result<(), ProtoError> {
        if !self.question.is_some_and(|question| question.eq_case(&self.record.name)) {
            return self.record.emit(encoder);
        }
        encoder.emit_u16(POINTER_TO_QUESTION)?;
        self.record.record_type().emit(encoder)?;
        self.record.dns_class.emit(encoder)?;
        encoder.emit_u32(self.record.ttl)?;
        let length = encoder.place::<u16>()?;
        self.record.data.emit(encoder)?;
        let written = u16::try_from(encoder.len_since_place(&length));
        let written = written.map_err(|_| ProtoError::Message("record too long"))?;
        length.replace(encoder, written)
    }
}

/// The question stands behind the header of 12 bytes (RFC 1035 section 4.1.4).
const POINTER_TO_QUESTION: u16 = 0xc00c;
