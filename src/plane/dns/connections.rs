//! How many connections there may be, and who has to go when there is no room.
//!
//! A client that has its share is refused. When all places are taken, the connection that has waited
//! longest for its client is closed for the new one: who only holds places, from however many
//! addresses, keeps nobody out. One that waits for upstreams is never closed so.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::rc::Rc;

use tokio::task::AbortHandle;

use super::limits::Limits;
use crate::observe::{DnsRefusal, DnsTransport, Observer, OpenDnsConnection};

/// The connections of one worker.
#[derive(Debug)]
pub(super) struct Connections {
    limits: Limits,
    observer: Rc<Observer>,
    open: RefCell<Open>,
}

#[derive(Debug, Default)]
struct Open {
    /// How many there are. Those that were closed for others count until their tasks have ended.
    count: usize,
    /// By client; never one with 0.
    of_clients: HashMap<IpAddr, usize>,
    /// Those that wait for their clients, the longest first.
    idle: BTreeMap<u64, Idle>,
    /// The turn of the next that begins to wait.
    next: u64,
}

#[derive(Debug)]
struct Idle {
    transport: DnsTransport,
    task: AbortHandle,
}

impl Connections {
    pub(super) fn new(limits: Limits, observer: Rc<Observer>) -> Rc<Self> {
        Rc::new(Self { limits, observer, open: RefCell::default() })
    }

    /// A place for a connection of `address`, if there is one for it.
    pub(super) fn admit(
        self: &Rc<Self>,
        transport: DnsTransport,
        address: IpAddr,
    ) -> Option<Rc<Connection>> {
        let client = self.limits.client(address);
        if let Some(reason) = self.refusal(client) {
            self.observer.refuse_dns(transport, reason);
            return None;
        }
        let mut open = self.open.borrow_mut();
        open.count += 1;
        *open.of_clients.entry(client).or_default() += 1;
        Some(Rc::new(Connection {
            all: self.clone(),
            transport,
            address,
            client,
            task: OnceCell::new(),
            turn: Cell::new(None),
            busy: Cell::new(0),
            _open: OpenDnsConnection::new(self.observer.clone(), transport),
        }))
    }

    /// Why a client gets no place, when none can be made either.
    fn refusal(&self, client: IpAddr) -> Option<DnsRefusal> {
        let (count, of_client) = {
            let open = self.open.borrow();
            (open.count, open.of_clients.get(&client).copied().unwrap_or_default())
        };
        if of_client >= self.limits.connections_per_client {
            return Some(DnsRefusal::ClientLimit);
        }
        let is_full = count >= self.limits.connections && !self.make_room();
        is_full.then_some(DnsRefusal::Limit)
    }

    /// Closes the connection that is idle longest. `false`: there is none.
    pub(super) fn make_room(&self) -> bool {
        let Some((_, longest)) = self.open.borrow_mut().idle.pop_first() else { return false };
        longest.task.abort();
        self.observer.refuse_dns(longest.transport, DnsRefusal::Evicted);
        true
    }
}

/// The place of one connection among those allowed; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) transport: DnsTransport,
    pub(super) address: IpAddr,
    all: Rc<Connections>,
    /// Who it counts for.
    client: IpAddr,
    /// What ends when it has to go.
    task: OnceCell<AbortHandle>,
    /// Its turn among those that wait for their clients, if it does.
    turn: Cell<Option<u64>>,
    /// How many of its queries wait for upstreams.
    busy: Cell<usize>,
    _open: OpenDnsConnection,
}

impl Connection {
    /// Says by which task it is served: from now on it may have to go.
    pub(super) fn begin(&self, task: AbortHandle) {
        // it begins once
        let _ = self.task.set(task);
        self.wait_for_client();
    }

    /// Notes that its client has done something: others are idle longer now.
    pub(super) fn wait_for_client(&self) {
        let Some(task) = self.task.get().filter(|_| self.busy.get() == 0) else { return };
        let mut open = self.all.open.borrow_mut();
        self.turn.take().and_then(|turn| open.idle.remove(&turn));
        let turn = open.next;
        open.next += 1;
        open.idle.insert(turn, Idle { transport: self.transport, task: task.clone() });
        self.turn.set(Some(turn));
    }

    /// Keeps it until the answer of an upstream is there.
    pub(super) fn wait_for_upstream(self: &Rc<Self>) -> Busy {
        self.busy.set(self.busy.get() + 1);
        self.leave_idle();
        Busy(self.clone())
    }

    fn leave_idle(&self) {
        if let Some(turn) = self.turn.take() {
            self.all.open.borrow_mut().idle.remove(&turn);
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.leave_idle();
        let mut open = self.all.open.borrow_mut();
        open.count -= 1;
        match open.of_clients.get_mut(&self.client) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(open.of_clients.remove(&self.client)),
        }
    }
}

/// A query of a connection that waits for upstreams.
#[derive(Debug)]
pub(super) struct Busy(Rc<Connection>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.set(self.0.busy.get() - 1);
        self.0.wait_for_client();
    }
}
