//! Frames of an Ethernet: where they go, where they come from, what is in them.

use std::fmt;

/// An address of an interface.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// Everybody.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// Whether it stands for many, as everybody does: then nothing comes from there.
    pub fn is_group(self) -> bool {
        let [first, ..] = self.0;
        first & 1 != 0
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a frame begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) to: Mac,
    pub(super) from: Mac,
    /// `ARP` or `IPV6`, among others.
    pub(super) ether_type: u16,
}

impl Header {
    /// The header of a frame, and what is behind it. Nothing of one that claims to come from many.
    pub(super) fn parse(frame: &[u8]) -> Option<(Self, &[u8])> {
        let (to, rest) = frame.split_first_chunk()?;
        let (from, rest) = rest.split_first_chunk()?;
        let (ether_type, rest) = rest.split_first_chunk()?;
        let ether_type = u16::from_be_bytes(*ether_type);
        let header = Self { to: Mac(*to), from: Mac(*from), ether_type };
        (!header.from.is_group()).then_some((header, rest))
    }

    /// A frame with what is behind the header.
    pub(super) fn frame(self, payload: &[u8]) -> Vec<u8> {
        let Self { to, from, ether_type } = self;
        [&to.0[..], &from.0, &ether_type.to_be_bytes(), payload].concat()
    }
}

pub(super) const ARP: u16 = 0x0806;
pub(super) const IPV6: u16 = 0x86dd;
