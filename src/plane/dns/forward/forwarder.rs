//! From a question to the answer of an upstream, with the cache in front.

mod flight;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use hickory_proto::op::ResponseCode;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::answer::{Answer, Failure};
use super::cache::{Cache, Found};
use super::connections::Connections;
use super::exchange::ExchangeError;
use super::identity::Identity;
use super::query::{Asked, draw};
use super::reply::Reply;
use super::shares::Shares;
use super::upstream::Upstream;
use crate::life::spawn_local;
use crate::observe::{CacheCounts, Observer, UpstreamRecord};
use crate::plane::dns::limits::Limits;
use crate::plane::dns::wire;
use crate::plane::tls::Clients;
use crate::snapshot::zone::{
    Alternate, CachePolicy, Forward, ForwardPolicy, ForwardRoute, Unknown,
};
use crate::snapshot::{self, UpstreamTls, UpstreamTransport};

use flight::{Flight, Landing, Outcome, land};

type Upstreams = HashMap<(Box<str>, snapshot::Upstream), Rc<Upstream>>;

/// Upstreams that are asked one after the other.
struct List {
    /// Which answers of the list before lead here; `None`: it is the first.
    after: Option<Unknown>,
    order: Vec<Rc<Upstream>>,
}

/// Asks upstreams for one worker.
#[derive(Debug)]
pub(in crate::plane::dns) struct Forwarder {
    pub(super) limits: Limits,
    pub(super) identity: Identity,
    pub(super) observer: Rc<Observer>,
    cache: RefCell<Cache>,
    /// By stub domain, or the empty one, and place.
    upstreams: RefCell<Upstreams>,
    /// TLS to upstreams. Not that of endpoints, which forgets whom no listener leads to.
    clients: Clients,
    /// By stub domain, so that a slow one does not keep the others waiting.
    shares: RefCell<HashMap<Box<str>, Rc<Shares>>>,
    /// What is being asked for, by the key of the cache: equal questions wait for one answer.
    flights: RefCell<HashMap<Box<[u8]>, Flight>>,
    turn: Cell<usize>,
    /// The configuration that all this is of.
    followed: RefCell<Arc<Forward>>,
    /// Counts when answers of before are no longer those of now.
    epoch: Cell<u64>,
}

impl Forwarder {
    pub(in crate::plane::dns) fn new(
        limits: Limits,
        identity: Identity,
        observer: Rc<Observer>,
    ) -> Rc<Self> {
        Rc::new(Self {
            cache: RefCell::new(Cache::new(&CachePolicy::default())),
            limits,
            identity,
            observer,
            upstreams: RefCell::default(),
            clients: Clients::default(),
            shares: RefCell::default(),
            flights: RefCell::default(),
            turn: Cell::new(0),
            followed: RefCell::default(),
            epoch: Cell::new(0),
        })
    }

    pub(in crate::plane::dns) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The answer that needs no waiting. `forward` is that of the newest snapshot.
    pub(in crate::plane::dns) fn cached(
        self: &Rc<Self>,
        forward: &Arc<Forward>,
        name: &str,
        asked: &Asked,
    ) -> Option<Answer> {
        self.follow(forward);
        let route = forward.route(name)?;
        let key = asked.key();
        let found = self.cache.borrow_mut().get(&key, Instant::now());
        let Found::Fresh { answer, is_due } = found else { return None };
        // nobody waits for it, so that it does not matter if there is no room
        let is_asked = is_due && !self.flights.borrow().contains_key(&key);
        if is_asked {
            let _ = self.join(route, forward, name, asked, key);
        }
        self.count_cache(|cache| {
            *cache.hits.of(answer.reply.is_positive) += 1;
            cache.prefetches += u64::from(is_asked);
        });
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
        let Some(_share) = self.shares(route.domain).take(client) else {
            self.observer.count_forward(|counts| counts.refused_client += 1);
            return Err(Failure::Refused);
        };
        let key = asked.key();
        let found = self.cache.borrow_mut().get(&key, Instant::now());
        let stale = match found {
            Found::Fresh { answer, .. } => {
                self.count_cache(|cache| *cache.hits.of(answer.reply.is_positive) += 1);
                return Ok(answer);
            }
            Found::Stale(answer) => Some(answer),
            Found::Missing => None,
        };
        self.count_cache(|cache| cache.misses += 1);
        let flight = self.join(route, forward, name, asked, key);
        let Some(stale) = stale else { return land(flight).await };
        match timeout(self.limits.stale_after, land(flight)).await {
            Ok(Ok(answer)) if !answer.reply.is_failure() => Ok(answer),
            Ok(Ok(_) | Err(_)) | Err(_) => {
                self.count_cache(|cache| cache.stale += 1);
                Ok(stale)
            }
        }
    }

