//! Whether a response is compressed: decided here, done where bodies are relayed.

use std::rc::Rc;

use super::Exchange;
use crate::plane::l7::compress::{Compressor, Prepared, prepare};
use crate::plane::l7::h1::{Name, ResponseHead};

impl Exchange {
    /// The response is known: adds what compression changes in its head.
    pub(super) fn prepare_compression(&mut self, head: &ResponseHead) {
        let Some(carrier) = &self.upstream else { return };
        let bytes = carrier.connection.buffer.filled().get(..head.len).unwrap_or_default();
        let received = head.fields.iter().map(|it| (it.known, it.name(bytes), it.value(bytes)));
        // what a rule makes the response say counts as well
        let modifiers = self.route.response_modifiers();
        let said = modifiers.iter().flat_map(|modifier| modifier.set.iter().chain(&modifier.add));
        let said = said.map(|(name, value)| {
            let name = name.as_bytes();
            (Name::of(name), name, value.as_bytes())
        });
        let places = &self.server.compressors;
        let may_code = || Rc::strong_count(places) <= self.server.local.limits.compressors;
        let fields = received.chain(said);
        let prepared = prepare(self.wish, self.verb, head.status, fields, may_code);
        let Some(Prepared { coding, modifier }) = prepared else { return };
        let compressor = coding.map(|coding| Compressor::new(coding, places.clone()));
        // without a compressor, which only memory can lack, it goes on as it is
        if let Some(Ok(compressor)) = compressor {
            self.compressor = Some(compressor);
        } else if coding.is_some() {
            return;
        }
        self.route.add(modifier);
    }
}
