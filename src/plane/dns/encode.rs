//! A message as bytes, as much of it as fits.

use hickory_proto::ProtoError;
use hickory_proto::op::{Header, Message, emit_message_parts};
use hickory_proto::rr::{Name, Record};
use hickory_proto::serialize::binary::{BinEncodable, BinEncoder};

/// Writes what fits: everything; else all but the additional records, which nobody misses
/// (RFC 2181 section 9); else as many answers as there is room for, with TC. Clients come back over
/// TCP for the rest, and those that cannot (musl before 1.2.4) make do with some addresses.
pub(super) fn encode(
    response: &Message,
    largest: u16,
    out: &mut Vec<u8>,
) -> Result<(), ProtoError> {
    if !emit(response, largest, out)?.metadata.truncation {
        return Ok(());
    }
    let mut shorter = response.clone();
    shorter.additionals.clear();
    if !emit(&shorter, largest, out)?.metadata.truncation {
        return Ok(());
    }
    cut(shorter, largest, out)
}

/// Counts the answers that leave room for our half of EDNS, and writes those.
fn cut(mut response: Message, largest: u16, out: &mut Vec<u8>) -> Result<(), ProtoError> {
    response.authorities.clear();
    let edns = response.edns.take();
    let options = if edns.is_some() { OPTIONS } else { 0 };
    let written = emit(&response, largest.saturating_sub(options), out)?;
    response.answers.truncate(written.counts.answers.into());
    response.edns = edns;
    response.metadata.truncation = true;
    emit(&response, largest, out).map(drop)
}

fn emit(message: &Message, largest: u16, out: &mut Vec<u8>) -> Result<Header, ProtoError> {
    out.clear();
    let mut encoder = BinEncoder::new(out);
    encoder.set_max_size(largest);
    let question = message.queries.first().map(|query| &query.name);
    let answers: Vec<Answer<'_>> =
        message.answers.iter().map(|record| Answer { record, question }).collect();
    emit_message_parts(
        &message.metadata,
        &mut message.queries.iter(),
        &mut answers.iter(),
        &mut message.authorities.iter(),
        &mut message.additionals.iter(),
        message.edns.as_ref(),
        None,
        &mut encoder,
    )
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

/// Bytes of an OPT record without options (RFC 6891 section 6.1.2).
const OPTIONS: u16 = 11;

/// The question stands behind the header of 12 bytes (RFC 1035 section 4.1.4).
const POINTER_TO_QUESTION: u16 = 0xc00c;
