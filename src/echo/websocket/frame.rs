//! Frames of RFC 6455 §5: bytes ↔ frames. Sans-IO.

use bytes::{Buf, BufMut, BytesMut};

/// The largest payload of a frame and of a message.
pub(super) const LARGEST: usize = 1024 * 1024;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opcode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Opcode {
    const CODES: [(u8, Self); 6] = [
        (0x0, Self::Continuation),
        (0x1, Self::Text),
        (0x2, Self::Binary),
        (0x8, Self::Close),
        (0x9, Self::Ping),
        (0xA, Self::Pong),
    ];

    fn parse(code: u8) -> Option<Self> {
        Self::CODES.iter().find(|(known, _)| *known == code).map(|(_, opcode)| *opcode)
    }

    fn code(self) -> u8 {
        Self::CODES.iter().find(|(_, known)| *known == self).map_or(0, |(code, _)| *code)
    }

    pub(super) fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// One frame, unmasked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) is_final: bool,
    pub(super) opcode: Opcode,
    pub(super) payload: BytesMut,
}

/// What a client must not do; the connection ends with its code (RFC 6455 §7.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Violation {
    Protocol,
    NotUtf8,
    TooLarge,
}

impl Violation {
    pub(super) fn code(self) -> [u8; 2] {
        let code: u16 = match self {
            Self::Protocol => 1002,
            Self::NotUtf8 => 1007,
            Self::TooLarge => 1009,
        };
        code.to_be_bytes()
    }
}

/// Takes one frame of a client off the front of `input`; `None` while it is incomplete.
pub(super) fn decode(input: &mut BytesMut) -> Result<Option<Frame>, Violation> {
    let mut rest: &[u8] = input;
    let Some(head) = Head::parse(&mut rest)? else { return Ok(None) };
    if rest.len() < head.length {
        return Ok(None);
    }
    input.advance(input.len().saturating_sub(rest.len()));
    let mut payload = input.split_to(head.length);
    for (byte, mask) in payload.iter_mut().zip(head.mask.iter().cycle()) {
        *byte ^= mask;
    }
    Ok(Some(Frame { is_final: head.is_final, opcode: head.opcode, payload }))
}

struct Head {
    is_final: bool,
    opcode: Opcode,
    length: usize,
    mask: [u8; 4],
}

impl Head {
    fn parse(rest: &mut &[u8]) -> Result<Option<Self>, Violation> {
        let Ok(first) = rest.try_get_u8() else { return Ok(None) };
        let Ok(second) = rest.try_get_u8() else { return Ok(None) };
        if first & 0x70 != 0 || second & 0x80 == 0 {
            // an extension that was not agreed on, or no mask
            return Err(Violation::Protocol);
        }
        let is_final = first & 0x80 != 0;
        let opcode = Opcode::parse(first & 0x0F).ok_or(Violation::Protocol)?;
        let length = match second & 0x7F {
            126 => rest.try_get_u16().map(u64::from),
            127 => rest.try_get_u64(),
            short => Ok(u64::from(short)),
        };
        let Ok(length) = length else { return Ok(None) };
        if opcode.is_control() && (length > 125 || !is_final) {
            return Err(Violation::Protocol);
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > LARGEST {
            return Err(Violation::TooLarge);
        }
        let mut mask = [0; 4];
        if rest.try_copy_to_slice(&mut mask).is_err() {
            return Ok(None);
        }
        Ok(Some(Self { is_final, opcode, length, mask }))
    }
}

/// Appends one whole, unmasked frame, as a server sends it.
pub(super) fn encode(opcode: Opcode, payload: &[u8], output: &mut BytesMut) {
    output.put_u8(0x80 | opcode.code());
    match payload.len() {
        // the guards keep the casts exact
        length @ 0..=125 => output.put_u8(length as u8),
        length @ 126..=0xFFFF => {
            output.put_u8(126);
            output.put_u16(length as u16);
        }
        length => {
            output.put_u8(127);
            output.put_u64(length as u64);
        }
    }
    output.put_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(bytes: &[u8]) -> Result<Option<Frame>, Violation> {
        decode(&mut BytesMut::from(bytes))
    }

    #[test]
    fn a_masked_text_frame_is_that_of_the_rfc() {
        // RFC 6455 §5.7
        let bytes = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        let payload = BytesMut::from("Hello");
        assert_eq!(
            decoded(&bytes),
            Ok(Some(Frame { is_final: true, opcode: Opcode::Text, payload }))
        );
        for end in 0..bytes.len() {
            assert_eq!(decoded(&bytes[..end]), Ok(None), "cut at {end}");
        }
    }

    #[test]
    fn what_a_client_must_not_send_is_refused() {
        let cases: [(&[u8], Violation); 6] = [
            (&[0x81, 0x05], Violation::Protocol),
            (&[0xC1, 0x80], Violation::Protocol),
            (&[0x83, 0x80], Violation::Protocol),
            (&[0x09, 0x80], Violation::Protocol),
            (&[0x89, 0xFE, 0, 126], Violation::Protocol),
            (&[0x82, 0xFF, 0, 0, 0, 0, 0, 16, 0, 1], Violation::TooLarge),
        ];
        for (bytes, violation) in cases {
            assert_eq!(decoded(bytes), Err(violation), "{bytes:02x?}");
        }
    }

    #[test]
    fn lengths_take_the_shortest_form() {
        for (length, head) in [
            (125, vec![0x82, 125]),
            (126, vec![0x82, 126, 0, 126]),
            (65_536, vec![0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let mut output = BytesMut::new();
            encode(Opcode::Binary, &vec![0; length], &mut output);
            assert_eq!(output[..head.len()], head);
            assert_eq!(output.len(), head.len() + length);
        }
    }
}
