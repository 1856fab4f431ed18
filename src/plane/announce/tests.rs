//! What is answered and said, whatever happens in whichever order.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use tokio::sync::watch;
use tokio::time::Instant;

use super::State;
use super::state::Gratuitous;
use crate::balance::Rng;
use crate::net::{ArpOperation, ArpPacket, Mac, NeighbourSolicitation};
use crate::plane::{AnnounceGate, Served};
use crate::snapshot::{Generation, Snapshot, cell};

const HERE: Mac = Mac([2, 0, 0, 0, 0, 0x0b]);
const CLIENT: Mac = Mac([2, 0, 0, 0, 0, 0x0c]);
const ETH0: u32 = 3;

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn served(generation: u64, addresses: &[&str]) -> Served {
    let addresses = addresses.iter().map(|it| ip(it)).collect();
    Served { generation: Generation(generation), addresses: Arc::new(addresses) }
}

fn want(state: &mut State, generation: u64, addresses: &[&str], now: Instant) {
    state.want(Generation(generation), addresses.iter().map(|it| ip(it)), now);
}

/// A state with one interface.
fn state(now: Instant) -> State {
    let mut state = State::default();
    state.set_interfaces([(ETH0, HERE)].into(), now);
    state
}

/// The frame of whoever looks for an address.
fn question(target: IpAddr) -> Vec<u8> {
    let IpAddr::V4(target_ip) = target else { return solicitation(target) };
    let packet = ArpPacket {
        to: Mac::BROADCAST,
        operation: ArpOperation::Request,
        sender_mac: CLIENT,
        sender_ip: [10, 0, 0, 9].into(),
        target_mac: Mac([0; 6]),
        target_ip,
    };
    packet.frame()
}

/// As Linux sends it from fd00::9 for fd00::100, and for no other.
fn solicitation(target: IpAddr) -> Vec<u8> {
    assert_eq!(target, ip("fd00::100"));
    let words = "3333ff00010002000000000c86dd6000000000203afffd000000000000000000000000000009ff02\
                 00000000000000000001ff00010087007b8800000000fd0000000000000000000000000001000101\
                 02000000000c";
    let frame = data_encoding::HEXLOWER.decode(words.as_bytes()).expect("hex");
    assert!(NeighbourSolicitation::parse(&frame).is_some(), "a valid one");
    frame
}

fn is_answered(state: &State, target: &str) -> bool {
    let answer = state.answer(ETH0, &question(ip(target)));
    answer.is_some_and(|(of, _)| of == ip(target))
}

#[test]
fn nothing_is_announced_before_the_workers_have_applied_it() {
    for address in ["10.0.0.100", "fd00::100"] {
        let now = Instant::now();
        let mut state = state(now);
        state.serve(served(6, &[]), now);
        want(&mut state, 7, &[address], now);
        assert!(!is_answered(&state, address) && state.next().is_none(), "wanted only");
        // the socket of before is about to go, or serves something else
        state.serve(served(6, &[address]), now);
        assert!(!is_answered(&state, address) && state.next().is_none(), "an older generation");
        state.serve(served(7, &[]), now);
        assert!(!is_answered(&state, address) && state.next().is_none(), "no socket");
        state.serve(served(7, &[address]), now);
        assert!(is_answered(&state, address));
        assert_eq!((state.next(), state.due(now).len()), (Some(now), 1));
    }
}

#[test]
fn what_stays_wanted_is_announced_while_later_generations_are_applied() {
    let now = Instant::now();
    let mut state = state(now);
    want(&mut state, 7, &["10.0.0.100"], now);
    state.serve(served(7, &["10.0.0.100"]), now);
    state.due(now);
    want(&mut state, 8, &["10.0.0.100", "10.0.0.101"], now);
    assert!(is_answered(&state, "10.0.0.100") && !is_answered(&state, "10.0.0.101"));
    state.serve(served(8, &["10.0.0.100", "10.0.0.101"]), now);
    let said: Vec<_> = state.due(now).into_iter().map(|it| it.ip).collect();
    assert_eq!(said, [ip("10.0.0.101")], "only what is new is told anew");
}

