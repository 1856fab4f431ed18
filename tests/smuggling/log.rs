//! The access log.

use std::path::Path;

use serde_json::Value;

/// A line of it.
#[derive(Debug)]
pub struct Line {
    pub port: u16,
    pub id: String,
    pub method: String,
    pub host: String,
    pub target: String,
    pub length: u64,
    pub status: u16,
    pub reason: Option<String>,
    /// Whether it was sent to an endpoint, and answered by it.
    pub was_sent: bool,
    pub was_answered: bool,
}

pub fn read(path: &Path) -> Vec<Line> {
    let text = std::fs::read_to_string(path).expect("the access log");
    text.lines().map(|line| Line::of(&serde_json::from_str(line).expect("JSON"))).collect()
}

impl Line {
    fn of(line: &Value) -> Self {
        let word = |name: &str| line[name].as_str().map(str::to_owned);
        let number = |name: &str| line[name].as_u64().unwrap_or_default();
        let client = word("client").unwrap_or_default();
        let reason = word("reason");
        let was_sent = line["endpoint"].is_string();
        Self {
            port: client.rsplit(':').next().and_then(|it| it.parse().ok()).unwrap_or_default(),
            id: word("request_id").unwrap_or_default(),
            method: word("method").unwrap_or_default(),
            host: word("host").unwrap_or_default(),
            target: word("path").unwrap_or_default(),
            length: number("request_bytes"),
            status: u16::try_from(number("status")).unwrap_or_default(),
            was_answered: was_sent && reason.is_none(),
            reason,
            was_sent,
        }
    }
}
