//! An endpoint that does what the built-in one does not: parts, hints, and a page for browsers.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};

/// Answers in HTTP/1.1, one thread a connection, as long as the test lives.
pub struct Origin {
    /// What was sent to `/result`.
    pub results: Receiver<String>,
}

impl Origin {
    pub fn start(addr: SocketAddr) -> Self {
        let listener = TcpListener::bind(addr).expect("the address must be free");
        let (sender, results) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let sender = sender.clone();
                std::thread::spawn(move || serve(&stream, &sender));
            }
        });
        Self { results }
    }
}

/// A page that scripts fill; the browser is told where to begin.
pub const PAGE: &str = include_str!("../clients/page.html");

/// Text of 64 KiB and more, in which every line is another one.
pub fn text() -> String {
    (0..2_000).map(|number| format!("line {number} of a text that can be compressed\n")).collect()
}

fn serve(stream: &TcpStream, results: &Sender<String>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            reader.read_until(b'\n', &mut head).ok().filter(|length| *length > 0)?;
        }
        let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
        let field = |name: &str| {
            let mut lines = head.lines().filter_map(|line| line.split_once(": "));
            lines.find(|(known, _)| *known == name).map(|(_, value)| value)
        };
        if field("expect") == Some("100-continue") {
            (&*stream).write_all(b"HTTP/1.1 100 Continue\r\n\r\n").ok()?;
        }
        let body = read_body(&mut reader, field("content-length"))?;
        let path = head.split(' ').nth(1)?;
        let answer = answer(path, field("range"), body, results);
        let is_head = head.starts_with("head ");
        let sent = if is_head { answer.split_inclusive("\r\n\r\n").next()? } else { &answer };
        (&*stream).write_all(sent.as_bytes()).ok()?;
    }
}

/// By its length, or in chunks.
fn read_body(reader: &mut impl BufRead, length: Option<&str>) -> Option<Vec<u8>> {
    let mut body = vec![0; length.unwrap_or("0").parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    Some(body)
}

fn answer(path: &str, range: Option<&str>, body: Vec<u8>, results: &Sender<String>) -> String {
    match path {
        "/page" => response("200 OK", "Content-Type: text/html\r\n", PAGE),
        "/text" if range == Some("bytes=5-9") => {
            let (all, text) = (text().len(), text());
            let fields = format!("Content-Type: text/plain\r\nContent-Range: bytes 5-9/{all}\r\n");
            response("206 Partial Content", &fields, &text[5..10])
        }
        "/text" => {
            let fields = "Content-Type: text/plain\r\nETag: \"t\"\r\nAccept-Ranges: bytes\r\n";
            response("200 OK", fields, &text())
        }
        "/hints" => {
            let hints = "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n";
            hints.to_owned() + &response("200 OK", "", "after the hints")
        }
        "/length" => response("200 OK", "", &body.len().to_string()),
        "/nothing" => response("200 OK", "", ""),
        "/none" => "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
        "/result" => {
            // the test may have what it wants already
            let _ = results.send(String::from_utf8_lossy(&body).into_owned());
            response("200 OK", "", "")
        }
        _ => response("404 Not Found", "", ""),
    }
}

fn response(status: &str, fields: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len())
}