    /// The flight for this question: one that is under way, or a new one.
    fn join(
        self: &Rc<Self>,
        route: ForwardRoute<'_>,
        forward: &Forward,
        name: &str,
        asked: &Asked,
        key: Box<[u8]>,
    ) -> Flight {
        if let Some(flight) = self.flights.borrow().get(&key) {
            return flight.clone();
        }
        let lists = self.lists(route, forward);
        let (sender, flight) = watch::channel(None);
        self.flights.borrow_mut().insert(key.clone(), flight.clone());
        let landing = Landing { forwarder: self.clone(), epoch: self.epoch.get(), key };
        let policy = Some(forward.cache_of(route.domain)).filter(|it| it.covers(name)).cloned();
        let asked = asked.clone();
        spawn_local("dns upstream", async move {
            let outcome = landing.forwarder.ask_lists(&lists, &asked, policy.as_ref()).await;
            if let Ok(reply) = &outcome {
                landing.remember(reply);
            }
            drop(landing);
            sender.send_replace(Some(outcome));
        });
        flight
    }

    /// Asks those of a list, and of the next if what they say is such that it is asked then.
    async fn ask_lists(
        self: &Rc<Self>,
        lists: &[List],
        asked: &Asked,
        policy: Option<&CachePolicy>,
    ) -> Outcome {
        let mut outcome = Err(Failure::Refused);
        for List { after, order } in lists {
            let is_asked = after.as_ref().is_none_or(|after| {
                outcome
                    .as_ref()
                    .is_ok_and(|told: &Rc<Reply>| after.is(told.rcode, told.is_positive))
            });
            if !is_asked {
                break;
            }
            outcome = self.ask(order, asked, policy).await;
        }
        outcome
    }

    /// Asks one after the other. What fails at one may succeed at the next, and one that is full is
    /// left out; if none does better, the answer is the last failure that was answered.
    async fn ask(
        self: &Rc<Self>,
        order: &[Rc<Upstream>],
        asked: &Asked,
        policy: Option<&CachePolicy>,
    ) -> Outcome {
        let mut outcome = Err(Failure::Refused);
        let mut attempts = 0;
        // a datagram may be lost: the only one is asked again, unless it is known not to answer
        let is_only = order.len() == 1 && order.iter().all(|upstream| !upstream.is_down());
        let times = if is_only { 2 } else { order.len() };
        for upstream in order.iter().cycle().take(times) {
            let Some(_place) = upstream.take_place(self.limits.at_upstream) else { continue };
            attempts += 1;
            match self.attempt(upstream, asked).await {
                Ok(mut reply) => {
                    reply.keep_by(policy);
                    let is_failure = reply.is_failure();
                    outcome = Ok(Rc::new(reply));
                    if !is_failure || order.len() == 1 {
                        break;
                    }
                }
                Err(_) => outcome = outcome.or(Err(Failure::Unreachable)),
            }
            if attempts == ATTEMPTS {
                break;
            }
        }
        if attempts == 0 && !order.is_empty() {
            self.observer.count_forward(|counts| counts.refused_upstream += 1);
        }
        outcome
    }

    /// Asks one, and notes how it does.
    async fn attempt(
        self: &Rc<Self>,
        upstream: &Rc<Upstream>,
        asked: &Asked,
    ) -> Result<Reply, ExchangeError> {
        let mut record = UpstreamRecord::new(&self.observer, &upstream.label);
        let told = self.exchange(upstream, asked).await;
        match &told {
            Ok(reply) => {
                let rcode = ResponseCode::from(0, reply.rcode);
                record.outcome = Some(Ok(wire::rcode(rcode)));
                upstream.note_answer();
            }
            Err(error) => {
                record.outcome = Some(Err(error.failure()));
                self.note_failure(upstream, error);
            }
        }
        told
    }

    /// Everyone who may be asked by a route.
    fn lists(self: &Rc<Self>, route: ForwardRoute<'_>, forward: &Forward) -> Vec<List> {
        let order = |upstreams| self.order(route.domain, upstreams, forward);
        let first = List { after: None, order: order(route.upstreams) };
        let next = route.alternates.iter();
        let next = next.map(|Alternate { upstreams, after }| List {
            after: Some(after.clone()),
            order: order(upstreams),
        });
        std::iter::once(first).chain(next).collect()
    }

