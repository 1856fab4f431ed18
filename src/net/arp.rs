//! ARP for IPv4 on Ethernet (RFC 826), both ways. Pure.

use std::net::Ipv4Addr;

use super::Mac;
use super::ethernet::{ARP, Header};

/// What somebody asks or tells of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArpPacket {
    /// To whom the frame goes; everybody, as a rule, for a request.
    pub to: Mac,
    /// Question or answer.
    pub operation: ArpOperation,
    /// Who speaks.
    pub sender_mac: Mac,
    /// Its address; 0.0.0.0 where it wants to know whether it may take one (RFC 5227).
    pub sender_ip: Ipv4Addr,
    /// Who is spoken to; of no meaning in a request.
    pub target_mac: Mac,
    /// Whose MAC is asked for, or who asked.
    pub target_ip: Ipv4Addr,
}

/// Question or answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArpOperation {
    /// Who has the target's address?
    Request,
    /// The sender's address is at the sender's MAC.
    Reply,
}

impl ArpPacket {
    /// Reads a frame. `None`: it is none, or one of another kind of network. What follows the packet
    /// (short frames are filled up) is of no meaning.
    pub fn parse(frame: &[u8]) -> Option<Self> {
        let (Header { to, ether_type: ARP, .. }, rest) = Header::parse(frame)? else { return None };
        let (kind, rest) = rest.split_first_chunk()?;
        let (operation, rest) = rest.split_first_chunk()?;
        let (sender_mac, rest) = rest.split_first_chunk()?;
        let (sender_ip, rest) = rest.split_first_chunk::<4>()?;
        let (target_mac, rest) = rest.split_first_chunk()?;
        let (target_ip, _) = rest.split_first_chunk::<4>()?;
        let operation = match u16::from_be_bytes(*operation) {
            REQUEST => ArpOperation::Request,
            REPLY => ArpOperation::Reply,
            _ => return None,
        };
        let packet = Self {
            to,
            operation,
            sender_mac: Mac(*sender_mac),
            sender_ip: (*sender_ip).into(),
            target_mac: Mac(*target_mac),
            target_ip: (*target_ip).into(),
        };
        (*kind == ETHERNET_IPV4 && !packet.sender_mac.is_group()).then_some(packet)
    }

    /// The frame, as its sender sends it.
    pub fn frame(&self) -> Vec<u8> {
        let operation = match self.operation {
            ArpOperation::Request => REQUEST,
            ArpOperation::Reply => REPLY,
        };
        let payload = [
            &ETHERNET_IPV4[..],
            &operation.to_be_bytes(),
            &self.sender_mac.0,
            &self.sender_ip.octets(),
            &self.target_mac.0,
            &self.target_ip.octets(),
        ];
        let header = Header { to: self.to, from: self.sender_mac, ether_type: ARP };
        header.frame(&payload.concat())
    }

    /// What answers a request: the address that it asks for is here.
    pub fn answer(&self, mac: Mac) -> Self {
        Self {
            to: self.sender_mac,
            operation: ArpOperation::Reply,
            sender_mac: mac,
            sender_ip: self.target_ip,
            target_mac: self.sender_mac,
            target_ip: self.sender_ip,
        }
    }

    /// Tells everybody where an address is, unasked (RFC 5227 section 3: an announcement is a
    /// request; some believe replies only).
    pub fn gratuitous(operation: ArpOperation, ip: Ipv4Addr, mac: Mac) -> Self {
        let target_mac = Mac::BROADCAST;
        let to = Mac::BROADCAST;
        Self { to, operation, sender_mac: mac, sender_ip: ip, target_mac, target_ip: ip }
    }
}

