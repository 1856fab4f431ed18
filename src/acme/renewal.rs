//! When to renew, and when to try again. Pure: the time is an argument.

use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use instant_acme::RenewalInfo;

/// When a certificate is to be renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Renewal {
    /// It is time.
    Now,
    /// Then it is to be asked again.
    At(SystemTime),
}

impl Renewal {
    /// As the server suggests (RFC 9773): at a moment within its window, which is another for each
    /// certificate and the same each time, and to be asked about `again`.
    pub(super) fn suggested(
        info: &RenewalInfo,
        again: Duration,
        leaf: &[u8],
        now: SystemTime,
    ) -> Self {
        let window = &info.suggested_window;
        let (start, end) = (SystemTime::from(window.start), SystemTime::from(window.end));
        let length = end.duration_since(start).unwrap_or_default();
        let moment = start + length.mul_f64(fraction(leaf));
        if moment <= now {
            return Self::Now;
        }
        Self::At(moment.min(now + again.clamp(SHORTEST, LONGEST)))
    }

    /// When a third of its life is left.
    pub(super) fn by_age(from: SystemTime, to: SystemTime, now: SystemTime) -> Self {
        let moment = from + to.duration_since(from).unwrap_or_default() / 3 * 2;
        if moment <= now { Self::Now } else { Self::At(moment.min(now + LONGEST)) }
    }
}

/// A number from 0 to 1 that the certificate decides.
fn fraction(leaf: &[u8]) -> f64 {
    let digest = digest(&SHA256, leaf);
    let first = digest.as_ref().first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
    f64::from(first) / f64::from(u32::MAX)
}

/// Whose fault a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The server is not there, or something here is not.
    Unreachable,
    /// It says no, and counts how often it has to: Let's Encrypt five times an hour and host.
    Refused,
}

/// How long to rest after a failure, that many others before it.
pub(super) fn rest(failure: Failure, failures: u32) -> Duration {
    let (first, longest) = match failure {
        Failure::Unreachable => (Duration::from_secs(5), Duration::from_secs(600)),
        Failure::Refused => (Duration::from_secs(900), Duration::from_secs(86_400)),
    };
    first.saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX)).min(longest)
}

/// RFC 9773 section 4.3.
const SHORTEST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(86_400);

#[cfg(test)]
mod tests {
    use instant_acme::SuggestedWindow;
    use time::OffsetDateTime;

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn suggested(start: i64, end: i64, again: u64, now: u64) -> Renewal {
        let time = |seconds| OffsetDateTime::from_unix_timestamp(seconds).expect("a time");
        let window = SuggestedWindow { start: time(start), end: time(end) };
        let info = RenewalInfo { suggested_window: window, explanation_url: None };
        Renewal::suggested(&info, Duration::from_secs(again), b"leaf", at(now))
    }

    #[test]
    fn a_certificate_is_renewed_within_the_window_of_its_server() {
        assert_eq!(suggested(1000, 2000, 60, 2000), Renewal::Now);
        assert_eq!(suggested(1000, 1000, 60, 1000), Renewal::Now);
        // a window that ends before it begins is none, and it is past
        assert_eq!(suggested(1000, 500, 60, 1000), Renewal::Now);
        let Renewal::At(moment) = suggested(1000, 2000, 86_400, 0) else { panic!("too early") };
        assert!(at(1000) < moment && moment < at(2000), "{moment:?}");
        assert_eq!(suggested(1000, 2000, 86_400, 500), Renewal::At(moment), "it must stay");
        // the server is asked again before, but not all the time
        assert_eq!(suggested(10_000, 20_000, 600, 100), Renewal::At(at(700)));
        assert_eq!(suggested(10_000, 20_000, 0, 100), Renewal::At(at(160)));
        assert_eq!(suggested(1_000_000, 2_000_000, 900_000, 0), Renewal::At(at(86_400)));
    }

    #[test]
    fn without_suggestions_a_certificate_is_renewed_when_a_third_of_its_life_is_left() {
        assert_eq!(Renewal::by_age(at(0), at(900), at(599)), Renewal::At(at(600)));
        assert_eq!(Renewal::by_age(at(0), at(900), at(600)), Renewal::Now);
        assert_eq!(Renewal::by_age(at(900), at(0), at(1000)), Renewal::Now);
        assert_eq!(Renewal::by_age(at(0), at(9_000_000), at(0)), Renewal::At(at(86_400)));
    }

    #[test]
    fn rests_grow_up_to_a_bound() {
        let rests = |failure| [0, 1, 4, 40].map(|failures| rest(failure, failures).as_secs());
        assert_eq!(rests(Failure::Unreachable), [5, 10, 80, 600]);
        assert_eq!(rests(Failure::Refused), [900, 1800, 14_400, 86_400]);
    }
}
