//! A thousand connections and a thousand flows in use while everything around them changes.
//!
//! Changes are drawn from a seed. A model says what each Service's pods are; whoever is asked checks
//! its answer against it. What is sent before a change is answered after it, so that something is
//! on the way through all of them.

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::sync::mpsc;
use std::time::Duration;

use common::backend::Backend;
use common::{Block, PATIENCE, Site};
use rutter::balance::Rng;
use tokio::time::Instant;

const SERVICES: usize = 10;
const CLIENTS: usize = 1000;
const CHANGES: usize = 500;
const PODS: usize = 8;
/// Those below it crash now and then.
const MORTAL: usize = 2;
/// So long a flow may be without answers when its endpoint is gone.
const PINNED: Duration = Duration::from_secs(1);
/// One of so many of the busy sessions is used while a change is made.
const BUSY: usize = 16;
const SEED: u64 = 1;

/// What a pod is to a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Absent,
    Ready,
    Unready,
    Terminating,
}

const STATES: [State; 4] = [State::Absent, State::Ready, State::Unready, State::Terminating];

#[derive(Clone, Debug)]
struct Service {
    number: usize,
    pods: [State; PODS],
    extra_port: bool,
    is_sticky: bool,
    is_local: bool,
}

impl Service {
    fn new(number: usize) -> Self {
        let pods = std::array::from_fn(|pod| STATES[usize::from(pod % 3 != number % 3)]);
        Self { number, pods, extra_port: false, is_sticky: false, is_local: false }
    }

    fn manifest(&self) -> String {
        let Self { number, .. } = self;
        let address = 20 + number;
        let affinity = if self.is_sticky { "ClientIP" } else { "None" };
        let policy = if self.is_local { "Local" } else { "Cluster" };
        let extra = if self.extra_port { ", {name: extra, port: 9, targetPort: 7}" } else { "" };
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: s{number}}}\nspec: {{clusterIP: \
             NET.{address}, sessionAffinity: {affinity}, internalTrafficPolicy: {policy}, ports: \
             [{{name: tcp, port: 7}}, {{name: udp, port: 7, protocol: UDP}}{extra}]}}\n"
        )
    }

    fn slice(&self) -> String {
        let number = self.number;
        let written = |(pod, state): (usize, &State)| {
            let conditions = match state {
                State::Absent => return None,
                State::Ready => "ready: true",
                State::Unready => "ready: false, serving: false",
                State::Terminating => "ready: false, serving: true, terminating: true",
            };
            let address = 130 + pod;
            Some(format!(
                "{{addresses: [NET.{address}], nodeName: node-a, conditions: {{{conditions}}}}}"
            ))
        };
        let endpoints: Vec<_> = self.pods.iter().enumerate().filter_map(written).collect();
        let endpoints = endpoints.join(", ");
        format!(
            "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: s{number}, \
             labels: {{kubernetes.io/service-name: s{number}}}}}\naddressType: IPv4\nports: \
             [{{name: tcp, port: 7}}, {{name: udp, port: 7, protocol: UDP}}, {{name: extra, port: \
             7}}]\nendpoints: [{endpoints}]\n"
        )
    }
}

/// A connection, and the pod at its other end.
struct Session {
    stream: TcpStream,
    service: usize,
    pod: usize,
    count: u64,
}

impl Session {
    fn connect(site: &Site, service: usize) -> Self {
        let addr = site.block.addr(u8::try_from(20 + service).expect("few Services"), 7);
        let mut stream = TcpStream::connect_timeout(&addr, PATIENCE).expect("a session");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        let mut name = [0; 2];
        stream.read_exact(&mut name).expect("the name of a pod");
        Self { stream, service, pod: number(&name), count: 0 }
    }

    fn send(&mut self) {
        self.count += 1;
        self.stream.write_all(&self.count.to_be_bytes()).expect("the connection must live");
    }

    fn receive(&mut self) {
        let mut answer = [0; 8];
        self.stream.read_exact(&mut answer).expect("the connection must live");
        assert_eq!(u64::from_be_bytes(answer), self.count);
    }

    /// Whether the end is told in time.
    fn ends(&mut self) -> bool {
        self.stream.set_read_timeout(Some(PINNED)).expect("a time-out");
        match self.stream.read(&mut [0; 64]) {
            Ok(length) => length == 0,
            Err(error) => error.kind() != ErrorKind::WouldBlock,
        }
    }
}

/// A client of datagrams, and the pod that answered it last.
struct Flow {
    socket: UdpSocket,
    service: usize,
    pod: usize,
    /// Whether that pod was ready whenever there was a change since.
    is_settled: bool,
    count: u64,
}

