//! How long a body is: S1 to S4.

use crate::row::{Row, SMUGGLED, as_chunk, get, length, post};

pub fn rows() -> Vec<Row> {
    [controls(), both(), transfer_encodings(), old_versions(), lengths(), bodies()].concat()
}

/// What everybody sends.
fn controls() -> Vec<Row> {
    let seen = [("GET", "/a", 0)];
    let two = [get(""), get("X-Second: 1\r\n")].concat();
    vec![
        Row::taken("control", "GET", get(""), &seen),
        Row::taken("control", "pipelined", two, &[seen[0], seen[0]]),
        Row::taken("control", "length", post("Content-Length: 3\r\n", "abc"), &[("POST", "/a", 3)]),
        Row::taken("control", "no body", post("Content-Length: 0\r\n", ""), &[("POST", "/a", 0)]),
        Row::taken(
            "control",
            "chunks",
            post("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"),
            &[("POST", "/a", 5)],
        ),
        Row::taken(
            "control",
            "PUT",
            post("Content-Length: 3\r\n", "abc").replace("POST", "PUT"),
            &[("PUT", "/a", 3)],
        ),
        Row::taken("control", "empty line in front", format!("\r\n{}", get("")), &seen),
        Row::taken(
            "control",
            "empty line behind a body",
            format!("{}\r\n", post("Content-Length: 3\r\n", "abc")),
            &[("POST", "/a", 3)],
        ),
        Row::taken("control", "1.0", "GET /a HTTP/1.0\r\nHost: h.test\r\n\r\n", &seen).last(),
    ]
}

/// S1: both, in either order.
fn both() -> Vec<Row> {
    let end = format!("0\r\n\r\n{SMUGGLED}");
    let all = format!("Content-Length: {}\r\n", end.len());
    let chunked = "Transfer-Encoding: chunked\r\n";
    let rows = [
        ("CL.TE", [&all, chunked].concat(), end.clone()),
        ("TE.CL", [chunked, "Content-Length: 4\r\n"].concat(), as_chunk(SMUGGLED)),
        ("CL 0 and TE", ["Content-Length: 0\r\n", chunked].concat(), end.clone()),
        ("TE and CL 0", [chunked, "Content-Length: 0\r\n"].concat(), end.clone()),
        ("bad CL and TE", ["Content-Length: x\r\n", chunked].concat(), end.clone()),
        ("empty CL and TE", ["Content-Length:\r\n", chunked].concat(), end.clone()),
        ("CL and bad TE", [&all, "Transfer-Encoding: xchunked\r\n"].concat(), end.clone()),
        ("CL and TE identity", [&all, "Transfer-Encoding: identity\r\n"].concat(), end.clone()),
        ("CL far from TE", [&all, "X-Between: 1\r\n", chunked].concat(), end.clone()),
        (
            "CL nominated, and TE",
            [&all, chunked, "Connection: content-length\r\n"].concat(),
            end.clone(),
        ),
        (
            "TE nominated, and CL",
            [&all, chunked, "Connection: transfer-encoding\r\n"].concat(),
            end,
        ),
    ];
    rows.iter().map(|(name, fields, body)| Row::refused("S1", name, post(fields, body))).collect()
}

/// S2: anything but exactly `chunked`.
fn transfer_encodings() -> Vec<Row> {
    let mut rows = Vec::new();
    for value in TRANSFER_ENCODINGS {
        let request = post(&format!("Transfer-Encoding{value}\r\n"), &as_chunk(SMUGGLED));
        rows.push(Row::refused("S2", &format!("{value:?}"), request));
    }
    for value in
        [&b"\xa0chunked"[..], b"chunked\xa0", b"\xc2\xa0chunked", b"\x85chunked", b"\xffchunked"]
    {
        let (head, body) =
            ("POST /a HTTP/1.1\r\nHost: h.test\r\nTransfer-Encoding: ", as_chunk(SMUGGLED));
        let request = [head.as_bytes(), value, b"\r\n\r\n", body.as_bytes()].concat();
        rows.push(Row::refused("S2", &format!("{}", value.escape_ascii()), request));
    }
    for line in [
        " Transfer-Encoding: chunked",
        "\tTransfer-Encoding: chunked",
        "X-Other: 1\rTransfer-Encoding: chunked",
        "X-Other: 1\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r",
        "Transfer\0-Encoding: chunked",
        "Transfer Encoding: chunked",
        "Transfer-Encoding\x0b: chunked",
        "Transfer-Encoding",
    ] {
        let request = post(&format!("{line}\r\n"), &as_chunk(SMUGGLED));
        rows.push(Row::refused("S2", &format!("{line:?}"), request));
    }
    // fields that only look like it: there is no body, and what stands there is no request
    for line in [
        "Transfer_Encoding: chunked",
        "TransferEncoding: chunked",
        "TE: chunked",
        "X-Transfer-Encoding: chunked",
    ] {
        let request = post(&format!("{line}\r\n"), &as_chunk(SMUGGLED));
        let row = Row::refused("S2", line, request);
        rows.push(row.behind(&[("POST", "/a", 0)]));
    }
    for line in [
        "transfer-encoding: CHUNKED",
        "TRANSFER-ENCODING:chunked",
        "Transfer-Encoding: \t chunked \t",
    ] {
        let request = post(&format!("{line}\r\n"), &as_chunk(SMUGGLED));
        rows.push(Row::taken("S2", line, request, &[("POST", "/a", length(SMUGGLED))]));
    }
    rows
}

