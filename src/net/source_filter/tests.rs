use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};

use proptest::prelude::*;

use super::*;

/// What bpf(4) does with a datagram that has this header: whether it passes. `None`: the kernel
/// would not have such a program.
fn run(program: &[Instruction], header: &[u8], random: u32) -> Option<bool> {
    let (mut register, mut next) = (0, 0);
    loop {
        let instruction = *program.get(next)?;
        next += 1;
        match instruction {
            Instruction::LoadWord(RANDOM) => register = random,
            Instruction::LoadWord(place) => {
                let start = place.checked_sub(NETWORK_HEADER)? as usize;
                // beyond the end: the datagram is dropped
                let Some(word) = header.get(start..start + 4) else { return Some(false) };
                register = u32::from_be_bytes(word.try_into().ok()?);
            }
            Instruction::LoadByte(place) => {
                let place = place.checked_sub(NETWORK_HEADER)? as usize;
                let Some(byte) = header.get(place) else { return Some(false) };
                register = u32::from(*byte);
            }
            Instruction::ShiftRight(bits) => register >>= bits,
            Instruction::UnlessEqual(value, skip) => {
                next += if register == value { 0 } else { usize::from(skip) };
            }
            Instruction::IfAtLeast(value, skip) => {
                next += if register >= value { usize::from(skip) } else { 0 };
            }
            Instruction::Return(bytes) => return Some(bytes > 0),
        }
    }
}

fn header(source: IpAddr) -> Vec<u8> {
    match source {
        IpAddr::V4(ip) => [&[0x45; 12], ip.octets().as_slice(), &[127, 0, 0, 1]].concat(),
        IpAddr::V6(ip) => [&[0x60; 8], ip.octets().as_slice(), &[0; 16]].concat(),
    }
}

/// Few, so that they are often the same; of IPv6 often in one network, or in half of one.
fn source() -> impl Strategy<Value = IpAddr> {
    let v4 = (0..4u8, 0..40u8).prop_map(|(net, host)| Ipv4Addr::new(10, net, 0, host).into());
    let v6 = (0..3u16, 0..20u16, 0..2u16)
        .prop_map(|(a, b, host)| Ipv6Addr::new(0xfd00, a, 0, b, 0, 0, 0, host).into());
    prop_oneof![v4, v6]
}

fn network(ip: IpAddr) -> (bool, u64) {
    match ip {
        IpAddr::V4(ip) => (false, u64::from(ip.to_bits())),
        IpAddr::V6(ip) => (true, (ip.to_bits() >> 64) as u64),
    }
}

proptest! {
    #[test]
    fn the_program_drops_the_share_of_its_sources_and_passes_everybody_else(
        sources in prop::collection::vec(source(), 0..=SourceFilter::MOST),
        sender in source(),
        passing: u32,
        random: u32,
    ) {
        let is_source = sources.iter().any(|it| network(*it) == network(sender));
        let program = SourceFilter { sources, passing }.program();
        let passes = run(&program, &header(sender), random);
        prop_assert_eq!(passes, Some(random < passing || !is_source));
    }

    #[test]
    fn the_kernel_takes_any_program(
        sources in prop::collection::vec(source(), 0..2 * SourceFilter::MOST),
        passing: u32,
    ) {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let filter = SourceFilter { sources, passing };
        filter.attach(&socket).expect("the kernel must take it");
        SourceFilter::detach(&socket).expect("there is one");
    }
}

fn heavy_and_modest(server: IpAddr, heavy: IpAddr, modest: IpAddr) {
    let server = UdpSocket::bind((server, 0)).expect("a port");
    let to = server.local_addr().expect("an address");
    let [heavy, modest] = [heavy, modest].map(|it| UdpSocket::bind((it, 0)).expect("a port"));
    let heavy_ip = heavy.local_addr().expect("an address").ip();
    SourceFilter { sources: vec![heavy_ip], passing: 0 }.attach(&server).expect("a filter");
    let mut buffer = [0; 8];
    let mut next = |what: &[u8]| {
        // loopback delivers before it returns, and in order
        modest.send_to(what, to).expect("sent");
        server.recv(&mut buffer).map(|length| buffer[..length].to_vec()).expect("a datagram")
    };
    heavy.send_to(b"heavy", to).expect("sent");
    assert_eq!(next(b"modest"), b"modest");
    SourceFilter::detach(&server).expect("there is one");
    heavy.send_to(b"heavy", to).expect("sent");
    assert_eq!(next(b"modest"), b"heavy");
}

#[test]
fn on_a_real_socket_those_of_a_source_fall_and_those_of_others_are_read() {
    let [server, heavy, modest] = [1, 7, 9].map(|it| Ipv4Addr::new(127, 0, 0, it).into());
    heavy_and_modest(server, heavy, modest);
}
