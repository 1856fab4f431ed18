//! Frames → messages, and what to send back. Sans-IO.

use bytes::{Buf, BytesMut};

use super::frame::{Frame, LARGEST, Opcode, Violation};

/// The message that is coming in, if one is.
#[derive(Debug, Default)]
pub(super) struct Messages {
    opcode: Option<Opcode>,
    payload: BytesMut,
}

/// What a frame asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing yet.
    Wait,
    /// A frame with this payload.
    Send(Opcode, BytesMut),
    /// A close frame with this payload, and the end.
    Close(BytesMut),
}

impl Messages {
    /// Takes the next frame.
    pub(super) fn take(&mut self, frame: Frame) -> Result<Step, Violation> {
        match frame.opcode {
            Opcode::Ping => Ok(Step::Send(Opcode::Pong, frame.payload)),
            Opcode::Pong => Ok(Step::Wait),
            Opcode::Close => close(frame.payload).map(Step::Close),
            Opcode::Text | Opcode::Binary if self.opcode.is_none() => {
                self.opcode = Some(frame.opcode);
                self.append(frame)
            }
            Opcode::Continuation if self.opcode.is_some() => self.append(frame),
            // a message inside a message, or the rest of none
            Opcode::Text | Opcode::Binary | Opcode::Continuation => Err(Violation::Protocol),
        }
    }

    fn append(&mut self, frame: Frame) -> Result<Step, Violation> {
        if self.payload.len().saturating_add(frame.payload.len()) > LARGEST {
            return Err(Violation::TooLarge);
        }
        self.payload.unsplit(frame.payload);
        if !frame.is_final {
            return Ok(Step::Wait);
        }
        let payload = std::mem::take(&mut self.payload);
        let opcode = self.opcode.take().ok_or(Violation::Protocol)?;
        if opcode == Opcode::Text && std::str::from_utf8(&payload).is_err() {
            return Err(Violation::NotUtf8);
        }
        Ok(Step::Send(opcode, payload))
    }
}

/// Checks the payload of a close frame; the answer repeats its code (RFC 6455 §5.5.1).
fn close(mut payload: BytesMut) -> Result<BytesMut, Violation> {
    if payload.is_empty() {
        return Ok(payload);
    }
    let code = payload.clone().try_get_u16().map_err(|_| Violation::Protocol)?;
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(Violation::Protocol);
    }
    let reason = payload.split_off(2);
    if std::str::from_utf8(&reason).is_err() {
        return Err(Violation::NotUtf8);
    }
    Ok(payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(is_final: bool, opcode: Opcode, payload: &[u8]) -> Frame {
        Frame { is_final, opcode, payload: BytesMut::from(payload) }
    }

    #[track_caller]
    fn check(frames: Vec<Frame>, last: Result<Step, Violation>) {
        let mut messages = Messages::default();
        let mut steps = frames.into_iter().map(|frame| messages.take(frame)).collect::<Vec<_>>();
        assert_eq!(steps.pop(), Some(last));
        assert!(steps.iter().all(Result::is_ok), "{steps:?}");
    }

    #[test]
    fn fragments_come_back_as_one_message_with_pings_in_between() {
        check(
            vec![
                frame(false, Opcode::Text, b"He"),
                frame(true, Opcode::Ping, b"?"),
                frame(true, Opcode::Continuation, b"llo"),
            ],
            Ok(Step::Send(Opcode::Text, BytesMut::from("Hello"))),
        );
    }

    #[test]
    fn a_character_may_be_cut_by_a_frame_but_must_be_whole_in_the_message() {
        check(
            vec![frame(false, Opcode::Text, &[0xC3]), frame(true, Opcode::Continuation, &[0xA9])],
            Ok(Step::Send(Opcode::Text, BytesMut::from("é"))),
        );
        check(vec![frame(true, Opcode::Text, &[0xC3])], Err(Violation::NotUtf8));
    }

    #[test]
    fn frames_out_of_order_are_refused() {
        check(vec![frame(true, Opcode::Continuation, b"")], Err(Violation::Protocol));
        check(
            vec![frame(false, Opcode::Text, b"a"), frame(true, Opcode::Binary, b"b")],
            Err(Violation::Protocol),
        );
    }

    #[test]
    fn a_message_is_limited_as_a_whole() {
        check(
            vec![
                frame(false, Opcode::Binary, &vec![0; LARGEST]),
                frame(true, Opcode::Continuation, b"x"),
            ],
            Err(Violation::TooLarge),
        );
    }

    #[test]
    fn close_is_answered_with_its_code() {
        let code = |code: u16| BytesMut::from(&code.to_be_bytes()[..]);
        check(vec![frame(true, Opcode::Close, b"")], Ok(Step::Close(BytesMut::new())));
        check(vec![frame(true, Opcode::Close, b"\x03\xe8bye")], Ok(Step::Close(code(1000))));
        check(vec![frame(true, Opcode::Close, b"\x03")], Err(Violation::Protocol));
        check(vec![frame(true, Opcode::Close, &code(1005))], Err(Violation::Protocol));
        check(vec![frame(true, Opcode::Close, b"\x03\xe8\xff")], Err(Violation::NotUtf8));
    }
}