/// S3: HTTP/1.0 has no chunks.
fn old_versions() -> Vec<Row> {
    let chunked = "Transfer-Encoding: chunked\r\n";
    ["", "Connection: keep-alive\r\n", "Content-Length: 5\r\n"]
        .iter()
        .map(|fields| {
            let request = post(&[chunked, fields].concat(), &as_chunk(SMUGGLED));
            Row::refused("S3", &format!("1.0 {fields:?}"), request.replacen("1.1", "1.0", 1))
        })
        .collect()
}

/// S4: anything but one decimal number.
fn lengths() -> Vec<Row> {
    let mut rows = Vec::new();
    for value in LENGTHS {
        let request = post(&format!("Content-Length: {value}\r\n"), "abc");
        rows.push(Row::refused("S4", &format!("{value:?}"), request));
    }
    for lines in [
        "Content-Length: 3\r\nContent-Length: 3",
        "Content-Length: 3\r\nContent-Length: 0",
        "Content-Length: 0\r\nContent-Length: 3",
        "Content-Length: 3\r\ncontent-length: 4",
        "Content-Length: 3\r\nContent-Length:",
        "Content-Length:\r\nContent-Length: 3",
        "Content-Length : 3",
        "Content-Length\t: 3",
        " Content-Length: 3",
        "Content-Length\0: 3",
        "X-Other: 1\rContent-Length: 3",
        "X-Other: 1\nContent-Length: 3",
        "Content-Length: 3\r",
        "Content-Length 3",
        "Content Length: 3",
    ] {
        rows.push(Row::refused("S4", &format!("{lines:?}"), post(&format!("{lines}\r\n"), "abc")));
    }
    for value in [&b"\xa03"[..], b"3\xa0", b"\xd9\xa3", b"\xef\xbc\x93"] {
        let head = b"POST /a HTTP/1.1\r\nHost: h.test\r\nContent-Length: ";
        let request = [&head[..], value, b"\r\n\r\nabc"].concat();
        rows.push(Row::refused("S4", &format!("{}", value.escape_ascii()), request));
    }
    for line in ["Content_Length: 3", "ContentLength: 3", "X-Content-Length: 3"] {
        let request = post(&format!("{line}\r\n"), "abc\r\n\r\n");
        rows.push(Row::refused("S4", line, request).behind(&[("POST", "/a", 0)]));
    }
    for line in ["CONTENT-LENGTH:3", "content-length: \t3 \t"] {
        rows.push(Row::taken(
            "S4",
            line,
            post(&format!("{line}\r\n"), "abc"),
            &[("POST", "/a", 3)],
        ));
    }
    rows
}

/// Requests within bodies, of methods that have none usually too.
fn bodies() -> Vec<Row> {
    let mut rows = Vec::new();
    let all = length(SMUGGLED);
    for method in ["GET", "DELETE", "OPTIONS", "POST", "PATCH"] {
        let with_length = post(&format!("Content-Length: {all}\r\n"), SMUGGLED);
        let in_chunks = post("Transfer-Encoding: chunked\r\n", &as_chunk(SMUGGLED));
        for (kind, request) in [("CL.0", with_length), ("TE.0", in_chunks)] {
            let request = request.replacen("POST", method, 1);
            rows.push(Row::taken(
                "S4",
                &format!("{kind} {method}"),
                request,
                &[(method, "/a", all)],
            ));
        }
    }
    rows
}

/// What may stand behind `Transfer-Encoding` and may not be taken for `chunked`.
const TRANSFER_ENCODINGS: [&str; 31] = [
    ": ,chunked",
    ": chunked,",
    ": x, chunked",
    ": gzip, chunked",
    ": chunked, gzip",
    ": chunked, identity",
    ": chunked, chunked",
    ": chunked;q=1",
    ": chunked ;",
    ": identity",
    ": gzip",
    ":",
    ": chunke",
    ": xchunked",
    ": chunkedx",
    ": \"chunked\"",
    ": 'chunked'",
    ": chun ked",
    ": chunked\r\nTransfer-Encoding: chunked",
    ": chunked\r\nTransfer-Encoding: x",
    ": x\r\nTransfer-Encoding: chunked",
    ": x\r\nTransfer-encoding: chunked",
    ":\r\n chunked",
    ":\r\n\tchunked",
    ": chunked\r\n x",
    ": \x0bchunked",
    ": \x0cchunked",
    ": chunked\x0b",
    ": chunked\0",
    " : chunked",
    "\t: chunked",
];

/// What is no length.
const LENGTHS: [&str; 34] = [
    "+3",
    "-3",
    "-0",
    "3_0",
    "1_0",
    "0x3",
    "0X3",
    "03",
    "010",
    "00",
    "",
    " ",
    "3,3",
    "3, 3",
    "3 3",
    "3;",
    "3.0",
    "3e0",
    "three",
    "\"3\"",
    "3\0",
    "3\x0b",
    "\x0b3",
    "3\r\n 3",
    "\r\n 3",
    "\r\n\t3",
    "9223372036854775808",
    "18446744073709551616",
    "18446744073709551619",
    "99999999999999999999999999",
    "0, 3",
    "3, 0",
    "3,",
    ",3",
];