    /// The upstreams of a list as the policy has it: those that answer, or if none does, all, as
    /// by CoreDNS. None that leads back here.
    fn order(
        self: &Rc<Self>,
        domain: &str,
        upstreams: &[snapshot::Upstream],
        forward: &Forward,
    ) -> Vec<Rc<Upstream>> {
        let upstreams = upstreams.iter().map(|at| self.upstream(domain, at, forward));
        let mut order: Vec<_> = upstreams.collect();
        let turn = match forward.policy {
            ForwardPolicy::Sequential => 0,
            ForwardPolicy::RoundRobin => self.turn.replace(self.turn.get().wrapping_add(1)),
            ForwardPolicy::Random => usize::from(u16::from_be_bytes(draw())),
        };
        let first = turn.checked_rem(order.len()).unwrap_or_default();
        order.rotate_left(first);
        order.retain(|upstream| !upstream.is_loop());
        if order.iter().any(|upstream| !upstream.is_down()) {
            order.retain(|upstream| !upstream.is_down());
        } else if !order.is_empty() {
            self.observer.count_forward(|counts| counts.all_down += 1);
        }
        order
    }

    fn upstream(
        self: &Rc<Self>,
        domain: &str,
        at: &snapshot::Upstream,
        forward: &Forward,
    ) -> Rc<Upstream> {
        let key = (Box::from(domain), at.clone());
        if let Some(upstream) = self.upstreams.borrow().get(&key) {
            return upstream.clone();
        }
        let upstream = Rc::new(Upstream::new(at, domain, self.connections(at, forward)));
        self.upstreams.borrow_mut().insert(key, upstream.clone());
        spawn_local("dns loop", self.clone().watch_for_loop(upstream.clone()));
        upstream
    }

    fn connections(&self, at: &snapshot::Upstream, forward: &Forward) -> Connections {
        let tls = match &at.transport {
            UpstreamTransport::Udp | UpstreamTransport::Tcp => None,
            UpstreamTransport::Tls { server_name } => {
                let tls = UpstreamTls {
                    server_name: server_name.clone(),
                    authorities: forward.authorities.clone(),
                    names: Vec::new(),
                    client: None,
                };
                Some(self.clients.of(&Arc::new(tls), None))
            }
        };
        let label = at.to_string().into();
        Connections::new(at.addr, tls, self.limits.upstream_idle, self.observer.clone(), label)
    }

    fn shares(&self, domain: &str) -> Rc<Shares> {
        if let Some(shares) = self.shares.borrow().get(domain) {
            return shares.clone();
        }
        let shares = Shares::new(self.limits.forwarded);
        self.shares.borrow_mut().insert(domain.into(), shares.clone());
        shares
    }

    /// Forgets what is of another configuration: upstreams that are gone, and if any are, what they
    /// and others have said.
    fn follow(&self, forward: &Arc<Forward>) {
        let before = self.followed.borrow().clone();
        if Arc::ptr_eq(&before, forward) {
            return;
        }
        self.followed.replace(forward.clone());
        self.cache.borrow_mut().adopt(&forward.cache);
        let is_signed_alike = before.authorities == forward.authorities;
        let is_asked_alike = before.upstreams == forward.upstreams
            && before.stubs == forward.stubs
            && before.alternates == forward.alternates;
        if is_signed_alike && is_asked_alike {
            return;
        }
        let is_configured = |domain: &str, at: &snapshot::Upstream| {
            let mut routes = forward.routes();
            routes.any(|route| route.domain == domain && route.leads_to(at))
        };
        self.upstreams.borrow_mut().retain(|(domain, at), upstream| {
            let stays = is_signed_alike && is_configured(domain, at);
            if !stays {
                upstream.retire();
            }
            stays
        });
        self.epoch.set(self.epoch.get().wrapping_add(1));
        self.flights.borrow_mut().clear();
        self.cache.borrow_mut().clear();
    }

    fn count_cache(&self, count: impl FnOnce(&mut CacheCounts)) {
        let usage = self.cache.borrow_mut().usage();
        self.observer.count_forward(|counts| {
            let cache = &mut counts.cache;
            cache.entries = usage.entries;
            cache.bytes = usage.bytes;
            cache.evictions.add(usage.evicted);
            count(cache);
        });
    }
}

/// How many upstreams are asked one question; clients wait for 5 s.
const ATTEMPTS: usize = 3;
