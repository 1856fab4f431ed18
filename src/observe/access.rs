//! The access log: one line a request, through a buffer of each worker.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::record::RequestRecord;
use super::text::{json_string, number, plain};
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

fn json_line(out: &mut String, clock: &mut Clock, record: &RequestRecord, time: Duration) {
    out.push_str("{\"time\":\"");
    clock.write(out);
    out.push_str("\",\"client\":\"");
    address(out, record.client);
    out.push('"');
    text_field(out, "method", &record.method);
    text_field(out, "host", &record.host);
    text_field(out, "path", &record.target);
    plain_field(out, "protocol", record.protocol);
    number_field(out, "status", u64::from(record.status));
    number_field(out, "request_bytes", record.request_bytes);
    number_field(out, "response_bytes", record.response_bytes);
    number_field(out, "duration_us", micros(time));
    if let Some(rule) = &record.rule {
        plain_field(out, "route", &rule.label);
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
        number_field(out, "retries", u64::from(record.retries));
    }
    if let Some(reason) = record.reason {
        plain_field(out, "reason", reason.as_str());
    }
    plain_field(out, "request_id", &record.request_id);
    out.push_str("}\n");
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

fn text_field(out: &mut String, name: &str, value: &str) {
    out.push_str(",\"");
    out.push_str(name);
    out.push_str("\":");
    json_string(out, value);
}

/// Of text that cannot have anything to escape: names of objects, words of ours, ids that were
/// checked.
fn plain_field(out: &mut String, name: &str, value: &str) {
    for part in [",\"", name, "\":\"", value, "\""] {
        out.push_str(part);
    }
}

fn number_field(out: &mut String, name: &str, value: u64) {
    out.push_str(",\"");
    out.push_str(name);
    out.push_str("\":");
    number(out, value);
}

/// IPv4 by hand: it is in every line, and the formatter costs more than the rest of it.
fn address(out: &mut String, addr: std::net::SocketAddr) {
    match addr {
        std::net::SocketAddr::V4(addr) => {
            for (place, octet) in addr.ip().octets().into_iter().enumerate() {
                if place > 0 {
                    out.push('.');
                }
                number(out, u64::from(octet));
            }
            out.push(':');
            number(out, u64::from(addr.port()));
        }
        std::net::SocketAddr::V6(addr) => out.push_str(&addr.to_string()),
    }
}