#[test]
fn what_is_wanted_no_more_is_not_answered_from_then_on() {
    let now = Instant::now();
    let mut state = state(now);
    want(&mut state, 7, &["10.0.0.100", "fd00::100"], now);
    state.serve(served(7, &["10.0.0.100", "fd00::100"]), now);
    assert_eq!(state.groups(), ["ff02::1:ff00:100".parse().expect("a group")].into());
    want(&mut state, 8, &[], now);
    assert!(!is_answered(&state, "10.0.0.100") && !is_answered(&state, "fd00::100"));
    assert_eq!((state.next(), state.groups().len()), (None, 0));
    assert_eq!(state.due(now + Duration::from_secs(2)), []);
    // back again, it has to be applied again
    want(&mut state, 9, &["10.0.0.100"], now);
    assert!(!is_answered(&state, "10.0.0.100"));
}

#[test]
fn an_address_whose_socket_goes_is_announced_no_more() {
    let now = Instant::now();
    let mut state = state(now);
    want(&mut state, 7, &["10.0.0.100"], now);
    state.serve(served(7, &["10.0.0.100"]), now);
    state.serve(served(7, &[]), now);
    assert!(!is_answered(&state, "10.0.0.100"));
}

#[test]
fn a_takeover_is_told_for_five_seconds() {
    let start = Instant::now();
    let mut state = state(start);
    want(&mut state, 1, &["10.0.0.100"], start);
    state.serve(served(1, &["10.0.0.100"]), start);
    let mut said = Vec::new();
    while let Some(next) = state.next() {
        assert_eq!(state.due(next - Duration::from_millis(1)), [], "not before its time");
        said.extend(state.due(next).into_iter().map(|it| ((next - start).as_millis(), it)));
    }
    let times: Vec<_> = said.iter().map(|(time, _)| *time).collect();
    assert_eq!(times, [0, 1100, 2200, 3300, 4400]);
    let operations = [ArpOperation::Request, ArpOperation::Reply];
    let frames =
        operations.map(|it| ArpPacket::gratuitous(it, [10, 0, 0, 100].into(), HERE).frame());
    let expected = Gratuitous { interface: ETH0, ip: ip("10.0.0.100"), frames: frames.into() };
    assert!(said.iter().all(|(_, it)| *it == expected), "{said:?}");
}

#[test]
fn a_new_interface_and_one_with_another_mac_are_told_everything() {
    let now = Instant::now();
    let mut state = State::default();
    want(&mut state, 1, &["10.0.0.100", "fd00::100"], now);
    state.serve(served(1, &["10.0.0.100", "fd00::100"]), now);
    assert_eq!(state.due(now), [], "there is none yet");
    let mut told = |interfaces: &[(u32, Mac)]| {
        state.set_interfaces(interfaces.iter().copied().collect(), now);
        state.due(now).into_iter().map(|it| (it.interface, it.ip)).collect::<BTreeSet<_>>()
    };
    let all = |interface| [(interface, ip("10.0.0.100")), (interface, ip("fd00::100"))].into();
    assert_eq!(told(&[(3, HERE)]), all(3));
    assert_eq!(told(&[(3, HERE), (4, HERE)]), all(4));
    assert_eq!(told(&[(3, CLIENT), (4, HERE)]), all(3));
    assert_eq!(told(&[(3, CLIENT)]), BTreeSet::new());
    assert!(state.answer(4, &question(ip("10.0.0.100"))).is_none(), "it is gone");
}

#[test]
fn only_questions_that_are_for_this_machine_are_answered() {
    let now = Instant::now();
    let mut state = state(now);
    want(&mut state, 1, &["10.0.0.100"], now);
    state.serve(served(1, &["10.0.0.100"]), now);
    let asked = ArpPacket::parse(&question(ip("10.0.0.100"))).expect("a request");
    let other = Mac([2, 0, 0, 0, 0, 0x0d]);
    for (what, packet, expected) in [
        ("by broadcast", asked, true),
        ("to this machine", ArpPacket { to: HERE, ..asked }, true),
        ("before it takes the address", ArpPacket { sender_ip: [0; 4].into(), ..asked }, true),
        ("to another machine", ArpPacket { to: other, ..asked }, false),
        ("for another address", ArpPacket { target_ip: [10, 0, 0, 101].into(), ..asked }, false),
        ("no question", ArpPacket { operation: ArpOperation::Reply, ..asked }, false),
        (
            "another node takes the address over",
            ArpPacket::gratuitous(ArpOperation::Request, [10, 0, 0, 100].into(), other),
            false,
        ),
    ] {
        let answer = state.answer(ETH0, &packet.frame());
        assert_eq!(answer.is_some(), expected, "{what}");
        let expected = expected.then(|| (ip("10.0.0.100"), packet.answer(HERE).frame()));
        assert_eq!(answer, expected, "{what}");
        assert_eq!(state.answer(ETH0 + 1, &packet.frame()), None, "on no interface of ours");
    }
}

