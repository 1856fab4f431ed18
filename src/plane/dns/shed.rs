//! Who is answered when more is asked than can be.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use foldhash::fast::RandomState;
use tokio::time::Instant;

/// Chooses among the questions that wait at one socket, while it is overloaded. Every client has the
/// same number of its questions answered, the newest first: who asked longest ago asks again, or has
/// given up. So a client that asks without end takes the time of nobody else; what it asks too much
/// is let fall before any work is done for it (D1).
#[derive(Debug, Default)]
pub(super) struct Shed {
    /// How often in a row there was more than could be taken in at once.
    full: u32,
    overloaded_until: Option<Instant>,
    quota: Quota,
    /// How many newer questions each client has.
    newer: HashMap<IpAddr, usize, RandomState>,
    chosen: Vec<(usize, usize)>,
}

impl Shed {
    /// Gives the places of the questions that are to be answered. `clients` are in the order in which
    /// they asked, the newest last; `is_full`: there was no room for all of them.
    pub(super) fn choose(
        &mut self,
        clients: impl DoubleEndedIterator<Item = IpAddr> + ExactSizeIterator,
        is_full: bool,
        now: Instant,
    ) -> impl Iterator<Item = usize> {
        let count = clients.len();
        let is_overloaded = self.is_overloaded(count, is_full, now);
        self.chosen.clear();
        let quota = self.quota.after(is_full);
        if is_overloaded && count > quota {
            self.newer.clear();
            for (place, client) in clients.enumerate().rev() {
                let newer = self.newer.entry(network(client)).or_default();
                self.chosen.push((*newer, count - place));
                *newer += 1;
            }
            self.chosen.sort_unstable();
            self.chosen.truncate(quota);
        } else {
            self.chosen.extend((0..count).map(|place| (0, count - place)));
        }
        self.chosen.iter().map(move |(_, age)| count - age)
    }

    /// Whether there was too much lately.
    pub(super) fn was_overloaded(&self, now: Instant) -> bool {
        self.overloaded_until.is_some_and(|until| now < until)
    }

    /// One burst is no overload: it is answered. It ends when for a while no more waits than is
    /// answered in one go.
    fn is_overloaded(&mut self, count: usize, is_full: bool, now: Instant) -> bool {
        self.full = if is_full { self.full.saturating_add(1) } else { 0 };
        let was = self.was_overloaded(now);
        if self.full >= FULL_IN_A_ROW || was && count > MOST {
            self.overloaded_until = Some(now + CALM);
        }
        was
    }
}

/// How many questions are answered in one go while there is overload: as many as leave the time to
/// take in all that arrives, which the socket's own buffer holds for about a millisecond only. What
/// falls there falls without a look at whose it is. (To read a question costs a fifth of answering
/// it; additive increase, multiplicative decrease.)
#[derive(Clone, Copy, Debug)]
struct Quota(usize);

impl Default for Quota {
    fn default() -> Self {
        Self(MOST)
    }
}

impl Quota {
    fn after(&mut self, is_full: bool) -> usize {
        self.0 = if is_full { (self.0 / 2).max(LEAST) } else { (self.0 + STEP).min(MOST) };
        self.0
    }
}

/// Whose share it is: a client of IPv6 has a whole network to ask from.
pub(super) fn network(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V4(_) => client,
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
    }
}

const MOST: usize = 64;
const LEAST: usize = 8;
const STEP: usize = 2;

const FULL_IN_A_ROW: u32 = 2;

/// How long there must not be too much for it to be over.
const CALM: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn client(number: usize) -> IpAddr {
        [10, 0, (number >> 8) as u8, number as u8].into()
    }

    fn overloaded(now: Instant) -> Shed {
        let mut shed = Shed::default();
        for _ in 0..FULL_IN_A_ROW {
            assert_eq!(shed.choose(vec![client(0); 256].into_iter(), true, now).count(), 256);
        }
        shed
    }

    #[test]
    fn without_overload_everybody_is_answered_in_order() {
        let mut shed = Shed::default();
        let now = Instant::now();
        for is_full in [false, true, false, true, false] {
            let clients = vec![client(1); 256].into_iter();
            assert!(shed.choose(clients, is_full, now).eq(0..256));
        }
    }

    #[test]
    fn under_overload_a_client_that_asks_little_is_always_answered() {
        let now = Instant::now();
        let mut shed = overloaded(now);
        for place in [0, 100, 255] {
            let mut clients = vec![client(0); 256];
            clients[place] = client(1);
            let chosen: Vec<usize> = shed.choose(clients.into_iter(), true, now).collect();
            assert!((LEAST..=MOST).contains(&chosen.len()), "{}", chosen.len());
            assert!(chosen.contains(&place), "{place}: {chosen:?}");
        }
    }

    #[test]
    fn clients_have_equal_shares_and_the_newest_questions_come_first() {
        let now = Instant::now();
        let mut shed = overloaded(now);
        // three of four are of the first client
        let clients: Vec<IpAddr> = (0..200).map(|n| client(usize::from(n % 4 == 3))).collect();
        let chosen: Vec<usize> = shed.choose(clients.iter().copied(), false, now).collect();
        let of_second = chosen.iter().filter(|place| *place % 4 == 3).count();
        assert_eq!(of_second * 2, chosen.len());
        assert_eq!(chosen[..2], [199, 198]);
        assert!(chosen.iter().filter(|place| *place % 4 == 3).is_sorted_by(|a, b| a > b));
    }

    #[test]
    fn addresses_of_one_network_of_ipv6_are_one_client() {
        let now = Instant::now();
        let mut shed = overloaded(now);
        let many = (0..199u16).map(|n| Ipv6Addr::new(0xfd00, 0, 0, 1, 0, 0, 0, n).into());
        let one = Ipv6Addr::new(0xfd00, 0, 0, 2, 0, 0, 0, 1).into();
        let clients: Vec<IpAddr> = [one].into_iter().chain(many).collect();
        assert!(shed.choose(clients.into_iter(), true, now).any(|place| place == 0));
    }

    #[test]
    fn the_quota_shrinks_until_everything_can_be_read_and_grows_again() {
        let now = Instant::now();
        let mut shed = overloaded(now);
        let mut quota =
            |is_full| shed.choose(vec![client(0); 256].into_iter(), is_full, now).count();
        let shrinking: Vec<usize> = (0..6).map(|_| quota(true)).collect();
        assert!(shrinking.is_sorted_by(|a, b| a >= b), "{shrinking:?}");
        assert_eq!(shrinking.last(), Some(&LEAST));
        let growing: Vec<usize> = (0..40).map(|_| quota(false)).collect();
        assert!(growing.is_sorted(), "{growing:?}");
        assert_eq!(growing.last(), Some(&MOST));
    }

    #[test]
    fn overload_ends_when_little_has_waited_for_a_while() {
        let now = Instant::now();
        let mut shed = overloaded(now);
        let asked = |count: usize| vec![client(0); count].into_iter();
        assert!(shed.choose(asked(200), false, now).count() <= MOST);
        let later = now + CALM / 2;
        assert!(shed.choose(asked(200), false, later).count() <= MOST);
        assert_eq!(shed.choose(asked(200), false, later + CALM).count(), 200);
    }
}
