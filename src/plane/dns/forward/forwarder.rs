//! From a question to the answer of an upstream, with the cache in front.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::cache::{Cache, Found};
use super::exchange::exchange;
use super::identity::Identity;
use super::query::{Asked, draw};
use super::reply::Reply;
use super::shares::Shares;
use super::upstream::Upstream;
use crate::life::spawn_local;
use crate::plane::dns::limits::Limits;
use crate::snapshot::zone::{Forward, ForwardPolicy, ForwardRoute};

/// An answer of an upstream.
#[derive(Clone, Debug)]
pub(in crate::plane::dns) struct Answer {
    pub(super) reply: Rc<Reply>,
    pub(super) age: Age,
}

/// How long ago an upstream said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Age {
    Seconds(u32),
    /// Longer than it is good for.
    Stale,
}

impl Age {
    /// What is left of a time to live, in seconds. Of a stale answer it is short (RFC 8767
    /// section 4).
    pub(super) fn left(self, ttl: u32) -> u32 {
        match self {
            Self::Seconds(age) => ttl.saturating_sub(age),
            Self::Stale => 30,
        }
    }
}

impl Answer {
    /// The message of the upstream, without additional records.
    pub(in crate::plane::dns) fn message(&self) -> &[u8] {
        &self.reply.bytes
    }

    pub(in crate::plane::dns) fn rcode(&self) -> u8 {
        self.reply.rcode
    }

    /// What is left of a time to live that stands in the message.
    pub(in crate::plane::dns) fn left(&self, ttl: u32) -> u32 {
        self.age.left(ttl)
    }
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::plane::dns) enum Failure {
    /// Nobody is to be asked, or too much waits already: the client may ask its next server.
    Refused,
    /// Nobody has answered.
    Unreachable,
}

type Outcome = Result<Rc<Reply>, Failure>;
type Upstreams = HashMap<(Box<str>, SocketAddr), Rc<Upstream>>;
type Flight = watch::Receiver<Option<Outcome>>;

/// Asks upstreams for one worker.
#[derive(Debug)]
pub(in crate::plane::dns) struct Forwarder {
    limits: Limits,
    identity: Identity,
    cache: RefCell<Cache>,
    /// By stub domain, or the empty one, and address.
    upstreams: RefCell<Upstreams>,
    /// By stub domain, so that a slow one does not keep the others waiting.
    shares: RefCell<HashMap<Box<str>, Rc<Shares>>>,
    /// What is being asked for, by the key of the cache: equal questions wait for one answer.
    flights: RefCell<HashMap<Box<[u8]>, Flight>>,
    turn: Cell<usize>,
}

impl Forwarder {
    pub(in crate::plane::dns) fn new(limits: Limits, identity: Identity) -> Rc<Self> {
        Rc::new(Self {
            cache: RefCell::new(Cache::new(limits.cache)),
            limits,
            identity,
            upstreams: RefCell::default(),
            shares: RefCell::default(),
            flights: RefCell::default(),
            turn: Cell::new(0),
        })
    }

    pub(in crate::plane::dns) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The answer that needs no waiting.
    pub(in crate::plane::dns) fn cached(
        self: &Rc<Self>,
        route: ForwardRoute<'_>,
        policy: ForwardPolicy,
        asked: &Asked,
    ) -> Option<Answer> {
        let key = asked.key();
        let found = self.cache.borrow_mut().get(&key, Instant::now());
        let Found::Fresh { answer, is_due } = found else { return None };
        if is_due {
            // nobody waits for it, so that it does not matter if there is no room
            let _ = self.join(route, policy, asked, key);
        }
        Some(answer)
    }

    /// Asks, and waits. With an answer that is out of date at hand, not for long.
    pub(in crate::plane::dns) async fn resolve(
        self: &Rc<Self>,
        forward: &Forward,
        name: &str,
        client: IpAddr,
        asked: &Asked,
    ) -> Result<Answer, Failure> {
        let route = forward.route(name).ok_or(Failure::Refused)?;
        let _share = self.shares(route.domain).take(client).ok_or(Failure::Refused)?;
        let key = asked.key();
        let found = self.cache.borrow_mut().get(&key, Instant::now());
        let stale = match found {
            Found::Fresh { answer, .. } => return Ok(answer),
            Found::Stale(answer) => Some(answer),
            Found::Missing => None,
        };
        let flight = self.join(route, forward.policy, asked, key);
        let Some(stale) = stale else { return land(flight).await };
        match timeout(self.limits.stale_after, land(flight)).await {
            Ok(Ok(answer)) if !answer.reply.is_failure() => Ok(answer),
            Ok(Ok(_) | Err(_)) | Err(_) => Ok(stale),
        }
    }

    /// The flight for this question: one that is under way, or a new one.
    fn join(
        self: &Rc<Self>,
        route: ForwardRoute<'_>,
        policy: ForwardPolicy,
        asked: &Asked,
        key: Box<[u8]>,
    ) -> Result<Flight, Failure> {
        if let Some(flight) = self.flights.borrow().get(&key) {
            return Ok(flight.clone());
        }
        if self.flights.borrow().len() >= self.limits.forwarded {
            return Err(Failure::Refused);
        }
        let order = self.order(route, policy);
        let (sender, flight) = watch::channel(None);
        self.flights.borrow_mut().insert(key.clone(), flight.clone());
        let landing = Landing { forwarder: self.clone(), key: key.clone() };
        let asked = asked.clone();
        spawn_local("dns upstream", async move {
            let forwarder = landing.forwarder.clone();
            let outcome = forwarder.ask(&order, &asked).await;
            if let Ok(reply) = &outcome {
                forwarder.cache.borrow_mut().insert(key, reply.clone(), Instant::now());
            }
            drop(landing);
            sender.send_replace(Some(outcome));
        });
        Ok(flight)
    }

