//! What is sent, and what must come of it.

/// Bytes of one connection.
#[derive(Clone, Debug)]
pub struct Row {
    /// Of `limits-and-threats`.
    pub class: &'static str,
    pub name: String,
    pub bytes: Vec<u8>,
    /// What the origin is to see, in this order: method, target, length of the body.
    pub seen: Vec<(&'static str, String, u64)>,
    /// How the connection's last request is refused, if one is.
    pub refused: Option<(u16, &'static str)>,
    /// Whether an origin may refuse it by itself, or be left with half of it.
    pub is_optional: bool,
    pub protocol: Protocol,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Http1,
    Http2,
}

/// The request behind every other: of another client, as it were.
pub const VICTIM: &str = "GET /victim HTTP/1.1\r\nHost: victim.test\r\nConnection: close\r\n\r\n";
/// What an attacker would like to have seen.
pub const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: h.test\r\n\r\n";

impl Row {
    /// Requests that go on, and the victim's behind them.
    pub fn taken(
        class: &'static str,
        name: &str,
        bytes: impl AsRef<[u8]>,
        seen: &[(&'static str, &str, u64)],
    ) -> Self {
        let mut row = Self::refused(class, name, bytes).behind(seen);
        row.refused = None;
        row.seen.push(("GET", "/victim".to_owned(), 0));
        row
    }

    /// A request that is 400 and takes its connection along, so that the victim's is not heard.
    pub fn refused(class: &'static str, name: &str, bytes: impl AsRef<[u8]>) -> Self {
        Self {
            class,
            name: name.to_owned(),
            bytes: [bytes.as_ref(), VICTIM.as_bytes()].concat(),
            seen: Vec::new(),
            refused: Some((400, "bad_request")),
            is_optional: false,
            protocol: Protocol::Http1,
        }
    }

    /// Refused with another status.
    pub fn with(mut self, status: u16, reason: &'static str) -> Self {
        self.refused = Some((status, reason));
        self
    }

    /// What is refused comes behind requests that go on.
    pub fn behind(mut self, seen: &[(&'static str, &str, u64)]) -> Self {
        let seen = seen.iter().map(|(method, target, length)| (*method, (*target).into(), *length));
        self.seen = seen.collect();
        self
    }

    /// The connection ends before the victim's request.
    pub fn last(mut self) -> Self {
        self.seen.pop();
        self
    }

    /// Not every origin takes it.
    pub fn optional(mut self) -> Self {
        self.is_optional = true;
        self
    }
}

/// `POST /a` with these field lines and this body.
pub fn post(fields: &str, body: &str) -> String {
    format!("POST /a HTTP/1.1\r\nHost: h.test\r\n{fields}\r\n{body}")
}

/// `POST /a` with a body in chunks.
pub fn chunked(body: &str) -> String {
    post("Transfer-Encoding: chunked\r\n", body)
}

/// `GET /a` with these field lines.
pub fn get(fields: &str) -> String {
    format!("GET /a HTTP/1.1\r\nHost: h.test\r\n{fields}\r\n")
}

/// The whole of what an attacker would like to have seen as one chunk.
pub fn as_chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n0\r\n\r\n", text.len())
}

/// Its length.
pub fn length(text: &str) -> u64 {
    text.len() as u64
}
