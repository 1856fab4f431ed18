//! ClientHellos: read as rustls reads them, however they arrive.

use rustls::server::Acceptor;

use super::hello::{MAX_BYTES, Reading};
use crate::fuzz_tests::{Target, pieces};

const HELLOS: Target<'_> = Target {
    name: "hello",
    words: &[
        "\x16\x03\x01",
        "\x16\x03\x03",
        "\x15\x03\x03\0\x02\x01\0",
        "\x14\x03\x03\0\x01\x01",
        "\x01\0\0",
        "\0\0",
        "\0\x05",
        "a.example.org",
        "A.EXAMPLE.org",
        "10.0.0.1",
        "xn--",
        "\0\x10\0\x0e\0\x0c\x02h2",
        "\x03\x03",
        "\x03\x04",
        "\0\x2b",
        "\0\x33",
        "\0\x29",
        "GET / HTTP/1.1\r\n\r\n",
    ],
    inputs: 20_000,
};

/// The server name, or none; the outer `None` is a hello that is not complete.
type Outcome = Result<Option<Option<String>>, ()>;

/// What is read of bytes in pieces, and how many of them.
fn read(pieces: &[&[u8]]) -> (Outcome, usize) {
    let (mut reading, mut total) = (Reading::default(), 0);
    for piece in pieces {
        let mut rest = *piece;
        while !rest.is_empty() {
            let missing = reading.missing();
            assert!(missing > 0, "a read of nothing looks like the end");
            let (this, next) = rest.split_at(missing.min(rest.len()));
            rest = next;
            total += this.len();
            match reading.take(this) {
                Ok(None) => assert!(reading.bytes.len() <= MAX_BYTES),
                Ok(Some(accepted)) => {
                    let name = accepted.client_hello().server_name().map(str::to_owned);
                    return (Ok(Some(name)), total);
                }
                Err(_) => return (Err(()), total),
            }
        }
    }
    (Ok(None), total)
}

/// What rustls alone makes of these bytes.
fn accept(mut bytes: &[u8]) -> Outcome {
    let mut acceptor = Acceptor::default();
    while !bytes.is_empty() {
        acceptor.read_tls(&mut bytes).map_err(|_| ())?;
        match acceptor.accept() {
            Ok(Some(accepted)) => {
                return Ok(Some(accepted.client_hello().server_name().map(str::to_owned)));
            }
            Ok(None) => {}
            Err(_) => return Err(()),
        }
    }
    Ok(None)
}

/// The same records' content in records of other lengths, if they are records of handshakes.
fn in_records(bytes: &[u8], length: usize) -> Option<Vec<u8>> {
    let (mut content, mut rest) = (Vec::new(), bytes);
    while let [22, 3, _, high, low, after @ ..] = rest {
        let (this, next) = after.split_at_checked(u16::from_be_bytes([*high, *low]).into())?;
        content.extend_from_slice(this);
        rest = next;
    }
    let record = |piece: &[u8]| {
        let [high, low] = u16::try_from(piece.len()).unwrap_or_default().to_be_bytes();
        [&[22, 3, 1, high, low], piece].concat()
    };
    rest.is_empty().then(|| content.chunks(length).map(record).collect::<Vec<_>>().concat())
}

#[test]
fn damaged_hellos_are_read_as_rustls_does() {
    HELLOS.fuzz(|input, rng| {
        let (outcome, used) = read(&[input]);
        // an error may be told earlier or later, and is one all the same
        let (in_pieces, used_in_pieces) = read(&pieces(input, rng));
        assert_eq!(in_pieces, outcome, "in pieces");
        let bytes = input.get(..used).expect("no more than there is");
        assert_eq!(accept(bytes), outcome, "by rustls");
        let Ok(Some(name)) = &outcome else { return (outcome.is_err(), 0, 0) };
        assert_eq!(used_in_pieces, used);
        assert_eq!(read(&[bytes, b"\x17\x03\x03\0\x05early"]), (outcome.clone(), used));
        let others = in_records(bytes, 1 + rng.below(600));
        if let Some(others) = others.filter(|others| others.len() <= MAX_BYTES) {
            assert_eq!(read(&[&others]), (outcome.clone(), others.len()), "in other records");
        }
        (true, name.as_ref().map_or(0, String::len), used / 64)
    });
}
