//! The I/O around [`State`]: sockets of the interfaces, groups, what is told of them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::{Announcer, State};
use crate::life::{Drain, spawn_local};
use crate::net::{FrameSocket, Interface, Memberships, interfaces};
use crate::observe::AnnounceCounts;
use crate::snapshot::cell::Reader;

impl Announcer {
    /// Runs until the drain starts or the publisher is gone; then nothing is announced any more.
    pub async fn run(mut self, mut snapshots: Reader, drain: Drain) {
        let state = Rc::new(RefCell::new(State::default()));
        let mut links = Links::new(self.chosen.take(), state.clone(), self.counts.clone());
        let mut rescan = interval(RESCAN);
        rescan.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let next = state.borrow().next();
            tokio::select! {
                biased;
                () = drain.started() => return,
                snapshot = snapshots.changed() => {
                    let Some(snapshot) = snapshot else { return };
                    let (generation, wanted) = (snapshot.generation, snapshot.announced());
                    state.borrow_mut().want(generation, wanted, Instant::now());
                    self.withdrawn.send_replace(generation);
                }
                Ok(()) = self.served.changed() => {
                    let served = self.served.borrow_and_update().clone();
                    state.borrow_mut().serve(served, Instant::now());
                }
                _ = rescan.tick() => links.rescan(),
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
            }
            links.listen();
            links.speak();
        }
    }
}

/// How often interfaces are looked for.
const RESCAN: Duration = Duration::from_secs(10);

/// The interfaces that are announced on.
struct Links {
    chosen: Option<Vec<Arc<str>>>,
    state: Rc<RefCell<State>>,
    counts: Arc<AnnounceCounts>,
    open: BTreeMap<u32, Link>,
    /// What is told already, and not again while it is so.
    told: BTreeSet<String>,
    /// What was announced last.
    announced: BTreeSet<IpAddr>,
}

/// One of them.
struct Link {
    interface: Interface,
    /// By which unasked frames go out, too.
    arp: Rc<FrameSocket>,
    memberships: Memberships,
    /// Whether it is known that the kernel does not answer in our place.
    is_checked: bool,
    readers: [AbortHandle; 2],
}

impl Links {
    fn new(
        chosen: Option<Vec<Arc<str>>>,
        state: Rc<RefCell<State>>,
        counts: Arc<AnnounceCounts>,
    ) -> Self {
        let (open, told, announced) = Default::default();
        Self { chosen, state, counts, open, told, announced }
    }

    /// Opens what has come, closes what has gone.
    fn rescan(&mut self) {
        let found = match interfaces() {
            Ok(found) => found,
            Err(error) => return tracing::error!(%error, "cannot list the interfaces"),
        };
        let mut problems = BTreeSet::new();
        for name in self.chosen.iter().flatten() {
            if !found.iter().any(|it| it.name == **name) {
                problems.insert(format!("{name} is not there, or down, or has no neighbours"));
            }
        }
        let chosen = self.chosen.as_ref();
        let is_chosen =
            |it: &Interface| chosen.is_none_or(|all| all.iter().any(|name| **name == it.name));
        let wanted: Vec<_> = found.into_iter().filter(is_chosen).collect();
        self.open.retain(|_, link| wanted.contains(&link.interface));
        for interface in wanted {
            if self.open.contains_key(&interface.index) {
                continue;
            }
            match Link::open(&interface, &self.state, &self.counts) {
                Ok(link) => drop(self.open.insert(interface.index, link)),
                Err(error) => drop(problems.insert(format!("{}: {error}", interface.name))),
            }
        }
        for problem in problems.difference(&self.told) {
            tracing::warn!("cannot announce on an interface (--announce): {problem}");
        }
        self.told = problems;
        let macs = self.open.iter().map(|(index, link)| (*index, link.interface.mac)).collect();
        self.state.borrow_mut().set_interfaces(macs, Instant::now());
    }

    /// Listens where the announced addresses are asked for, and tells which they are.
    fn listen(&mut self) {
        let (announced, groups) = {
            let state = self.state.borrow();
            (state.announced().clone(), state.groups())
        };
        for link in self.open.values_mut() {
            link.join(&groups);
        }
        for ip in announced.difference(&self.announced) {
            tracing::info!(%ip, "announcing");
        }
        for ip in self.announced.difference(&announced) {
            tracing::info!(%ip, "announcing no more");
        }
        if announced.iter().any(IpAddr::is_ipv4) {
            self.open.values_mut().for_each(Link::check_kernel);
        }
        self.announced = announced;
    }

    /// Says what is to be said unasked.
    fn speak(&self) {
        let due = self.state.borrow_mut().due(Instant::now());
        for gratuitous in due {
            let Some(link) = self.open.get(&gratuitous.interface) else { continue };
            let sent = gratuitous.frames.iter().filter(|frame| send(&link.arp, frame)).count();
            self.counts.gratuitous(gratuitous.ip, sent as u64);
        }
    }
}

impl Link {
    fn open(
        interface: &Interface,
        state: &Rc<RefCell<State>>,
        counts: &Arc<AnnounceCounts>,
    ) -> io::Result<Self> {
        let memberships = Memberships::new(interface)?;
        let arp = Rc::new(FrameSocket::arp(interface)?);
        let solicitations = Rc::new(FrameSocket::solicitations(interface)?);
        let readers = [&arp, &solicitations].map(|socket| {
            let reader = read(socket.clone(), interface.index, state.clone(), counts.clone());
            spawn_local("neighbours", reader).abort_handle()
        });
        let interface = interface.clone();
        Ok(Self { interface, arp, memberships, is_checked: false, readers })
    }

    fn join(&mut self, groups: &BTreeSet<Ipv6Addr>) {
        if let Err(error) = self.memberships.set(groups) {
            let name = &self.interface.name;
            // as where there is no IPv6 on it; then nobody asks there
            tracing::debug!(%name, %error, "cannot listen for neighbour solicitations");
        }
    }

    fn check_kernel(&mut self) {
        if !self.is_checked && self.interface.answers_for_others() {
            let name = &self.interface.name;
            tracing::warn!(
                "on {name} the kernel answers ARP for every address of the machine, whichever node \
                 announces it: on every node, set sysctl net.ipv4.conf.{name}.arp_ignore=1 \
                 net.ipv4.conf.{name}.arp_announce=2"
            );
        }
        self.is_checked = true;
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.readers.iter().for_each(AbortHandle::abort);
    }
}

/// Answers what comes to one socket.
async fn read(
    socket: Rc<FrameSocket>,
    interface: u32,
    state: Rc<RefCell<State>>,
    counts: Arc<AnnounceCounts>,
) {
    let mut buffer = [0; LONGEST];
    loop {
        let length = match socket.receive(&mut buffer).await {
            Ok(length) => length,
            Err(error) => {
                // the interface is down, or gone; until it is looked for again
                tracing::debug!(%error, "frames cannot be received");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let answer = state.borrow().answer(interface, buffer.get(..length).unwrap_or_default());
        if let Some((ip, answer)) = answer {
            counts.request(ip);
            if send(&socket, &answer) {
                counts.response(ip);
            }
        }
    }
}

/// Whether a frame went out. What the queue of the interface has no room for is asked for again.
fn send(socket: &FrameSocket, frame: &[u8]) -> bool {
    let sent = socket.send(frame);
    sent.inspect_err(|error| tracing::debug!(%error, "a frame is not sent")).is_ok()
}

/// The longest frame that is looked into.
const LONGEST: usize = 1514;

/// After an error.
const PAUSE: Duration = Duration::from_secs(1);
