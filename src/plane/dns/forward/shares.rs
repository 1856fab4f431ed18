//! How many questions may wait for upstreams, and how many of one client.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;

/// Places for questions that wait. A client may have as many as are free: alone it gets half, two
/// that ask without end get a third each, and a third is left for everybody else (dynamic
/// thresholds; Choudhury and Hahne 1998).
#[derive(Debug)]
pub(super) struct Shares {
    limit: usize,
    /// Never one with 0.
    waiting: RefCell<HashMap<IpAddr, usize>>,
}

impl Shares {
    pub(super) fn new(limit: usize) -> Rc<Self> {
        Rc::new(Self { limit, waiting: RefCell::default() })
    }

    /// A place, if the client may have one more.
    pub(super) fn take(self: &Rc<Self>, client: IpAddr) -> Option<Share> {
        let mut waiting = self.waiting.borrow_mut();
        let of_client = waiting.get(&client).copied().unwrap_or_default();
        let all: usize = waiting.values().sum();
        if of_client >= self.limit.saturating_sub(all) {
            return None;
        }
        waiting.insert(client, of_client + 1);
        Some(Share { shares: self.clone(), client })
    }
}

/// One place; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    shares: Rc<Shares>,
    client: IpAddr,
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut waiting = self.shares.waiting.borrow_mut();
        match waiting.get_mut(&self.client) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(waiting.remove(&self.client)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(number: u8) -> IpAddr {
        [10, 0, 0, number].into()
    }

    fn fill(shares: &Rc<Shares>, number: u8) -> Vec<Share> {
        std::iter::from_fn(|| shares.take(client(number))).collect()
    }

    #[test]
    fn nobody_keeps_others_out() {
        let shares = Shares::new(100);
        let first = fill(&shares, 1);
        assert_eq!(first.len(), 50);
        let second = fill(&shares, 2);
        assert_eq!(second.len(), 25);
        assert!(shares.take(client(3)).is_some());
        drop(first);
        assert_eq!(fill(&shares, 3).len(), 37 + 1);
        drop(second);
        assert!(shares.waiting.borrow().is_empty());
    }
}