    /// Asks one after the other. What fails at one may succeed at the next; if none does better,
    /// the answer is the last failure that was answered.
    async fn ask(self: &Rc<Self>, order: &[Rc<Upstream>], asked: &Asked) -> Outcome {
        let mut outcome =
            Err(if order.is_empty() { Failure::Refused } else { Failure::Unreachable });
        let attempts = if order.len() == 1 { 2 } else { order.len().min(ATTEMPTS) };
        for upstream in order.iter().cycle().take(attempts) {
            match timeout(self.limits.attempt, exchange(upstream.addr, asked)).await {
                Ok(Ok(reply)) => {
                    upstream.note_answer();
                    let (is_failure, reply) = (reply.is_failure(), Rc::new(reply));
                    outcome = Ok(reply);
                    if !is_failure || order.len() == 1 {
                        break;
                    }
                }
                Ok(Err(_)) | Err(_) => self.note_failure(upstream),
            }
        }
        outcome
    }

    /// The upstreams of a route as the policy has it, those that are down at the end, and none that
    /// leads back here.
    fn order(self: &Rc<Self>, route: ForwardRoute<'_>, policy: ForwardPolicy) -> Vec<Rc<Upstream>> {
        let upstreams = route.upstreams.iter().map(|addr| self.upstream(route.domain, *addr));
        let mut order: Vec<_> = upstreams.collect();
        let turn = match policy {
            ForwardPolicy::Sequential => 0,
            ForwardPolicy::RoundRobin => self.turn.replace(self.turn.get().wrapping_add(1)),
            ForwardPolicy::Random => usize::from(u16::from_be_bytes(draw())),
        };
        let first = turn.checked_rem(order.len()).unwrap_or_default();
        order.rotate_left(first);
        order.retain(|upstream| !upstream.is_loop());
        order.sort_by_key(|upstream| upstream.is_down());
        order
    }

    fn upstream(self: &Rc<Self>, domain: &str, addr: SocketAddr) -> Rc<Upstream> {
        let key = (Box::from(domain), addr);
        if let Some(upstream) = self.upstreams.borrow().get(&key) {
            return upstream.clone();
        }
        let upstream = Rc::new(Upstream::new(addr, domain));
        self.upstreams.borrow_mut().insert(key, upstream.clone());
        spawn_local("dns loop", self.clone().watch_for_loop(upstream.clone()));
        upstream
    }

    fn shares(&self, domain: &str) -> Rc<Shares> {
        if let Some(shares) = self.shares.borrow().get(domain) {
            return shares.clone();
        }
        let shares = Shares::new(self.limits.forwarded);
        self.shares.borrow_mut().insert(domain.into(), shares.clone());
        shares
    }

    fn note_failure(self: &Rc<Self>, upstream: &Rc<Upstream>) {
        if upstream.note_failure() {
            tracing::warn!(upstream = %upstream.addr, "a DNS upstream does not answer");
            spawn_local("dns probe", self.clone().probe(upstream.clone()));
        }
    }

    /// Asks an upstream that is down until it answers; then it may be another one that leads back.
    async fn probe(self: Rc<Self>, upstream: Rc<Upstream>) {
        let root =
            Asked { name: vec![0], query_type: NS, dnssec_ok: false, checking_disabled: false };
        let mut pause = FIRST_PAUSE;
        while upstream.is_down() {
            sleep(pause).await;
            pause = (pause * 2).min(LAST_PAUSE);
            if let Ok(Ok(_)) = timeout(self.limits.attempt, exchange(upstream.addr, &root)).await {
                upstream.note_answer();
            }
        }
        tracing::info!(upstream = %upstream.addr, "a DNS upstream answers again");
        self.watch_for_loop(upstream).await;
    }

    /// Finds out whether an upstream leads back here, and if so, when it no longer does.
    async fn watch_for_loop(self: Rc<Self>, upstream: Rc<Upstream>) {
        loop {
            let question = self.identity.question(&upstream.domain);
            let asked = timeout(self.limits.attempt, exchange(upstream.addr, &question)).await;
            let is_loop = matches!(asked, Ok(Ok(reply)) if self.identity.has_answered(&reply));
            if upstream.note_loop(is_loop) {
                let addr = upstream.addr;
                if is_loop {
                    tracing::warn!(upstream = %addr, "a DNS upstream asks this rutter: not used");
                } else {
                    tracing::info!(upstream = %addr, "a DNS upstream no longer asks this rutter");
                }
            }
            if !is_loop {
                return;
            }
            sleep(LOOP_PAUSE).await;
        }
    }
}

async fn land(flight: Result<Flight, Failure>) -> Result<Answer, Failure> {
    let mut flight = flight?;
    // without a sender its task has panicked
    let landed = flight.wait_for(Option::is_some).await.map_err(|_| Failure::Unreachable)?;
    let reply = landed.clone().unwrap_or(Err(Failure::Unreachable))?;
    Ok(Answer { reply, age: Age::Seconds(0) })
}

/// Ends a flight, also by a panic.
#[derive(Debug)]
struct Landing {
    forwarder: Rc<Forwarder>,
    key: Box<[u8]>,
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.forwarder.flights.borrow_mut().remove(&self.key);
    }
}

/// How many upstreams are asked one question; clients wait for 5 s.
const ATTEMPTS: usize = 3;

/// Between probes of an upstream that is down; each twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LAST_PAUSE: Duration = Duration::from_secs(8);
/// Between looks at an upstream that leads back.
const LOOP_PAUSE: Duration = Duration::from_secs(30);

const NS: u16 = 2;
