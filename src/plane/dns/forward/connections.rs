//! The connections to one upstream.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::connection::Connection;
use super::exchange::ExchangeError;
use super::query::Asked;
use super::reply::Reply;
use crate::observe::{Observer, UpstreamCounts};
use crate::plane::tls::Client;

/// Connections that are kept, few of them (RFC 7766 section 6.2.2): queries share one until several
/// wait on it, because many servers answer one after the other.
#[derive(Debug)]
pub(super) struct Connections {
    addr: SocketAddr,
    tls: Option<Rc<Client>>,
    idle: Duration,
    observer: Rc<Observer>,
    label: Arc<str>,
    kept: RefCell<Vec<Rc<Connection>>>,
}

impl Connections {
    /// None yet. `idle`: how long one is kept without a query.
    pub(super) fn new(
        addr: SocketAddr,
        tls: Option<Rc<Client>>,
        idle: Duration,
        observer: Rc<Observer>,
        label: Arc<str>,
    ) -> Self {
        Self { addr, tls, idle, observer, label, kept: RefCell::default() }
    }

    /// Asks on a connection that is there, or a new one. Where the upstream closes it before it
    /// answers, as it may at any time, asks once more on one that no other query shares.
    pub(super) async fn ask(&self, asked: &Asked) -> Result<Reply, ExchangeError> {
        let kept = self.pick();
        let connection = kept.unwrap_or_else(|| {
            let connection = self.open();
            self.kept.borrow_mut().push(connection.clone());
            connection
        });
        match connection.ask(asked).await {
            Err(ExchangeError::Closed) => {}
            told => return told,
        }
        let fresh = self.open();
        let told = fresh.ask(asked).await;
        let mut kept = self.kept.borrow_mut();
        if told.is_ok() && kept.len() < MOST {
            kept.push(fresh);
        } else {
            fresh.retire();
        }
        told
    }

    /// Closes all as soon as nobody waits on them.
    pub(super) fn retire(&self) {
        self.kept.take().iter().for_each(|connection| connection.retire());
    }

    /// The connection on which the fewest wait, unless there may be one more.
    fn pick(&self) -> Option<Rc<Connection>> {
        let mut kept = self.kept.borrow_mut();
        kept.retain(|connection| !connection.is_retired());
        let picked = kept.iter().min_by_key(|connection| connection.waiting())?;
        if picked.waiting() >= SHARED && kept.len() < MOST {
            return None;
        }
        self.count(|counts| counts.connections_reused += 1);
        Some(picked.clone())
    }

    fn open(&self) -> Rc<Connection> {
        self.count(|counts| counts.connections_opened += 1);
        Connection::open(self.addr, self.tls.clone(), self.idle)
    }

    fn count(&self, count: impl FnOnce(&mut UpstreamCounts)) {
        self.observer.count_forward(|counts| count(counts.upstream(&self.label)));
    }
}

/// The tasks of connections hold them too.
impl Drop for Connections {
    fn drop(&mut self) {
        self.retire();
    }
}

/// How many connections are kept.
const MOST: usize = 8;

/// How many queries wait on a connection before another one is opened.
const SHARED: usize = 8;
