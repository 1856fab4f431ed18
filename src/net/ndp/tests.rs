use proptest::prelude::*;

use super::*;

const HERE: Mac = Mac([0x02, 0, 0, 0, 0, 0x0b]);
const CLIENT: Mac = Mac([0x02, 0, 0, 0, 0, 0x0c]);

fn ip(text: &str) -> Ipv6Addr {
    text.parse().expect("an address")
}

/// A solicitation as a test wants it, with a checksum that is right.
#[derive(Clone)]
struct Asked {
    source: Ipv6Addr,
    destination: Ipv6Addr,
    target: Ipv6Addr,
    kind: [u8; 2],
    hop_limit: u8,
    next_header: u8,
    options: Vec<u8>,
}

impl Asked {
    fn new() -> Self {
        Self {
            source: ip("fd00::9"),
            destination: ip("ff02::1:ff00:100"),
            target: ip("fd00::100"),
            kind: [SOLICITATION, 0],
            hop_limit: 255,
            next_header: ICMPV6,
            options: vec![SOURCE_MAC, 1, 0x02, 0, 0, 0, 0, 0x0c],
        }
    }

    fn frame(&self) -> Vec<u8> {
        let body = |checksum: u16| {
            let parts = [&self.kind[..], &checksum.to_be_bytes(), &[0; 4], &self.target.octets()];
            [&parts.concat()[..], &self.options].concat()
        };
        let message = body(!sum(self.source, self.destination, &body(0)));
        let length = u16::try_from(message.len()).expect("short");
        let parts = [
            &[0x33, 0x33, 0xff, 0, 1, 0][..],
            &CLIENT.0,
            &[0x86, 0xdd, 0x60, 0, 0, 0],
            &length.to_be_bytes(),
            &[self.next_header, self.hop_limit],
            &self.source.octets(),
            &self.destination.octets(),
            &message,
        ];
        parts.concat()
    }

    fn read(&self) -> Option<NeighbourSolicitation> {
        NeighbourSolicitation::parse(&self.frame())
    }
}

/// As Linux sends it; the checksums of both were reckoned by another implementation.
const FROM_LINUX: [u8; 86] = [
    0x33, 0x33, 0xff, 0x00, 0x01, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x0c, 0x86, 0xdd, 0x60, 0x00,
    0x00, 0x00, 0x00, 0x20, 0x3a, 0xff, 0xfd, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x09, 0xff, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x01, 0xff, 0x00, 0x01, 0x00, 0x87, 0x00, 0x7b, 0x88, 0x00, 0x00, 0x00, 0x00, 0xfd, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x01, 0x01,
    0x02, 0x00, 0x00, 0x00, 0x00, 0x0c,
];

#[test]
fn a_solicitation_is_read_and_answered_to_whoever_asks() {
    let asked = NeighbourSolicitation::parse(&FROM_LINUX).expect("a solicitation");
    assert_eq!(Some(asked), Asked::new().read());
    let expected = NeighbourSolicitation {
        to: Mac([0x33, 0x33, 0xff, 0, 1, 0]),
        source_mac: CLIENT,
        source: ip("fd00::9"),
        target: ip("fd00::100"),
    };
    assert_eq!(asked, expected);
    let answer = [
        0x02, 0x00, 0x00, 0x00, 0x00, 0x0c, 0x02, 0x00, 0x00, 0x00, 0x00, 0x0b, 0x86, 0xdd, 0x60,
        0x00, 0x00, 0x00, 0x00, 0x20, 0x3a, 0xff, 0xfd, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0xfd, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x09, 0x88, 0x00, 0x1a, 0x8d, 0x60, 0x00,
        0x00, 0x00, 0xfd, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x01, 0x00, 0x02, 0x01, 0x02, 0x00, 0x00, 0x00, 0x00, 0x0b,
    ];
    assert_eq!(asked.answer(HERE).frame(), answer);
}

#[test]
fn an_unsolicited_advertisement_overrides_what_all_nodes_know() {
    let told = NeighbourAdvertisement::unsolicited(ip("fd00::100"), HERE);
    let frame = told.frame();
    assert_eq!(frame.get(..6), Some(&[0x33, 0x33, 0, 0, 0, 1][..]), "to all nodes");
    assert_eq!(frame.get(38..54), Some(&ip("ff02::1").octets()[..]));
    assert_eq!(frame.get(58), Some(&OVERRIDE), "and not solicited");
    assert_eq!(frame.get(21), Some(&255), "hop limit");
    let message = frame.get(54..).expect("a message");
    assert_eq!(sum(ip("fd00::100"), ip("ff02::1"), message), u16::MAX);
}

