//! Chunks and what stands behind them: S5 and S13.

use crate::row::{Row, SMUGGLED, as_chunk, chunked, length, post};

pub fn rows() -> Vec<Row> {
    [sizes(), extensions(), line_ends(), trailers()].concat()
}

/// What is refused whatever stands behind it.
fn refused(class: &'static str, body: &str) -> Row {
    Row::refused(class, &format!("{body:?}"), chunked(body))
}

fn sizes() -> Vec<Row> {
    let mut rows = Vec::new();
    for size in [
        "0x3",
        "0X3",
        "+3",
        "-3",
        "0_3",
        "3_0",
        "0_2e",
        "3 ",
        " 3",
        "\t3",
        "3\t",
        "",
        "g",
        "3g",
        "3.0",
        "3,",
        "\"3\"",
        "3h",
        "\x0b3",
        "3\0",
        "8000000000000003",
        "10000000000000003",
        "fffffffffffffffff",
        "ffffffffffffffff",
    ] {
        rows.push(refused("S5", &format!("{size}\r\nabc\r\n0\r\n\r\n{SMUGGLED}")));
    }
    for last in ["-0", "0x0", "+0", " 0", "0 ", "", "00x"] {
        rows.push(refused("S5", &format!("3\r\nabc\r\n{last}\r\n\r\n{SMUGGLED}")));
    }
    for (size, last) in [("3", "00"), ("0003", "0"), ("3", "0000000000000000")] {
        let body = format!("{size}\r\nabc\r\n{last}\r\n\r\n");
        rows.push(Row::taken("S5", &format!("{body:?}"), chunked(&body), &[("POST", "/a", 3)]));
    }
    let capital = format!("{:X}\r\n{SMUGGLED}\r\n0\r\n\r\n", SMUGGLED.len());
    rows.push(Row::taken("S5", "capital", chunked(&capital), &[("POST", "/a", length(SMUGGLED))]));
    rows
}

fn extensions() -> Vec<Row> {
    let mut rows = Vec::new();
    for extension in ["a", "a=b", "a=\"b\"", "a=\"b;c\"", "a=\"\\\"\"", "a;b=c;d=\"e\"", "a=\"0\""]
    {
        let body = format!("3;{extension}\r\nabc\r\n0;{extension}\r\n\r\n");
        rows.push(Row::taken("S5", &format!("{body:?}"), chunked(&body), &[("POST", "/a", 3)]));
    }
    for extension in [
        "",
        " ",
        "=b",
        "a=",
        "a b",
        "a= b",
        "a =b",
        "a=\"b",
        "a=\"b\"c",
        "a=\"\r\n\"",
        "a\nb",
        "a\rb",
        "a\r\r",
        "a=\"\n\"",
        "a=\"\0\"",
        "a\0",
        ";",
        "a;;b",
        "\r\n",
        "\n",
        "a=b\n",
    ] {
        rows.push(refused("S5", &format!("3;{extension}\r\nabc\r\n0\r\n\r\n{SMUGGLED}")));
    }
    // TERM.EXT, EXT.TERM, and sizes that are read differently when a line end is not one
    for body in [
        "2;\nxx\r\n4c\r\n0\r\n\r\n",
        "2;\rxx\r\n4c\r\n0\r\n\r\n",
        "3;a\n\nabc\r\n0\r\n\r\n",
        "3 ;a\r\nabc\r\n0\r\n\r\n",
        "3\t;a\r\nabc\r\n0\r\n\r\n",
        "3; a\r\nabc\r\n0\r\n\r\n",
        "3 a\r\nabc\r\n0\r\n\r\n",
    ] {
        rows.push(refused("S5", &[body, SMUGGLED].concat()));
    }
    let long = format!("3;{}\r\nabc\r\n0\r\n\r\n", "a".repeat(17_000));
    rows.push(Row::refused("S5", "long extension", chunked(&long)));
    rows
}

fn line_ends() -> Vec<Row> {
    let mut rows = Vec::new();
    for body in [
        "3\nabc\r\n0\r\n\r\n",
        "3\rabc\r\n0\r\n\r\n",
        "3\n\r\nabc\r\n0\r\n\r\n",
        "3\r\n\r\nabc\r\n0\r\n\r\n",
        "3\r\nabc\n0\r\n\r\n",
        "3\r\nabc\r0\r\n\r\n",
        "3\r\nabc0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "3\r\nabcXX0\r\n\r\n",
        "3\r\nab\r\n0\r\n\r\n",
        "3\r\nabc\r\n\r\n0\r\n\r\n",
        "3\r\nabc\r\n0\n\n",
        "3\r\nabc\r\n0\r\n\n",
        "3\r\nabc\r\n0\n\r\n",
        "3\r\nabc\r\n0\r\r\n",
        "3\r\nabc\r\n0\r\rX",
        "3\r\nabc\r\n0\r\nX",
        "3\r\nabc\r\n0\r\n\rX",
        "3\r\r\nabc\r\n0\r\n\r\n",
    ] {
        rows.push(refused("S5", &[body, SMUGGLED].concat()));
    }
    rows
}

/// S13: a trailer section never counts as part of the head.
fn trailers() -> Vec<Row> {
    let mut rows = Vec::new();
    for trailer in [
        "Content-Length: 100",
        "Transfer-Encoding: chunked",
        "Transfer-Encoding: x",
        "Host: evil.test",
        "Authorization: Basic eDp5",
        "X-Forwarded-For: 9.9.9.9",
        "X-Request-Id: evil",
        "Connection: close",
        "Upgrade: x",
        "Expect: 100-continue",
        "Cookie: evil=1",
        "X-Free: 1",
        "X-Seen: evil",
    ] {
        for te in ["", "TE: trailers\r\nTrailer: X-Free\r\n"] {
            let body = format!("3\r\nabc\r\n0\r\n{trailer}\r\n\r\n");
            let request = post(&format!("{te}Transfer-Encoding: chunked\r\n"), &body);
            let name = format!("{te:?} {trailer}");
            rows.push(Row::taken("S13", &name, request, &[("POST", "/a", 3)]));
        }
    }
    for trailer in [
        "X-Free: 1\n",
        "X-Free: 1\r",
        "X-Free: \x001\r\n",
        " folded: 1\r\n",
        "X-Free : 1\r\n",
        "no colon\r\n",
        "X-Free: 1\r\n folded\r\n",
    ] {
        let body = format!("3\r\nabc\r\n0\r\n{trailer}\r\n{SMUGGLED}");
        for te in ["", "TE: trailers\r\n"] {
            let request = post(&format!("{te}Transfer-Encoding: chunked\r\n"), &body);
            rows.push(Row::refused("S13", &format!("{te:?} {trailer:?}"), request));
        }
    }
    let long = format!("3\r\nabc\r\n0\r\nX-Long: {}\r\n\r\n", "a".repeat(17_000));
    rows.push(Row::refused("S13", "long", chunked(&long)).with(431, "headers_too_large"));
    let within = [as_chunk("abc"), SMUGGLED.to_owned()].concat();
    let seen = [("POST", "/a", 3), ("GET", "/smuggled", 0)];
    // that is pipelining, and in the log
    rows.push(Row::taken("S13", "a request behind the body", chunked(&within), &seen));
    rows
}