/// A node whose parts run in the order that a seed gives.
#[derive(Default)]
struct Node {
    /// What the newest generation wants to be announced, and to have sockets.
    newest: (u64, [BTreeSet<IpAddr>; 2]),
    /// What the announcements have seen of it.
    seen: (u64, BTreeSet<IpAddr>),
    /// The sockets that are open.
    open: BTreeSet<IpAddr>,
    state: State,
}

impl Node {
    fn step(&mut self, rng: &mut Rng, now: Instant) {
        let (generation, [wanted, sockets]) = &mut self.newest;
        match rng.below(5) {
            0 => {
                *generation += 1;
                let all = || ["10.0.0.100", "10.0.0.101", "fd00::100"].map(ip).into_iter();
                *sockets = all().filter(|_| rng.below(3) > 0).collect();
                *wanted = sockets.iter().filter(|_| rng.below(3) > 0).copied().collect();
            }
            1 => {
                self.state.want(Generation(*generation), wanted.iter().copied(), now);
                self.seen = (*generation, wanted.clone());
            }
            // the gate: not before announcements have seen it
            2 if self.seen.0 == *generation => {
                let may_open = |ip: &&IpAddr| self.open.contains(*ip) || rng.below(4) > 0;
                self.open = sockets.iter().filter(may_open).copied().collect();
                let addresses = Arc::new(self.open.clone());
                self.state.serve(Served { generation: Generation(*generation), addresses }, now);
            }
            3 => {
                let interfaces: BTreeMap<_, _> = [(ETH0, HERE), (4, CLIENT)].into();
                let found =
                    interfaces.into_iter().filter(|(index, _)| *index == ETH0 || rng.below(2) > 0);
                self.state.set_interfaces(found.collect(), now);
            }
            _ => {}
        }
    }

    fn check(&mut self, now: Instant, seed: u64) {
        for target in ["10.0.0.100", "10.0.0.101", "fd00::100"] {
            let is_allowed = self.seen.1.contains(&ip(target)) && self.open.contains(&ip(target));
            assert!(is_allowed || !is_answered(&self.state, target), "{target}, seed {seed}");
        }
        for said in self.state.due(now) {
            assert!(self.seen.1.contains(&said.ip) && self.open.contains(&said.ip), "seed {seed}");
        }
    }
}

#[test]
fn in_any_order_of_events_only_what_is_wanted_and_served_is_announced() {
    let mut announced = 0;
    for seed in 0..256 {
        let (mut rng, mut node, mut now) = (Rng::new(seed), Node::default(), Instant::now());
        for _ in 0..200 {
            now += Duration::from_millis(rng.below(1500) as u64);
            node.step(&mut rng, now);
            node.check(now, seed);
        }
        announced += node.state.announced().len();
    }
    assert!(announced > 100, "{announced} at the end of 256");
}

#[tokio::test]
async fn the_gate_opens_when_the_newest_snapshot_has_been_seen() {
    let (mut publisher, reader) = cell::new();
    let (withdraw, withdrawn) = watch::channel(Generation(0));
    let mut gate = AnnounceGate { withdrawn, served: watch::Sender::default() };
    publisher.publish(Snapshot::default());
    let mut waiting = Box::pin(gate.withdrawn(&reader));
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(waiting.as_mut().poll(&mut cx).is_pending());
    // it saw a newer one, so that nothing is known of the older one
    publisher.publish(Snapshot::default());
    withdraw.send_replace(Generation(2));
    assert_eq!(waiting.await.generation, Generation(2));
    publisher.publish(Snapshot::default());
    drop(withdraw);
    assert_eq!(gate.withdrawn(&reader).await.generation, Generation(3), "nobody announces");
}

proptest! {
    #[test]
    fn no_frame_makes_it_panic(frame in prop::collection::vec(any::<u8>(), 0..128), is_arp in any::<bool>()) {
        let now = Instant::now();
        let mut state = state(now);
        want(&mut state, 1, &["10.0.0.100", "fd00::100"], now);
        state.serve(served(1, &["10.0.0.100", "fd00::100"]), now);
        let valid = question(ip(if is_arp { "10.0.0.100" } else { "fd00::100" }));
        let _ = state.answer(ETH0, &frame);
        let mixed: Vec<u8> = valid.iter().zip(frame.iter().chain(std::iter::repeat(&0)))
            .map(|(good, bad)| if bad % 8 == 0 { *bad } else { *good }).collect();
        let _ = state.answer(ETH0, &mixed);
    }
}
