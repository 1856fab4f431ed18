//! Copies of a request for others, as it goes.

use super::{Exchange, Upload};
use crate::observe::RequestRecord;
use crate::plane::l7::filter::mirror::{Feed, is_chosen};
use crate::plane::l7::h1::Outgoing;

impl Exchange {
    /// Begins the copies that the rule asks for.
    pub(super) fn start_mirrors(&mut self, record: &RequestRecord) {
        let chosen: Vec<_> =
            self.route.mirrors().filter(|it| is_chosen(it, &self.server)).collect();
        let mirrors = chosen.into_iter().map(|mirror| {
            let route = self.route.beside(&mirror.target);
            let record = record.of_copy("mirror", &route.target.backend);
            let request = Outgoing::new(self.server.buffers.take());
            Feed::start(Self::new(&self.server, route, self.verb, request), record)
        });
        self.mirrors = mirrors.collect();
    }

    /// Gives the mirrors what was written for the endpoint since the last time.
    pub(super) fn feed_mirrors(&mut self) {
        if self.mirrors.is_empty() {
            return;
        }
        let bytes = self.request.bytes.get(self.mirrored..).unwrap_or_default();
        let whole = self.upload != Upload::Going;
        self.mirrors.iter().for_each(|mirror| mirror.push(bytes, whole));
        self.mirrored = self.request.bytes.len();
    }
}
