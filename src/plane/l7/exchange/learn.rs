//! What an attempt tells about its endpoint.

use super::{Carrier, Ended, Exchange};
use crate::balance::{Fault, InFlight};
use crate::life;
use crate::plane::Local;
use crate::plane::l7::h1::ResponseHead;
use crate::plane::l7::upstream::UpstreamError;

impl Exchange {
    /// An endpoint has answered, or has not.
    pub(super) fn learn(&mut self, answered: &Result<ResponseHead, Ended>) {
        let Some(Carrier { connection, in_flight }) = &self.upstream else { return };
        let fault = match answered {
            Ok(head) if head.is_interim() => return,
            Ok(head) if matches!(head.status, 502..=504) => Some(Fault::Gateway),
            Ok(_) => {
                in_flight.answered();
                if let Some(asked) = self.asked.take() {
                    let now = life::now();
                    in_flight.observe(now.saturating_duration_since(asked), now);
                }
                return;
            }
            Err(Ended::Upstream(error)) => fault_of(error, connection.reused),
            Err(Ended::Client(_) | Ended::Overdue) => return,
        };
        if let Some(fault) = fault {
            self.note_fault(in_flight, fault);
        }
    }

    /// An attempt has failed; an endpoint that fails too often is passed over for a while.
    pub(super) fn note_fault(&self, attempt: &InFlight, fault: Fault) {
        let now = life::now();
        if !attempt.failed(fault, now) {
            return;
        }
        let (server, backend) = (&self.server, &self.route.target.backend);
        let Local { rng, observer, .. } = &*server.local;
        let endpoint = attempt.endpoint();
        let ejected = server.balancer.eject(endpoint, backend, now, &mut rng.borrow_mut());
        let Some(time) = ejected else { return };
        let cause = fault.as_str();
        observer.count_ejection(&backend.id, cause);
        tracing::info!(%endpoint, backend = %backend.id, cause, ?time, "an endpoint is passed over");
    }
}

/// What an attempt without a response says about its endpoint. `None`: nothing. One that closes a
/// connection while it waits, or says goodbye, is well.
fn fault_of(error: &UpstreamError, reused: bool) -> Option<Fault> {
    match error {
        UpstreamError::NoResponse(_) if reused => None,
        UpstreamError::Refused(_) => None,
        UpstreamError::Connect(_)
        | UpstreamError::ConnectTimeout
        | UpstreamError::Tls(_)
        | UpstreamError::NoResponse(_)
        | UpstreamError::Reset(_) => Some(Fault::Connect),
        UpstreamError::Broken(_)
        | UpstreamError::Protocol(_)
        | UpstreamError::Http2(_)
        | UpstreamError::Silent => Some(Fault::Gateway),
    }
}
