//! A bare `GET /`, answered as cheaply as can be: rendered bytes, pipelined answers in one write,
//! no allocation, no clock (hence no `Date`).

use std::io;
use std::mem::MaybeUninit;
use std::pin::pin;

use httparse::{Header, Request, Status};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Pod;
use crate::life::Drain;

/// The rendered answer, several times in a row.
#[derive(Debug)]
pub(super) struct Plain {
    answers: Vec<u8>,
    length: usize,
}

/// Pipelined answers in one write; more are more writes.
const BATCH: usize = 64;

/// A head that does not fit is hyper's to refuse.
const BUFFER: usize = 8 * 1024;

/// Head lines that the plain path looks at; a request with more is not plain.
const HEADERS: usize = 32;

impl Plain {
    /// Renders the answer: the name of the pod as one line.
    pub(super) fn new(pod: &str) -> Self {
        let answer = format!(
            "HTTP/1.1 200 OK\r\nServer: {}\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Content-Length: {}\r\n\r\n{pod}\n",
            super::answer::SERVER_NAME,
            pod.len().saturating_add(1),
        );
        Self { answers: answer.repeat(BATCH).into_bytes(), length: answer.len() }
    }

    async fn write(&self, stream: &mut TcpStream, mut answers: usize) -> io::Result<()> {
        while answers > 0 {
            let now = answers.min(BATCH);
            let (bytes, _) = self.answers.split_at(now.saturating_mul(self.length));
            stream.write_all(bytes).await?;
            answers = answers.saturating_sub(now);
        }
        Ok(())
    }
}

/// Answers plain requests. Gives back what was read of the first that is not; `None` at the end
/// of the connection or the start of the drain.
pub(super) async fn serve(
    stream: &mut TcpStream,
    pod: &Pod,
    drain: &Drain,
) -> io::Result<Option<Vec<u8>>> {
    let mut draining = pin!(drain.started());
    let mut read = Vec::with_capacity(BUFFER);
    loop {
        let received = tokio::select! {
            biased;
            received = stream.read_buf(&mut read) => received?,
            () = &mut draining => return Ok(None),
        };
        if received == 0 {
            return Ok(None);
        }
        let scan = Scan::of(&read, pod.json);
        pod.plain.write(stream, scan.answers).await?;
        read.drain(..scan.length);
        if scan.then == Then::Other || read.len() >= BUFFER {
            return Ok(Some(read));
        }
    }
}

/// The plain requests at the start of the bytes at hand.
#[derive(Debug, PartialEq, Eq)]
struct Scan {
    answers: usize,
    length: usize,
    then: Then,
}

/// What follows them.
#[derive(Debug, PartialEq, Eq)]
enum Then {
    /// Nothing, or the beginning of a request.
    More,
    /// A request that is not plain, or no HTTP/1.1 at all.
    Other,
}

impl Scan {
    fn of(bytes: &[u8], json: bool) -> Self {
        let mut scan = Self { answers: 0, length: 0, then: Then::More };
        while let Some(rest) = bytes.get(scan.length..).filter(|rest| !rest.is_empty()) {
            let mut headers = [const { MaybeUninit::uninit() }; HEADERS];
            let mut request = Request::new(&mut []);
            match request.parse_with_uninit_headers(rest, &mut headers) {
                Ok(Status::Complete(length)) if !json && is_plain(&request) => {
                    scan.answers = scan.answers.saturating_add(1);
                    scan.length = scan.length.saturating_add(length);
                }
                Ok(Status::Partial) => return scan,
                Ok(Status::Complete(_)) | Err(_) => {
                    scan.then = Then::Other;
                    return scan;
                }
            }
        }
        scan
    }
}

fn is_plain(request: &Request<'_, '_>) -> bool {
    request.method == Some("GET")
        && request.path == Some("/")
        && request.version == Some(1)
        && request.headers.iter().all(is_harmless)
}

/// Whether the header leaves the plain answer right: no body, no close, no upgrade, no wish for
/// another type.
fn is_harmless(header: &Header<'_>) -> bool {
    let named = |name: &str| header.name.eq_ignore_ascii_case(name);
    if named("connection") {
        return header.value.eq_ignore_ascii_case(b"keep-alive");
    }
    if named("accept") {
        return !wants_json(header.value);
    }
    !(named("content-length") || named("transfer-encoding") || named("expect") || named("upgrade"))
}

/// Whether an `Accept` value asks for JSON.
pub(super) fn wants_json(accept: &[u8]) -> bool {
    const JSON: &[u8] = b"application/json";
    accept.windows(JSON.len()).any(|window| window.eq_ignore_ascii_case(JSON))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &str, answers: usize, rest: &str, then: Then) {
        let scan = Scan::of(bytes.as_bytes(), false);
        assert_eq!(scan, Scan { answers, length: bytes.len() - rest.len(), then }, "{bytes:?}");
    }

    #[test]
    fn plain_requests_are_counted_and_the_rest_is_left() {
        const PLAIN: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Keep-Alive\r\n\r\n";
        check("", 0, "", Then::More);
        check(PLAIN, 1, "", Then::More);
        check(&PLAIN.repeat(3), 3, "", Then::More);
        check(&format!("{PLAIN}GET / HT"), 1, "GET / HT", Then::More);
        check(&format!("{PLAIN}PUT / HTTP/1.1\r\n\r\n"), 1, "PUT / HTTP/1.1\r\n\r\n", Then::Other);
    }

    #[test]
    fn whatever_could_change_the_answer_is_not_plain() {
        for head in [
            "GET /a HTTP/1.1\r\n\r\n",
            "GET /?size=1 HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.0\r\n\r\n",
            "HEAD / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
            "GET / HTTP/1.1\r\nContent-Length: 1\r\n\r\n",
            "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "GET / HTTP/1.1\r\nExpect: 100-continue\r\n\r\n",
            "GET / HTTP/1.1\r\nAccept: text/html, application/json\r\n\r\n",
            "GET / HTTP/1.1\r\nUpgrade: h2c\r\n\r\n",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "\u{16}\u{3}\u{1}",
        ] {
            check(head, 0, head, Then::Other);
        }
    }
}