impl Flow {
    fn begin(site: &Site, service: usize) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let addr = site.block.addr(u8::try_from(20 + service).expect("few Services"), 7);
        socket.connect(addr).expect("a peer");
        socket.set_read_timeout(Some(PINNED / 4)).expect("a time-out");
        let mut flow = Self { socket, service, pod: 0, is_settled: false, count: 0 };
        flow.pod = flow.ask().expect("an answer");
        flow.is_settled = true;
        flow
    }

    fn send(&mut self) {
        self.count += 1;
        let _ = self.socket.send(&self.count.to_be_bytes());
    }

    /// Who answers what was sent last, if somebody does for a while.
    fn receive(&self) -> Option<usize> {
        let mut answer = [0; 16];
        while let Ok(length) = self.socket.recv(&mut answer) {
            let (name, count) = answer[..length].split_at(2);
            if count == self.count.to_be_bytes() {
                return Some(number(name));
            }
        }
        None
    }

    /// Who answers, of everybody who may within the time.
    fn ask(&mut self) -> Option<usize> {
        let start = Instant::now();
        while start.elapsed() < PINNED {
            self.send();
            if let Some(pod) = self.receive() {
                return Some(pod);
            }
        }
        None
    }
}

/// `3\n`.
fn number(name: &[u8]) -> usize {
    usize::from(name[0] - b'0')
}

struct World {
    site: Site,
    pods: Vec<Option<Backend>>,
    services: Vec<Service>,
    sessions: Vec<Session>,
    flows: Vec<Flow>,
    others: [bool; 4],
    rng: Rng,
}

impl World {
    fn new() -> Self {
        let block = Block::claim();
        let pods = (0..PODS).map(|pod| Some(start_pod(&block, pod))).collect();
        let services: Vec<_> = (0..SERVICES).map(Service::new).collect();
        let manifests = services.iter().map(|it| it.manifest() + "---\n" + &it.slice());
        let site = Site::start_in(block, "", |_| {});
        for (service, manifest) in services.iter().zip(manifests) {
            // each in the files in which they are edited later
            let (number, texts) = (service.number, manifest.split_once("---\n"));
            let (service, slice) = texts.expect("two documents");
            site.save(&format!("s{number}.yaml"), service);
            site.save(&format!("slice{number}.yaml"), slice);
        }
        let sessions = (0..CLIENTS).map(|it| Session::connect(&site, it % SERVICES)).collect();
        let flows = (0..CLIENTS).map(|it| Flow::begin(&site, it % SERVICES)).collect();
        Self { site, pods, services, sessions, flows, others: [false; 4], rng: Rng::new(SEED) }
    }

    /// One change, with something on the way through it.
    fn change(&mut self) {
        let service = self.rng.below(SERVICES);
        let sessions = sample(&mut self.rng, self.sessions.len(), |_| true);
        let mut flows = sample(&mut self.rng, CLIENTS, |_| true);
        flows.extend(sample(&mut self.rng, CLIENTS, |it| it % SERVICES == service));
        flows.sort_unstable();
        flows.dedup();
        sessions.iter().for_each(|it| self.sessions[*it].send());
        flows.iter().for_each(|it| self.flows[*it].send());
        match self.rng.below(12) {
            0..5 => self.change_pod(service),
            5 => self.change_service(service, |it| it.extra_port = !it.extra_port),
            6 => self.change_service(service, |it| it.is_sticky = !it.is_sticky),
            7 => self.change_service(service, |it| it.is_local = !it.is_local),
            8 | 9 => self.change_other("other", |place| {
                let address = 40 + place;
                format!(
                    "apiVersion: v1\nkind: Service\nmetadata: {{name: other{place}}}\nspec: \
                     {{clusterIP: NET.{address}, ports: [{{port: 7}}]}}\n"
                )
            }),
            10 => self.change_other("ingress", |place| {
                format!(
                    "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: \
                     i{place}}}\nspec: {{defaultBackend: {{service: {{name: s{place}, port: \
                     {{number: 7}}}}}}}}\n"
                )
            }),
            _ => {
                let port = 1 + self.rng.below(60_000);
                let text = format!(
                    "apiVersion: v1\nkind: Service\nmetadata: {{name: half}}\nspec: {{clusterIP: \
                     NET.50, ports: [{{port: {port}}}]}}\n---\nkind: Service\n  metadata: [\n"
                );
                self.site.save("broken.yaml", &text);
            }
        }
        sessions.iter().for_each(|it| self.sessions[*it].receive());
        for flow in &flows {
            // sent before, it may have gone to who was there then
            if let Some(pod) = self.flows[*flow].receive() {
                self.flows[*flow].pod = pod;
                self.flows[*flow].is_settled = self.is(*flow, pod, State::Ready);
            }
        }
        flows.into_iter().for_each(|flow| self.check(flow));
    }

    fn is(&self, flow: usize, pod: usize, state: State) -> bool {
        self.services[self.flows[flow].service].pods[pod] == state
    }

    /// A flow stays where it can, and goes elsewhere at once where it cannot.
    fn check(&mut self, flow: usize) {
        let before = self.flows[flow].pod;
        let pod = self.flows[flow].ask();
        let Some(pod) = pod else { panic!("flow {flow} is pinned to {before}: no answer") };
        if self.flows[flow].is_settled {
            assert_eq!(pod, before, "flow {flow} moved without need");
        }
        let may_stay = pod == before && self.is(flow, pod, State::Terminating);
        let is_ready = self.is(flow, pod, State::Ready);
        let service = &self.services[self.flows[flow].service];
        assert!(is_ready || may_stay, "flow {flow} from {before} to {pod}: {service:?}");
        self.flows[flow].pod = pod;
        self.flows[flow].is_settled = is_ready;
    }

