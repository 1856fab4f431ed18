use proptest::prelude::*;

use super::*;
use crate::plane::Limits;

/// Feeds a head in pieces; where it ends.
fn find_in_pieces(bytes: &[u8], cuts: &[usize]) -> Result<Option<usize>, ProtocolError> {
    let mut end = HeadEnd::default();
    for cut in cuts {
        if let Some(found) = end.find(bytes.get(..*cut).unwrap_or(bytes))? {
            return Ok(Some(found));
        }
    }
    end.find(bytes)
}

/// Feeds a chunked body in pieces; its data, its trailer section, and how much was used.
fn decode_in_pieces(
    bytes: &[u8],
    size: usize,
) -> Result<(Vec<u8>, Vec<u8>, usize, bool), ProtocolError> {
    let mut decoder = Decoder::new(BodyLength::Chunked, 16 * 1024);
    let (mut data, mut total) = (Vec::new(), 0);
    for piece in bytes.chunks(size.max(1)) {
        let mut used = 0;
        while used < piece.len() && !decoder.is_done() {
            let rest = &piece[used..];
            let (length, range) = decoder.decode(rest)?;
            assert!(length > 0, "the decoder must go on");
            data.extend_from_slice(&rest[range]);
            used += length;
        }
        total += used;
    }
    Ok((data, decoder.trailer().to_vec(), total, decoder.is_done()))
}

/// Sorted places to cut `bytes` at.
fn cuts() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(0..200_usize, 0..8).prop_map(|mut cuts| {
        cuts.sort_unstable();
        cuts
    })
}

/// Bytes that come near to being a head.
fn head_like() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        Just("GET / HTTP/1.1\r\n"),
        Just("Host: h\r\n"),
        Just("Content-Length: 3\r\n"),
        Just("\r\n"),
        Just("\n"),
        Just("\r"),
        Just("\0"),
        Just(" "),
        Just(":"),
        Just("A: b"),
    ];
    prop::collection::vec(part, 0..12).prop_map(|parts| parts.concat().into_bytes())
}

/// Bytes that come near to being a chunked body.
fn chunks_like() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        Just("3\r\nabc\r\n"),
        Just("0\r\n"),
        Just("A: b\r\n"),
        Just("1;x=\"y;\\\"\"\r\nz\r\n"),
        Just("\r\n"),
        Just("\n"),
        Just("f"),
        Just(";"),
        Just("\""),
    ];
    prop::collection::vec(part, 0..12).prop_map(|parts| parts.concat().into_bytes())
}

fn field_name() -> impl Strategy<Value = String> {
    "[A-Za-z!#$%&'*+.^`|~-][A-Za-z0-9-]{0,12}"
}

fn field_value() -> impl Strategy<Value = String> {
    "([!-~]([ -~\t]{0,20}[!-~])?)?"
}

/// Fields that say, or seem to say, how long a body is.
fn length_fields() -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
    let names = prop_oneof![
        Just("Content-Length"),
        Just("content-length"),
        Just("Transfer-Encoding"),
        Just("TRANSFER-ENCODING"),
        Just("Content_Length"),
        Just("Transfer-Encodin"),
    ];
    let values = prop_oneof![
        Just("0"),
        Just("3"),
        Just("03"),
        Just("+3"),
        Just("3, 3"),
        Just("0x3"),
        Just(""),
        Just("9223372036854775808"),
        Just("chunked"),
        Just("Chunked"),
        Just("gzip, chunked"),
        Just("chunked;q=1"),
        Just("identity"),
    ];
    prop::collection::vec((names, values), 0..4)
}

/// What RFC 9112 section 6 leaves of those fields once every repair is forbidden.
fn only_length(fields: &[(&str, &str)], minor: u8) -> Option<BodyLength> {
    let values = |wanted: &str| {
        let same = fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
        same.map(|(_, value)| *value).collect::<Vec<_>>()
    };
    match (values("content-length").as_slice(), values("transfer-encoding").as_slice()) {
        ([], []) => Some(BodyLength::Exact(0)),
        (["0"], []) => Some(BodyLength::Exact(0)),
        (["3"], []) => Some(BodyLength::Exact(3)),
        ([], ["chunked" | "Chunked"]) if minor == 1 => Some(BodyLength::Chunked),
        _ => None,
    }
}

