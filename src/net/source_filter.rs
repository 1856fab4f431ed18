//! A filter before a socket's queue: the kernel drops most datagrams of some senders, and nobody
//! else's, while the process does not even run. Needs no privileges.

use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;

use socket2::{SockFilter, SockRef};

/// Whose datagrams are to be dropped, and how many of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFilter {
    /// Addresses; one of IPv6 stands for its /64. At most [`SourceFilter::MOST`] count.
    pub sources: Vec<IpAddr>,
    /// Of 2^32 datagrams of theirs, how many pass: they are drawn by lot.
    pub passing: u32,
}

impl SourceFilter {
    /// Sources of one filter. The program stays short: it runs for each datagram, and the length of
    /// its jumps is a byte.
    pub const MOST: usize = 32;

    /// Takes effect for what arrives from now on, in place of an earlier filter.
    pub fn attach(&self, socket: &impl AsFd) -> io::Result<()> {
        let program: Vec<SockFilter> = self.program().into_iter().map(Into::into).collect();
        SockRef::from(socket).attach_filter(&program)
    }

    /// Lets everything pass again.
    pub fn detach(socket: &impl AsFd) -> io::Result<()> {
        SockRef::from(socket).detach_filter()
    }

    fn program(&self) -> Vec<Instruction> {
        use Instruction::{IfAtLeast, LoadByte, LoadWord, Return, ShiftRight, UnlessEqual};
        let mut v4 = vec![LoadWord(NETWORK_HEADER + V4_SOURCE)];
        let mut v6 = Vec::new();
        for source in self.sources.iter().take(Self::MOST) {
            match source {
                IpAddr::V4(ip) => v4.extend([UnlessEqual(ip.to_bits(), 1), Return(DROP)]),
                IpAddr::V6(ip) => {
                    let network = (ip.to_bits() >> 64) as u64;
                    v6.extend([
                        LoadWord(NETWORK_HEADER + V6_SOURCE),
                        UnlessEqual((network >> 32) as u32, 3),
                        LoadWord(NETWORK_HEADER + V6_SOURCE + 4),
                        UnlessEqual(network as u32, 1),
                        Return(DROP),
                    ]);
                }
            }
        }
        v4.push(Return(PASS));
        let mut program = vec![
            LoadWord(RANDOM),
            IfAtLeast(self.passing, 1),
            Return(PASS),
            LoadByte(NETWORK_HEADER),
            ShiftRight(4),
            UnlessEqual(4, v4.len() as u8),
        ];
        program.append(&mut v4);
        program.push(UnlessEqual(6, v6.len() as u8));
        program.append(&mut v6);
        program.push(Return(PASS));
        program
    }
}

/// Those of bpf(4) that are used, on its one register. Jumps skip so many instructions.
#[derive(Clone, Copy, Debug)]
enum Instruction {
    LoadWord(u32),
    LoadByte(u32),
    ShiftRight(u32),
    UnlessEqual(u32, u8),
    IfAtLeast(u32, u8),
    Return(u32),
}

impl From<Instruction> for SockFilter {
    fn from(instruction: Instruction) -> Self {
        match instruction {
            // BPF_LD|BPF_W|BPF_ABS
            Instruction::LoadWord(place) => Self::new(0x20, 0, 0, place),
            // BPF_LD|BPF_B|BPF_ABS
            Instruction::LoadByte(place) => Self::new(0x30, 0, 0, place),
            // BPF_ALU|BPF_RSH|BPF_K
            Instruction::ShiftRight(bits) => Self::new(0x74, 0, 0, bits),
            // BPF_JMP|BPF_JEQ|BPF_K
            Instruction::UnlessEqual(value, skip) => Self::new(0x15, 0, skip, value),
            // BPF_JMP|BPF_JGE|BPF_K
            Instruction::IfAtLeast(value, skip) => Self::new(0x35, skip, 0, value),
            // BPF_RET|BPF_K
            Instruction::Return(bytes) => Self::new(0x06, 0, 0, bytes),
        }
    }
}

/// SKF_NET_OFF: the first byte of the header of IP, wherever the datagram itself begins.
const NETWORK_HEADER: u32 = 0xfff0_0000;
/// SKF_AD_OFF + SKF_AD_RANDOM.
const RANDOM: u32 = 0xffff_f000 + 56;

/// Where the address of the sender stands in a header (RFC 791, RFC 8200).
const V4_SOURCE: u32 = 12;
const V6_SOURCE: u32 = 8;

/// Bytes of a datagram to keep.
const PASS: u32 = u32::MAX;
const DROP: u32 = 0;

#[cfg(test)]
mod tests;