    fn change_service(&mut self, service: usize, change: impl FnOnce(&mut Service)) {
        change(&mut self.services[service]);
        let service = &self.services[service];
        self.site.save(&format!("s{}.yaml", service.number), &service.manifest());
    }

    /// A pod becomes something else to a Service, which has a ready one at any time.
    fn change_pod(&mut self, service: usize) {
        let pod = self.rng.below(PODS);
        let state = STATES[self.rng.below(STATES.len())];
        let ready = self.services[service].pods[MORTAL..].iter().filter(|it| **it == State::Ready);
        let is_last = ready.count() == 1 && self.services[service].pods[pod] == State::Ready;
        let state = if is_last || self.pods[pod].is_none() { State::Absent } else { state };
        let pod = if is_last { 0 } else { pod };
        self.set(service, pod, state);
    }

    fn set(&mut self, service: usize, pod: usize, state: State) {
        if self.services[service].pods[pod] == state {
            return;
        }
        self.services[service].pods[pod] = state;
        let concerned = |it: &&mut Flow| it.service == service && it.pod == pod;
        self.flows.iter_mut().filter(concerned).for_each(|it| it.is_settled = false);
        let slice = self.services[service].slice();
        self.site.save(&format!("slice{service}.yaml"), &slice);
    }

    /// What comes if it is not there, and goes if it is.
    fn change_other(&mut self, kind: &str, text: impl Fn(usize) -> String) {
        let place = self.rng.below(2) + if kind == "other" { 0 } else { 2 };
        let name = format!("{kind}{place}.yaml");
        self.others[place] = !self.others[place];
        if self.others[place] {
            self.site.save(&name, &text(place));
        } else {
            self.site.remove(&name);
        }
    }

    /// A pod crashes, and its Services learn of it.
    fn crash(&mut self, pod: usize) {
        self.pods[pod] = None;
        for service in 0..SERVICES {
            self.set(service, pod, State::Absent);
        }
        for place in 0..self.sessions.len() {
            if self.sessions[place].pod == pod {
                assert!(self.sessions[place].ends(), "session {place} is pinned to {pod}");
                let service = self.sessions[place].service;
                self.sessions[place] = Session::connect(&self.site, service);
                let now = self.sessions[place].pod;
                assert_eq!(self.services[service].pods[now], State::Ready, "session {place}");
            }
        }
        (0..CLIENTS).for_each(|flow| self.check(flow));
    }

    fn start(&mut self, pod: usize) {
        self.pods[pod] = Some(start_pod(&self.site.block, pod));
        for service in (0..SERVICES).step_by(2) {
            self.set(service, pod, State::Ready);
        }
    }
}

fn start_pod(block: &Block, pod: usize) -> Backend {
    let address = u8::try_from(130 + pod).expect("few pods");
    Backend::named(block.addr(address, 7), &pod.to_string())
}

/// A few of so many, each once.
fn sample(rng: &mut Rng, count: usize, is_meant: impl Fn(&usize) -> bool) -> Vec<usize> {
    let mut drawn: Vec<_> = (0..200).map(|_| rng.below(count)).filter(is_meant).take(8).collect();
    drawn.sort_unstable();
    drawn.dedup();
    drawn
}

#[test]
fn nothing_breaks_that_a_change_did_not_concern_and_nothing_stays_with_the_dead() {
    let mut world = World::new();
    // half of those whose pod lives on are in use while changes are made, on a thread of their own
    let (mut busy, others): (Vec<_>, Vec<_>) =
        world.sessions.drain(..).partition(|it| it.pod >= MORTAL && it.service % 2 == 0);
    world.sessions = others;
    assert!(busy.len() > CLIENTS / 4);
    std::thread::scope(|scope| {
        let (turn, turns) = mpsc::sync_channel(0);
        let busy = &mut busy;
        scope.spawn(move || {
            for turn in turns {
                for session in busy.iter_mut().skip(turn % BUSY).step_by(BUSY) {
                    session.send();
                    session.receive();
                }
            }
        });
        for number in 1..=CHANGES {
            turn.send(number).expect("what is in use must live");
            world.change();
            match number % 100 {
                50 => world.crash(number / 100 % MORTAL),
                0 => world.start((number / 100 + 1) % MORTAL),
                _ => {}
            }
        }
    });
    assert!(world.site.status().generation > CHANGES as u64 / 2, "changes are published");
    world.sessions.extend(busy);
    assert_eq!(world.sessions.len(), CLIENTS);
    world.sessions.iter_mut().for_each(Session::send);
    world.sessions.iter_mut().for_each(Session::receive);
    (0..CLIENTS).for_each(|flow| world.check(flow));
}