/// Kinds and lengths of addresses.
const ETHERNET_IPV4: [u8; 6] = [0, 1, 8, 0, 6, 4];
const REQUEST: u16 = 1;
const REPLY: u16 = 2;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HERE: Mac = Mac([0x02, 0, 0, 0, 0, 0x0b]);
    const CLIENT: Mac = Mac([0x02, 0, 0, 0, 0, 0x0c]);

    /// As arping sends it: who has 192.168.0.100, tell 192.168.0.9.
    const ASKED: [u8; 42] = [
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02, 0, 0, 0, 0, 0x0c, 0x08, 0x06, 0, 1, 8, 0, 6, 4,
        0, 1, 0x02, 0, 0, 0, 0, 0x0c, 192, 168, 0, 9, 0, 0, 0, 0, 0, 0, 192, 168, 0, 100,
    ];

    fn asked() -> ArpPacket {
        ArpPacket {
            to: Mac::BROADCAST,
            operation: ArpOperation::Request,
            sender_mac: CLIENT,
            sender_ip: [192, 168, 0, 9].into(),
            target_mac: Mac([0; 6]),
            target_ip: [192, 168, 0, 100].into(),
        }
    }

    #[test]
    fn a_request_is_read_and_answered_to_whoever_asks() {
        assert_eq!(ArpPacket::parse(&ASKED), Some(asked()));
        let padded = [&ASKED[..], &[0; 18]].concat();
        assert_eq!(ArpPacket::parse(&padded), Some(asked()));
        let answer = [
            0x02, 0, 0, 0, 0, 0x0c, 0x02, 0, 0, 0, 0, 0x0b, 0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 2,
            0x02, 0, 0, 0, 0, 0x0b, 192, 168, 0, 100, 0x02, 0, 0, 0, 0, 0x0c, 192, 168, 0, 9,
        ];
        assert_eq!(asked().answer(HERE).frame(), answer);
    }

    #[test]
    fn gratuitous_packets_tell_everybody_of_one_address() {
        for (operation, code) in [(ArpOperation::Request, 1), (ArpOperation::Reply, 2)] {
            let ip = [192, 168, 0, 100].into();
            let expected = [
                0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02, 0, 0, 0, 0, 0x0b, 0x08, 0x06, 0, 1, 8, 0,
                6, 4, 0, code, 0x02, 0, 0, 0, 0, 0x0b, 192, 168, 0, 100, 0xff, 0xff, 0xff, 0xff,
                0xff, 0xff, 192, 168, 0, 100,
            ];
            assert_eq!(ArpPacket::gratuitous(operation, ip, HERE).frame(), expected);
        }
    }

    #[test]
    fn what_is_no_arp_of_an_ethernet_is_nothing() {
        for (place, byte, what) in [
            (12, 0x86, "another protocol"),
            (15, 6, "another kind of network"),
            (16, 0x86, "another kind of address"),
            (18, 8, "MACs of another length"),
            (19, 16, "addresses of another length"),
            (21, 3, "another operation"),
            (6, 0xff, "sent by everybody"),
            (22, 0x33, "on behalf of a group"),
        ] {
            let mut frame = ASKED;
            frame[place] = byte;
            assert_eq!(ArpPacket::parse(&frame), None, "{what}");
        }
        for length in 0..ASKED.len() {
            assert_eq!(ArpPacket::parse(&ASKED[..length]), None, "{length} bytes");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            macs in any::<[[u8; 6]; 3]>(), ips in any::<[[u8; 4]; 2]>(), is_request in any::<bool>(),
        ) {
            let [to, [first, rest @ ..], target_mac] = macs;
            let [a, b, c, d, e] = rest;
            let packet = ArpPacket {
                to: Mac(to),
                operation: if is_request { ArpOperation::Request } else { ArpOperation::Reply },
                sender_mac: Mac([first & 0xfe, a, b, c, d, e]),
                sender_ip: ips[0].into(),
                target_mac: Mac(target_mac),
                target_ip: ips[1].into(),
            };
            prop_assert_eq!(ArpPacket::parse(&packet.frame()), Some(packet));
        }

        #[test]
        fn no_bytes_make_it_panic(mut frame in prop::collection::vec(any::<u8>(), 0..80), valid in 0..42_usize) {
            let length = valid.min(frame.len());
            frame[..length].copy_from_slice(&ASKED[..length]);
            if let Some(packet) = ArpPacket::parse(&frame) {
                prop_assert_eq!(&packet.answer(HERE).frame()[..6], &packet.sender_mac.0);
            }
        }
    }
}
