//! Who holds how many bytes in buffers, so that those with most can be reset when memory runs out.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};

/// The exchanges of one worker that hold much.
#[derive(Debug, Default)]
pub(super) struct Accounts(RefCell<Vec<Weak<Account>>>);

#[derive(Debug, Default)]
struct Account {
    bytes: Cell<usize>,
    is_condemned: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// What one exchange holds. Empty, it has no account.
#[derive(Debug, Default)]
pub(super) struct Holding(Option<Rc<Account>>);

impl Holding {
    /// Notes that so many bytes wait for somebody. Ready once they have to go.
    pub(super) fn poll_note(
        &mut self,
        cx: &Context<'_>,
        accounts: &Accounts,
        bytes: usize,
    ) -> Poll<()> {
        if self.0.is_none() && bytes < MUCH {
            return Poll::Pending;
        }
        let account = self.0.get_or_insert_with(|| accounts.open());
        if account.is_condemned.get() {
            return Poll::Ready(());
        }
        account.bytes.set(bytes);
        let mut waker = account.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl Accounts {
    fn open(&self) -> Rc<Account> {
        let account = Rc::<Account>::default();
        self.0.borrow_mut().push(Rc::downgrade(&account));
        account
    }

    /// Forgets those that have ended.
    pub(super) fn purge(&self) {
        self.0.borrow_mut().retain(|account| account.strong_count() > 0);
    }

    /// Ends those that hold most, until so many bytes will be free; how many.
    pub(super) fn reset_biggest(&self, excess: u64) -> usize {
        let mut all: Vec<_> = self.0.borrow().iter().filter_map(Weak::upgrade).collect();
        all.retain(|account| account.bytes.get() >= MUCH && !account.is_condemned.get());
        all.sort_by_key(|account| Reverse(account.bytes.get()));
        let (mut freed, mut count) = (0, 0);
        for account in all {
            account.is_condemned.set(true);
            if let Some(waker) = account.waker.borrow_mut().take() {
                waker.wake();
            }
            (freed, count) = (freed + account.bytes.get() as u64, count + 1);
            if freed >= excess {
                break;
            }
        }
        count
    }
}

/// Less than this is not worth a reset.
const MUCH: usize = 32 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_hold_most_go_first_and_no_more_than_needed() {
        let (accounts, cx) = (Accounts::default(), Context::from_waker(Waker::noop()));
        let sizes = [10, 40, 90, 60].map(|kib| kib * 1024);
        let mut holdings = sizes.map(|_| Holding::default());
        let mut gone = |accounts: &Accounts| {
            let all = holdings.iter_mut().zip(sizes);
            let polled = all.map(|(it, size)| it.poll_note(&cx, accounts, size).is_ready());
            polled.collect::<Vec<_>>()
        };
        assert_eq!(gone(&accounts), [false; 4]);
        assert_eq!(accounts.reset_biggest(90 * 1024), 1);
        assert_eq!(gone(&accounts), [false, false, true, false]);
        assert_eq!(accounts.reset_biggest(61 * 1024), 2);
        assert_eq!(gone(&accounts), [false, true, true, true]);
        assert_eq!(accounts.reset_biggest(u64::MAX), 0);
        drop(holdings);
        accounts.purge();
        assert!(accounts.0.borrow().is_empty());
    }
}