proptest! {
    #[test]
    fn a_body_has_the_one_length_that_its_head_says_or_is_refused(
        fields in length_fields(),
        minor in 0..2_u8,
    ) {
        let lines: String =
            fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let request = format!("POST / HTTP/1.{minor}\r\n{lines}\r\n");
        let head = RequestHead::parse(request.as_bytes(), &Limits::default()).expect("it must be well-formed");
        let expected = only_length(&fields, minor);
        prop_assert_eq!(request_length(&head, request.as_bytes()).ok(), expected);
        let response = format!("HTTP/1.{minor} 200 OK\r\n{lines}\r\n");
        let head = ResponseHead::parse(response.as_bytes(), 100).expect("it must be well-formed");
        let length = response_length(&head, response.as_bytes(), Verb::Idempotent).ok();
        let says_nothing = !fields.iter().any(|(name, _)| name.to_lowercase().contains("-length")
            || name.eq_ignore_ascii_case("transfer-encoding"));
        let until_close = says_nothing.then_some(BodyLength::UntilClose);
        prop_assert_eq!(length, until_close.or(expected));
    }

    #[test]
    fn a_head_ends_at_the_same_place_however_it_arrives(bytes in head_like(), cuts in cuts()) {
        prop_assert_eq!(find_in_pieces(&bytes, &cuts), find_in_pieces(&bytes, &[]));
    }

    #[test]
    fn any_bytes_are_a_head_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = find_in_pieces(&bytes, &[]);
        let _ = RequestHead::parse(&bytes, &Limits::default());
        let _ = ResponseHead::parse(&bytes, 100);
    }

    #[test]
    fn a_head_that_is_taken_has_strict_line_ends(bytes in head_like()) {
        if let Ok(Some(end)) = find_in_pieces(&bytes, &[]) {
            let head = &bytes[..end];
            if RequestHead::parse(head, &Limits::default()).is_ok() {
                let without = String::from_utf8_lossy(head).replace("\r\n", "");
                prop_assert!(!without.contains(['\r', '\n', '\0']));
            }
        }
    }

    #[test]
    fn a_head_that_is_written_anew_reads_the_same(
        fields in prop::collection::vec((field_name(), field_value()), 0..20),
    ) {
        let mut text = String::from("GET /x HTTP/1.1\r\n");
        for (name, value) in &fields {
            text += &format!("{name}:  {value} \r\n");
        }
        text += "\r\n";
        let head = RequestHead::parse(text.as_bytes(), &Limits::default()).expect("it must be well-formed");
        let mut out = Outgoing::new(b"GET /x HTTP/1.1\r\n".to_vec());
        for field in &head.fields {
            out.field(field.name(text.as_bytes()), field.value(text.as_bytes()));
        }
        out.bytes.extend_from_slice(b"\r\n");
        let again = RequestHead::parse(&out.bytes, &Limits::default()).expect("it must be well-formed");
        let read: Vec<_> = again
            .fields
            .iter()
            .map(|field| (field.name(&out.bytes).to_vec(), field.value(&out.bytes).to_vec()))
            .collect();
        let sent: Vec<_> = fields
            .into_iter()
            .map(|(name, value)| (name.into_bytes(), value.into_bytes()))
            .collect();
        prop_assert_eq!(read, sent);
    }

    #[test]
    fn chunks_are_the_same_however_they_arrive(
        bytes in prop_oneof![chunks_like(), prop::collection::vec(any::<u8>(), 0..100)],
        size in 1..20_usize,
    ) {
        let whole = decode_in_pieces(&bytes, usize::MAX);
        prop_assert_eq!(decode_in_pieces(&bytes, size), whole);
    }

    #[test]
    fn chunks_that_are_written_read_the_same(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..70), 0..10),
        size in 1..50_usize,
    ) {
        let mut out = Outgoing::new(Vec::new());
        out.encoder = Encoder::Chunked;
        for piece in &pieces {
            out.data(piece);
        }
        out.end(b"X-Sum: 1\r\nHost: evil\r\n\r\n").expect("the trailer must be well-formed");
        let length = out.bytes.len();
        out.bytes.extend_from_slice(b"GET / HTTP/1.1\r\n");
        let (data, trailer, used, done) =
            decode_in_pieces(&out.bytes, size).expect("it must be well-formed");
        prop_assert_eq!(data, pieces.concat());
        prop_assert_eq!(trailer, b"X-Sum: 1\r\n\r\n");
        prop_assert_eq!(used, length);
        prop_assert!(done);
    }
}

#[test]
fn chunk_extensions_and_trailers_have_limits() {
    let extension = [b"1;".to_vec(), vec![b'a'; 20_000], b"\r\n".to_vec()].concat();
    assert_eq!(decode_in_pieces(&extension, 7), Err(ProtocolError::Chunk));
    let many = b"1;aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\nx\r\n".repeat(1000);
    assert_eq!(decode_in_pieces(&many, 7), Err(ProtocolError::Chunk));
    assert!(decode_in_pieces(b"0000000000000001\r\nx\r\n", 7).is_ok());
    assert_eq!(decode_in_pieces(b"00000000000000001\r\n", 7), Err(ProtocolError::Chunk));
    let trailer = [b"0\r\n".to_vec(), b"A: bcdefgh\r\n".repeat(2000)].concat();
    assert_eq!(decode_in_pieces(&trailer, 1000), Err(ProtocolError::HeadTooLarge));
}

#[test]
fn the_largest_length_is_that_of_a_signed_number() {
    let length = |value: &str| {
        let text = format!("POST / HTTP/1.1\r\nContent-Length: {value}\r\n\r\n");
        let head = RequestHead::parse(text.as_bytes(), &Limits::default())
            .expect("it must be well-formed");
        request_length(&head, text.as_bytes())
    };
    assert_eq!(length("9223372036854775807"), Ok(BodyLength::Exact(i64::MAX as u64)));
    assert_eq!(length("9223372036854775808"), Err(ProtocolError::Framing));
    assert_eq!(length("0"), Ok(BodyLength::Exact(0)));
    assert_eq!(length("00"), Err(ProtocolError::Framing));
    let chunk = |size: &str| decode_in_pieces(format!("{size}\r\n").as_bytes(), 1).is_ok();
    assert!(chunk("7fffffffffffffff") && !chunk("8000000000000000"));
}