#[test]
fn who_asks_before_it_takes_the_address_is_told_by_way_of_everybody() {
    let probe = Asked { source: Ipv6Addr::UNSPECIFIED, options: Vec::new(), ..Asked::new() };
    let read = probe.read().expect("a solicitation");
    let expected = NeighbourAdvertisement::unsolicited(ip("fd00::100"), HERE);
    assert_eq!(read.answer(HERE), expected);
}

#[test]
fn a_neighbour_that_is_asked_again_need_not_give_its_mac() {
    let again = Asked { destination: ip("fd00::100"), options: Vec::new(), ..Asked::new() };
    let read = again.read().expect("a solicitation");
    assert_eq!((read.source_mac, read.answer(HERE).to), (CLIENT, (CLIENT, ip("fd00::9"))));
}

#[test]
fn what_is_no_valid_solicitation_is_nothing() {
    let anonymous = Ipv6Addr::UNSPECIFIED;
    let valid = Asked::new;
    for (what, asked) in [
        ("came by a router", Asked { hop_limit: 254, ..valid() }),
        ("another protocol", Asked { next_header: 17, ..valid() }),
        ("another message", Asked { kind: [136, 0], ..valid() }),
        ("another code", Asked { kind: [135, 1], ..valid() }),
        ("for a group", Asked { target: ip("ff02::1:ff00:100"), ..valid() }),
        ("by a group", Asked { source: ip("ff02::1"), ..valid() }),
        ("in another group", Asked { destination: ip("ff02::1:ff00:101"), ..valid() }),
        ("anonymous, with a MAC", Asked { source: anonymous, ..valid() }),
        (
            "anonymous, to one",
            Asked { source: anonymous, destination: ip("fd00::100"), options: vec![], ..valid() },
        ),
        ("an option of no length", Asked { options: vec![14, 0, 0, 0, 0, 0, 0, 0], ..valid() }),
        ("an option that goes on", Asked { options: vec![1, 2, 2, 0, 0, 0, 0, 12], ..valid() }),
        ("half an option", Asked { options: vec![14], ..valid() }),
        ("the MAC of a group", Asked { options: vec![1, 1, 0x33, 0, 0, 0, 0, 1], ..valid() }),
    ] {
        assert_eq!(asked.read(), None, "{what}");
    }
    for place in [14, 56, 57, 70] {
        let mut frame = FROM_LINUX;
        frame[place] ^= 0x10;
        assert_eq!(NeighbourSolicitation::parse(&frame), None, "byte {place}");
    }
    for length in 0..FROM_LINUX.len() {
        assert_eq!(NeighbourSolicitation::parse(&FROM_LINUX[..length]), None, "{length} bytes");
    }
}

#[test]
fn options_that_are_not_known_are_passed_over() {
    let nonce = vec![14, 1, 1, 2, 3, 4, 5, 6, SOURCE_MAC, 1, 2, 0, 0, 0, 0, 7];
    let read = Asked { options: nonce, ..Asked::new() }.read().expect("a solicitation");
    assert_eq!(read.source_mac, Mac([2, 0, 0, 0, 0, 7]));
}

#[test]
fn the_group_of_an_address_has_its_last_three_bytes() {
    for (address, group) in
        [("fd00::100", "ff02::1:ff00:100"), ("2001:db8::aabb:ccdd:eeff:1122", "ff02::1:ffff:1122")]
    {
        assert_eq!(solicited_node(ip(address)), ip(group));
    }
}

proptest! {
    #[test]
    fn every_valid_solicitation_is_read_and_its_answer_sums_up(
        source in any::<u128>(), target in any::<u128>(), mac in any::<[u8; 6]>(), is_unicast in any::<bool>(),
    ) {
        let [first, a, b, c, d, e] = mac;
        let mac = [first & 0xfe, a, b, c, d, e];
        // 2000::/3: neither a group nor nothing
        let global = |bits: u128| Ipv6Addr::from(bits >> 3 | 1 << 125);
        let (source, target) = (global(source), global(target));
        let destination = if is_unicast { target } else { solicited_node(target) };
        let options = [&[SOURCE_MAC, 1][..], &mac].concat();
        let asked = Asked { source, target, destination, options, ..Asked::new() };
        let read = asked.read().expect("a solicitation");
        prop_assert_eq!((read.source, read.target, read.source_mac), (source, target, Mac(mac)));
        let frame = read.answer(HERE).frame();
        let packet = Packet::parse(&frame[14..]).expect("a checksum that is right");
        prop_assert_eq!((packet.source, packet.destination), (target, source));
    }

    #[test]
    fn no_bytes_make_it_panic(mut frame in prop::collection::vec(any::<u8>(), 0..140), valid in 0..86_usize) {
        let length = valid.min(frame.len());
        frame[..length].copy_from_slice(&FROM_LINUX[..length]);
        let _ = NeighbourSolicitation::parse(&frame).map(|it| it.answer(HERE).frame());
        // as if the checksum had been right
        let _ = source_mac(&frame);
    }
}
