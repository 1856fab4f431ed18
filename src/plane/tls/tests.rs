use std::sync::Arc;

use proptest::prelude::*;
use rustls::{ClientConfig, ClientConnection};
use rustls_pki_types::ServerName;

use super::hello::{MAX_BYTES, Reading, Unreadable};
use crate::plane::tests::tls::client_config;

/// What a client begins with; `protocols` make it long.
fn client_hello(name: &str, protocols: usize) -> Vec<u8> {
    let mut config = ClientConfig::clone(&client_config(&[], None));
    config.alpn_protocols = (0..protocols).map(|number| format!("{number:0200}").into()).collect();
    let name = ServerName::try_from(name.to_owned()).expect("a name must be given");
    let mut client = ClientConnection::new(Arc::new(config), name).expect("a client must begin");
    let mut bytes = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut bytes).expect("a Vec takes everything");
    }
    bytes
}

/// The same message in records of other lengths.
fn in_records(hello: &[u8], lengths: &[usize]) -> Vec<u8> {
    let (mut message, mut rest) = (Vec::new(), hello);
    while let [_, _, _, high, low, payload @ ..] = rest {
        let (this, next) = payload.split_at(usize::from(u16::from_be_bytes([*high, *low])));
        message.extend_from_slice(this);
        rest = next;
    }
    let (mut records, mut rest) = (Vec::new(), &*message);
    for length in lengths.iter().copied().cycle() {
        if rest.is_empty() {
            return records;
        }
        let (this, next) = rest.split_at(length.min(rest.len()));
        let length = u16::try_from(this.len()).expect("a record must be short");
        records.extend_from_slice(&[22, 3, 1]);
        records.extend_from_slice(&length.to_be_bytes());
        records.extend_from_slice(this);
        rest = next;
    }
    records
}

/// Reads as [`super::Hello::read`] does from a socket that has `pieces` of these lengths.
fn read(bytes: &[u8], pieces: &[usize]) -> Result<Option<(String, usize)>, Unreadable> {
    let (mut reading, mut rest) = (Reading::default(), bytes);
    for length in pieces.iter().copied().cycle() {
        let missing = reading.missing();
        assert!(missing > 0, "a read of nothing looks like the end");
        let (piece, next) = rest.split_at(length.min(missing).min(rest.len()));
        if piece.is_empty() {
            return Ok(None);
        }
        rest = next;
        if let Some(accepted) = reading.take(piece)? {
            let name = accepted.client_hello().server_name().unwrap_or_default().to_owned();
            assert_eq!(reading.bytes, bytes[..reading.bytes.len()]);
            return Ok(Some((name, reading.bytes.len())));
        }
        assert!(reading.bytes.len() <= MAX_BYTES);
    }
    unreachable!("pieces repeat for ever")
}

#[test]
fn nothing_is_read_beyond_the_hello() {
    let hello = client_hello("a.test", 0);
    let expected = ("a.test".to_owned(), hello.len());
    let with_more = [&*hello, b"\x14\x03\x03\x00\x01\x01early"].concat();
    assert_eq!(read(&with_more, &[usize::MAX]), Ok(Some(expected)));
}

#[test]
fn what_is_no_hello_is_answered_by_an_alert() {
    for bytes in [&b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"[..], b"SSH-2.0-OpenSSH_10.0\r\n"] {
        let Unreadable { alert } = read(bytes, &[usize::MAX]).expect_err("it is no TLS");
        assert!(alert.starts_with(&[21, 3]), "{alert:?}");
    }
}

#[test]
fn a_hello_without_end_is_given_up() {
    let endless = in_records(&client_hello("a.test", 300), &[16_000]);
    assert!(endless.len() > MAX_BYTES);
    assert!(read(&endless, &[4000]).is_err());
    // a record that promises more than there may be
    assert!(read(&[&[22, 3, 1, 255, 255][..], &[1; 70_000]].concat(), &[4000]).is_err());
}

proptest! {
    #[test]
    fn a_hello_is_read_however_it_is_cut(
        protocols in 0_usize..120,
        records in prop::collection::vec(1_usize..2000, 1..8),
        pieces in prop::collection::vec(1_usize..5000, 1..8),
    ) {
        let bytes = in_records(&client_hello("a.test", protocols), &records);
        prop_assume!(bytes.len() <= MAX_BYTES);
        let expected = ("a.test".to_owned(), bytes.len());
        prop_assert_eq!(read(&bytes, &pieces), Ok(Some(expected)));
    }

    #[test]
    fn arbitrary_bytes_are_survived(
        bytes in prop::collection::vec(any::<u8>(), 0..600),
        pieces in prop::collection::vec(1_usize..100, 1..8),
    ) {
        let _ = read(&bytes, &pieces);
    }

    #[test]
    fn a_damaged_hello_is_survived(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        end in any::<prop::sample::Index>(),
        pieces in prop::collection::vec(1_usize..100, 1..8),
    ) {
        let mut bytes = client_hello("a.test", 3);
        for (place, byte) in damage {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        bytes.truncate(end.index(bytes.len()) + 1);
        let _ = read(&bytes, &pieces);
    }
}
