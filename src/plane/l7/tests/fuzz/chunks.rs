//! Chunked bodies.

use regex::bytes::Regex;

use crate::fuzz_tests::{Target, pieces};
use crate::plane::l7::h1::{BodyLength, Decoder, Encoder, Outgoing, ProtocolError, trailer_fields};

const CHUNKS: Target<'_> = Target {
    name: "chunks",
    words: &[
        "\r\n",
        "\n",
        "\r",
        "0\r\n\r\n",
        "3\r\nabc\r\n",
        "0\r\n",
        ";",
        "=",
        "\"",
        "\\",
        ";a=\"b\"",
        "0",
        "00000000",
        "f",
        "7fffffffffffffff",
        "10000000000000000",
        "0x",
        "-",
        "+",
        " ",
        "\t",
        "_",
        "X-Sum: 1\r\n",
        "Host: h\r\n",
        ": ",
        "\0",
        "\x7f",
        "é",
    ],
    inputs: 40_000,
};

/// A body that is complete: its data, its trailer section, and how many bytes it has.
type Body = (Vec<u8>, Vec<u8>, usize);

/// The grammar of RFC 9112 section 7.1, applied to bytes that are all there.
struct Grammar {
    size: Regex,
    trailer: Regex,
}

impl Grammar {
    fn new() -> Self {
        let token = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
        let quoted = r#""(?:[\t\x20\x21\x23-\x5b\x5d-\x7e]|\\[\t\x20-\x7e])*""#;
        let extension = format!("(?:;{token}(?:=(?:{token}|{quoted}))?)*");
        let regex = |text: &str| Regex::new(&format!("(?-u)\\A{text}")).expect("a pattern");
        Self {
            size: regex(&format!(r"([0-9A-Fa-f]{{1,16}})({extension})\r\n")),
            trailer: regex(&format!(r"(?:{token}:[\t\x20-\x7e\x80-\xff]*\r\n){{0,512}}\r\n")),
        }
    }

    fn body(&self, bytes: &[u8]) -> Option<Body> {
        let (mut data, mut used, mut extensions) = (Vec::new(), 0, 0);
        loop {
            let rest = bytes.get(used..)?;
            let line = self.size.captures(rest)?;
            let digits = String::from_utf8_lossy(line.get(1)?.as_bytes()).into_owned();
            let size =
                usize::from_str_radix(&digits, 16).ok().filter(|it| *it <= i64::MAX as usize)?;
            extensions += line.get(2)?.len();
            if extensions > 16 * 1024 {
                return None;
            }
            used += line.get(0)?.len();
            if size == 0 {
                break;
            }
            let end = used.checked_add(size)?;
            data.extend_from_slice(bytes.get(used..end)?);
            used = end + 2;
            if bytes.get(end..used)? != b"\r\n" {
                return None;
            }
        }
        let trailer = self.trailer.find(bytes.get(used..)?)?.as_bytes();
        (trailer.len() <= 16 * 1024).then(|| (data, trailer.to_vec(), used + trailer.len()))
    }
}

/// What the decoder makes of bytes in pieces: the body, once it is complete.
fn decode(pieces: &[&[u8]]) -> Result<(Body, bool), ProtocolError> {
    let mut decoder = Decoder::new(BodyLength::Chunked, 16 * 1024);
    let (mut data, mut total) = (Vec::new(), 0);
    for piece in pieces {
        let mut rest = *piece;
        while !rest.is_empty() && !decoder.is_done() {
            let (used, range) = decoder.decode(rest)?;
            assert!(used > 0, "the decoder must go on");
            data.extend_from_slice(rest.get(range).expect("data within the input"));
            rest = rest.get(used..).expect("no more used than there is");
            total += used;
        }
    }
    Ok(((data, decoder.trailer().to_vec(), total), decoder.is_done()))
}

/// Framed anew, it is the same body; the trailer goes on as far as it may.
fn check_again((data, trailer, _): &Body) -> bool {
    let mut out = Outgoing::new(Vec::new());
    out.encoder = Encoder::Chunked;
    data.chunks(7).for_each(|piece| out.data(piece));
    let Ok(()) = out.end(trailer) else { return false };
    let ((again, section, used), is_done) = decode(&[&out.bytes]).expect("what is written is read");
    assert!(is_done && used == out.bytes.len());
    assert_eq!(again, *data);
    let mut fields = Vec::new();
    let mut collect = |name: &str, value: &[u8]| fields.push((name.to_owned(), value.to_vec()));
    trailer_fields(&section, &mut collect).expect("a section that is written is read");
    let mut wanted = Vec::new();
    let mut collect = |name: &str, value: &[u8]| wanted.push((name.to_owned(), value.to_vec()));
    trailer_fields(trailer, &mut collect).expect("it went on");
    assert_eq!(fields, wanted);
    true
}

#[test]
fn damaged_chunks_are_the_body_that_the_grammar_says_or_none() {
    let grammar = Grammar::new();
    CHUNKS.fuzz(|input, rng| {
        let whole = decode(&[input]);
        assert_eq!(decode(&pieces(input, rng)), whole, "in pieces");
        let body = whole.as_ref().ok().filter(|(_, is_done)| *is_done).map(|(body, _)| body);
        assert_eq!(body, grammar.body(input).as_ref());
        let goes_on = body.map(check_again);
        let sizes = body.map(|(data, trailer, _)| (data.len().min(40), trailer.len().min(40)));
        (whole.as_ref().err().map(ToString::to_string), sizes, goes_on)
    });
}
