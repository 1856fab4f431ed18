//! For whom a request is and what it asks for: S7 and S12.

use crate::row::{Row, SMUGGLED};

pub fn rows() -> Vec<Row> {
    [hosts(), absolute_forms(), paths()].concat()
}

/// S7.
fn hosts() -> Vec<Row> {
    let request = |lines: &str| format!("GET /a HTTP/1.1\r\n{lines}\r\n{SMUGGLED}");
    let mut rows = Vec::new();
    for lines in [
        "",
        "Host:\r\n",
        "Host: \t\r\n",
        "Host: h.test\r\nHost: h.test\r\n",
        "Host: h.test\r\nhost: evil.test\r\n",
        "Host: h.test\r\nHost:\r\n",
        "Host: h.test, evil.test\r\n",
        "Host: h.test evil.test\r\n",
        "Host: h.test\tevil.test\r\n",
        "Host: user@h.test\r\n",
        "Host: user:secret@h.test\r\n",
        "Host: h.test/a\r\n",
        "Host: h.test?a\r\n",
        "Host: h.test#a\r\n",
        "Host: http://h.test\r\n",
        "Host: h.test\\evil.test\r\n",
        "Host: h.test:80:80\r\n",
        "Host: h.test:port\r\n",
        "Host: h.test:-1\r\n",
        "Host: h.test:99999\r\n",
        "Host: h.test:80@evil.test\r\n",
        "Host: [::1\r\n",
        "Host: [evil.test]\r\n",
        "Host: [::1]evil.test\r\n",
        "Host: h%2etest\r\n",
        "Host: .h.test\r\n",
        "Host: h..test\r\n",
        "Host: \"h.test\"\r\n",
        "Host: <h.test>\r\n",
        "Host: h.test;evil.test\r\n",
        "Host: h.test\0\r\n",
        "Host: h.test\x0b\r\n",
        "Host : h.test\r\n",
        " Host: h.test\r\n",
        "Host: h.test\r\n evil.test\r\n",
        "Host:\r\n h.test\r\n",
        "Ho\0st: h.test\r\n",
        "H\u{f6}st: h.test\r\n",
        "Host: h.t\u{eb}st\r\n",
    ] {
        rows.push(Row::refused("S7", &format!("{lines:?}"), request(lines)));
    }
    let seen = [("GET", "/a", 0), ("GET", "/smuggled", 0)];
    for line in [
        "Host: H.Test:8080\r\n",
        "host:h.test\r\n",
        "Host: h.test.\r\n",
        "Host: 127.0.0.1\r\n",
        "Host: h.test\r\nX-Forwarded-Host: evil.test\r\nX-Host: evil.test\r\nForwarded: host=evil.test\r\n",
    ] {
        rows.push(Row::taken("S7", &format!("{line:?}"), request(line), &seen));
    }
    rows
}

/// S7: the target's host, if there is one, is the host.
fn absolute_forms() -> Vec<Row> {
    let request =
        |target: &str, host: &str| format!("GET {target} HTTP/1.1\r\n{host}\r\n{SMUGGLED}");
    let host = "Host: other.test\r\n";
    let mut rows = Vec::new();
    for (target, seen) in [
        ("http://h.test/a", "/a"),
        ("HTTP://h.test/a?b=http://evil.test/", "/a?b=http://evil.test/"),
        ("https://h.test:443/a", "/a"),
        ("http://h.test?b", "/?b"),
        ("http://h.test/a/../b", "/b"),
    ] {
        let seen = [("GET", seen, 0), ("GET", "/smuggled", 0)];
        rows.push(Row::taken("S7", target, request(target, host), &seen));
    }
    for target in [
        "http://user@h.test/a",
        "http:///a",
        "http:/a",
        "http:a",
        "http://h.test:x/a",
        "http://h.test,evil.test/a",
        "http://h.test\\evil.test/a",
        "http://h.test#@evil.test/a",
        "http://[::1/a",
        "ftp://h.test/a",
        "file:///a",
        "://h.test/a",
        "h.test/a",
        "h.test:80",
        "*",
        "?a",
        "a",
    ] {
        rows.push(Row::refused("S7", target, request(target, host)));
    }
    rows.push(Row::refused("S7", "no Host", request("http://h.test/a", "")));
    rows.push(Row::refused("S7", "bad Host", request("http://h.test/a", "Host: a b\r\n")));
    rows.push(Row::refused("S7", "two Hosts", request("http://h.test/a", &host.repeat(2))));
    let star = format!("OPTIONS * HTTP/1.1\r\nHost: h.test\r\n\r\n{SMUGGLED}");
    let seen = [("OPTIONS", "*", 0), ("GET", "/smuggled", 0)];
    rows.push(Row::taken("S7", "OPTIONS *", star, &seen).optional());
    rows
}

/// S12: origins see paths that can be read in one way only.
fn paths() -> Vec<Row> {
    let request = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: h.test\r\n\r\n{SMUGGLED}");
    let mut rows = Vec::new();
    for (path, seen) in [
        ("/a/../b", "/b"),
        ("/a/./b", "/a/b"),
        ("/../../b", "/b"),
        ("//a//b", "/a/b"),
        ("///evil.test/a", "/evil.test/a"),
        ("//evil.test/a", "/evil.test/a"),
        ("/%61%2Db", "/a-b"),
        ("/a/%2e%2e/b", "/b"),
        ("/a/%2E%2e/b", "/b"),
        ("/a/.%2e/b", "/b"),
        ("/a%20b", "/a%20b"),
        ("/a%c3%a9", "/a%C3%A9"),
        ("/a;b=c/d", "/a;b=c/d"),
        ("/a%3f", "/a%3F"),
        ("/a%23", "/a%23"),
        ("/a%0d%0aX:%20y", "/a%0D%0AX:%20y"),
        ("/a%25%32%66", "/a%252f"),
        ("/a%252fb", "/a%252fb"),
        ("/a?b=/../c", "/a?b=/../c"),
        ("/a?b=%2f%00", "/a?b=%2f%00"),
        ("/a?", "/a?"),
        ("/a?b=http://evil.test", "/a?b=http://evil.test"),
    ] {
        let seen = [("GET", seen, 0), ("GET", "/smuggled", 0)];
        rows.push(Row::taken("S12", path, request(path), &seen));
    }
    for path in [
        "/a%2fb",
        "/a%2Fb",
        "/a%5cb",
        "/a\\b",
        "/a/..%2fb",
        "/a/..%5cb",
        "/a/..\\b",
        "/a/..;/b",
        "/a/..;x=y/b",
        "/a/.;/b",
        "/a/%2e%2e;/b",
        "/a%00",
        "/a%",
        "/a%2",
        "/a%zz",
        "/a%u002f",
        "/a#b",
        "/a?b#c",
        "/a\"",
        "/a<b>",
        "/a\u{e9}",
        "/a?\u{e9}",
        "/\x01",
    ] {
        rows.push(Row::refused("S12", path, request(path)));
    }
    rows
}
