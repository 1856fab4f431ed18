//! The access log: one line a request, through a buffer of each worker.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::record::RequestRecord;
use super::text::{number, plain};
use super::time::Clock;
use crate::config::AccessLog;

/// The access log of the process; a [`AccessWriter`] of each worker writes to it.
#[derive(Clone, Debug)]
pub(super) struct AccessTarget {
    form: Form,
    output: Arc<Output>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Text,
    Json,
}

#[derive(Debug)]
enum Output {
    Stdout,
    File(File),
}

impl AccessTarget {
    /// Opens it; `None` where there is none to be.
    pub(super) fn open(log: &AccessLog) -> io::Result<Option<Self>> {
        Ok(match log {
            AccessLog::Off => None,
            AccessLog::Text => Some(Self { form: Form::Text, output: Output::Stdout.into() }),
            AccessLog::Json => Some(Self { form: Form::Json, output: Output::Stdout.into() }),
            AccessLog::File(path) => {
                Some(Self { form: Form::Json, output: Output::File(open(path)?).into() })
            }
        })
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// Formats lines and writes them in blocks.
#[derive(Debug, Default)]
pub(super) struct AccessWriter {
    target: Option<AccessTarget>,
    buffer: String,
    lines: u64,
    clock: Clock,
}

impl AccessWriter {
    pub(super) fn new(target: Option<AccessTarget>) -> Self {
        Self { target, ..Self::default() }
    }

    /// Adds a line. Gives the number of lines that were lost because the output failed.
    pub(super) fn request(&mut self, record: &RequestRecord, time: Duration) -> u64 {
        let Some(target) = &self.target else { return 0 };
        match target.form {
            Form::Json => json_line(&mut self.buffer, &mut self.clock, record, time),
            Form::Text => text_line(&mut self.buffer, &mut self.clock, record, time),
        }
        self.lines += 1;
        if self.buffer.len() < BLOCK { 0 } else { self.flush() }
    }

    /// Writes the buffer out. Gives the number of lines that were lost.
    pub(super) fn flush(&mut self) -> u64 {
        if self.buffer.is_empty() {
            return 0;
        }
        let written = match self.target.as_ref().map(|target| &*target.output) {
            Some(Output::Stdout) => io::stdout().lock().write_all(self.buffer.as_bytes()),
            Some(Output::File(file)) => (&mut &*file).write_all(self.buffer.as_bytes()),
            None => Ok(()),
        };
        self.buffer.clear();
        let lines = std::mem::take(&mut self.lines);
        if written.is_ok() { 0 } else { lines }
    }
}

/// A full block is written at once.
const BLOCK: usize = 32 * 1024;

/// What stands before a value is one piece of text: there are a dozen of them in every line.
fn json_line(out: &mut String, clock: &mut Clock, record: &RequestRecord, time: Duration) {
    out.push_str("{\"time\":\"");
    clock.write(out);
    out.push_str("\",\"client\":\"");
    address(out, record.client);
    out.push_str("\",\"method\":\"");
    plain(out, &record.method);
    out.push_str("\",\"host\":\"");
    plain(out, &record.host);
    out.push_str("\",\"path\":\"");
    plain(out, &record.target);
    out.push_str("\",\"protocol\":\"");
    out.push_str(record.protocol);
    out.push_str("\",\"status\":");
    number(out, u64::from(record.status));
    out.push_str(",\"request_bytes\":");
    number(out, record.request_bytes);
    out.push_str(",\"response_bytes\":");
    number(out, record.response_bytes);
    out.push_str(",\"duration_us\":");
    number(out, micros(time));
    whom(out, record);
    out.push_str(",\"request_id\":\"");
    out.push_str(&record.request_id);
    out.push_str("\"}\n");
}

/// Which rule and endpoint it came to, and what went wrong, where there is anything to say. Names of
/// objects have nothing to escape, nor have words of ours and ids that were checked.
fn whom(out: &mut String, record: &RequestRecord) {
    if let Some(rule) = &record.rule {
        out.push_str(",\"route\":\"");
        out.push_str(&rule.label);
        out.push('"');
    }
    if let Some(backend) = &record.backend {
        out.push_str(",\"service\":\"");
        out.push_str(&backend.id.service.namespace);
        out.push('/');
        out.push_str(&backend.id.service.name);
        out.push('"');
    }
    if let Some(endpoint) = record.endpoint {
        out.push_str(",\"endpoint\":\"");
        address(out, endpoint.addr());
        out.push('"');
    }
    if record.retries > 0 {
        out.push_str(",\"retries\":");
        number(out, u64::from(record.retries));
    }
    if let Some(reason) = record.reason {
        out.push_str(",\"reason\":\"");
        out.push_str(reason.as_str());
        out.push('"');
    }
}

fn text_line(out: &mut String, clock: &mut Clock, record: &RequestRecord, time: Duration) {
    clock.write(out);
    out.push(' ');
    address(out, record.client);
    out.push_str(" \"");
    plain(out, &record.method);
    out.push(' ');
    plain(out, &record.host);
    plain(out, &record.target);
    out.push(' ');
    out.push_str(record.protocol);
    out.push_str("\" ");
    number(out, u64::from(record.status));
    out.push(' ');
    number(out, record.response_bytes);
    out.push_str("B ");
    number(out, micros(time));
    out.push_str("us ");
    out.push_str(record.rule.as_ref().map_or("-", |rule| &rule.label));
    out.push(' ');
    match record.endpoint {
        Some(endpoint) => address(out, endpoint.addr()),
        None => out.push('-'),
    }
    if let Some(reason) = record.reason {
        out.push(' ');
        out.push_str(reason.as_str());
    }
    out.push('\n');
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// IPv4 by hand: it is in every line, and the formatter costs more than the rest of it.
fn address(out: &mut String, addr: SocketAddr) {
    let SocketAddr::V4(addr) = addr else {
        return out.push_str(&addr.to_string());
    };
    let mut text = Quad::default();
    for octet in addr.ip().octets() {
        text.push(octet);
    }
    out.push_str(text.without_last_dot());
    out.push(':');
    number(out, addr.port().into());
}

/// An address of IPv4 that is put together before it is appended.
#[derive(Default)]
struct Quad {
    /// `255.255.255.255.` and no more.
    bytes: [u8; 16],
    len: usize,
}

impl Quad {
    /// An octet and a dot: four bytes at once, of which the next overwrites those that are too many.
    fn push(&mut self, octet: u8) {
        let (text, len) = OCTETS[usize::from(octet)];
        if let Some(room) = self.bytes.get_mut(self.len..self.len + text.len()) {
            room.copy_from_slice(&text);
            self.len += len;
        }
    }

    fn without_last_dot(&self) -> &str {
        let text = self.bytes.get(..self.len.saturating_sub(1)).unwrap_or_default();
        std::str::from_utf8(text).unwrap_or_default()
    }
}

/// Every octet with a dot, and how long that is.
const OCTETS: [([u8; 4], usize); 256] = {
    let mut all = [([b'.'; 4], 0); 256];
    let mut octet = 0;
    while octet < all.len() {
        let digits = [octet / 100, octet / 10 % 10, octet % 10];
        let mut place = if octet >= 100 {
            0
        } else if octet >= 10 {
            1
        } else {
            2
        };
        while place < digits.len() {
            let (text, len) = &mut all[octet];
            text[*len] = b'0' + digits[place] as u8;
            *len += 1;
            place += 1;
        }
        all[octet].1 += 1;
        octet += 1;
    }
    all
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_the_formatter_writes_them() {
        for text in [
            "0.0.0.0:0",
            "1.20.100.255:65535",
            "199.99.9.10:80",
            "255.255.255.255:443",
            "[2001:db8::1]:443",
        ] {
            let mut out = String::new();
            address(&mut out, text.parse().expect("an address"));
            assert_eq!(out, text);
        }
    }
}
