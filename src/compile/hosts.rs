//! hosts(5) → names and addresses.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use crate::manifest::{Code, Finding, Origin, Span};
use crate::snapshot::Hosts;

/// The hosts files of the options, as they were last read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostsFiles {
    /// Which are read, and read again when they change.
    pub paths: Vec<PathBuf>,
    /// What they say.
    pub hosts: Arc<Hosts>,
    /// What is wrong with them.
    pub findings: Vec<Finding>,
}

/// Adds what a text says, line by line: an address, then its names; `#` begins a comment. A line
/// that is wrong is told and left out, its good names are not. `first_line` is where the text begins
/// in its file, from 1.
pub fn parse_hosts(
    file: &Arc<str>,
    first_line: u32,
    text: &str,
    hosts: &mut Hosts,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, written) in (first_line..).zip(text.lines()) {
        let Line { address, names } = match Line::read(written) {
            Ok(Some(line)) => line,
            Ok(None) => continue,
            Err(mistake) => {
                findings.push(mistake.finding(file, line, written));
                continue;
            }
        };
        let origin = Origin { file: file.clone(), line, ..Origin::default() };
        for name in names {
            match host_name(name) {
                Some(name) => hosts.add(address, &name, &origin),
                None => {
                    let message = format!("{name:?} is not a host name: it has no address");
                    findings.push(Mistake { word: name, message }.finding(file, line, written));
                }
            }
        }
    }
    findings
}

struct Line<'l> {
    address: IpAddr,
    names: Vec<&'l str>,
}

struct Mistake<'l> {
    word: &'l str,
    message: String,
}

impl<'l> Line<'l> {
    /// `None`: nothing but a comment, or an address that names an interface, as macOS writes one
    /// for `fe80::1%lo0`: it means nothing elsewhere.
    fn read(written: &'l str) -> Result<Option<Self>, Mistake<'l>> {
        let text = written.split('#').next().unwrap_or_default();
        let mut words = text.split_whitespace();
        let Some(word) = words.next() else { return Ok(None) };
        let (bare, interface) = match word.split_once('%') {
            Some((bare, interface)) => (bare, Some(interface)),
            None => (word, None),
        };
        let Ok(address) = bare.parse() else {
            let message = format!("{word:?} is not an IP address: the line is left out");
            return Err(Mistake { word, message });
        };
        let names: Vec<_> = words.collect();
        if names.is_empty() {
            let message = format!("the address {word} has no name");
            return Err(Mistake { word, message });
        }
        Ok(interface.is_none().then_some(Self { address, names }))
    }
}

impl Mistake<'_> {
    fn finding(&self, file: &Arc<str>, line: u32, written: &str) -> Finding {
        // the word is a part of the line, and may not be the first of its kind
        let at = self.word.as_ptr().addr().saturating_sub(written.as_ptr().addr());
        let before = written.get(..at).unwrap_or_default();
        let count = |text: &str| u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
        let span = Span { line, column: count(before) + 1, length: count(self.word).max(1) };
        let origin = Origin { file: file.clone(), line, ..Origin::default() };
        Finding::error(Code::BadValue, &origin, &self.message)
            .spanning(span)
            .help("a line is an address and its names, such as 10.0.0.1 printer printer.lan")
    }
}

/// As names are compared; `None` if no query could ask for it (RFC 1035 section 2.3.4), or it has
/// other letters than those of hosts.
fn host_name(written: &str) -> Option<Arc<str>> {
    let name = written.strip_suffix('.').unwrap_or(written);
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let is_label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(is_letter);
    (name.len() <= 253 && name.split('.').all(is_label)).then(|| name.to_ascii_lowercase().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> (Hosts, Vec<String>) {
        let mut hosts = Hosts::default();
        let findings = parse_hosts(&"hosts".into(), 1, text, &mut hosts);
        (hosts, findings.iter().map(ToString::to_string).collect())
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn lines_have_an_address_and_names() {
        let text = "# comment\n\n127.0.0.1\tlocalhost loopback.\n  10.0.0.1 Printer.LAN printer # hp\n\
                    ::1 localhost\nfe80::1%lo0 localhost\n10.0.0.1 printer.lan\r\n10.0.0.2 _srv printer";
        let (hosts, findings) = parse(text);
        assert_eq!(findings, Vec::<String>::new());
        let rows = [
            ("localhost", vec!["127.0.0.1", "::1"], 3),
            ("loopback", vec!["127.0.0.1"], 3),
            ("printer.lan", vec!["10.0.0.1"], 4),
            ("printer", vec!["10.0.0.1", "10.0.0.2"], 4),
            ("_srv", vec!["10.0.0.2"], 8),
        ];
        assert_eq!(hosts.len(), rows.len());
        for (name, addresses, line) in rows {
            let entry = hosts.name(name).expect(name);
            let addresses: Vec<_> = addresses.into_iter().map(ip).collect();
            assert_eq!((&entry.addresses, entry.origin.line), (&addresses, line), "{name}");
        }
        let names = |text| hosts.address(ip(text)).unwrap_or_default().join(" ");
        assert_eq!(names("10.0.0.1"), "printer.lan printer");
        assert_eq!(names("10.0.0.2"), "_srv printer");
        assert_eq!(names("fe80::1"), "");
    }

    #[test]
    fn lines_that_are_wrong_are_told_and_the_others_count() {
        let long = "a".repeat(64);
        let text = format!("10.0.0 a\n10.0.0.1\n10.0.0.1 b  c/d e..f {long}\n localhost 127.0.0.1");
        let (hosts, findings) = parse(&text);
        assert_eq!(hosts.len(), 1);
        assert!(hosts.name("b").is_some());
        let help = "(a line is an address and its names, such as 10.0.0.1 printer printer.lan)";
        let expected = [
            "1:1: RT007 \"10.0.0\" is not an IP address: the line is left out".to_owned(),
            "2:1: RT007 the address 10.0.0.1 has no name".to_owned(),
            "3:13: RT007 \"c/d\" is not a host name: it has no address".to_owned(),
            "3:17: RT007 \"e..f\" is not a host name: it has no address".to_owned(),
            format!("3:22: RT007 {long:?} is not a host name: it has no address"),
            "4:2: RT007 \"localhost\" is not an IP address: the line is left out".to_owned(),
        ];
        assert_eq!(findings, expected.map(|it| format!("hosts:{it} {help}")));
    }

    #[test]
    fn lines_of_a_text_within_another_are_counted_from_where_it_begins() {
        let mut hosts = Hosts::default();
        let findings = parse_hosts(&"Corefile".into(), 7, "10.0.0.1 a\nb\n", &mut hosts);
        assert_eq!(hosts.name("a").map(|entry| entry.origin.line), Some(7));
        assert_eq!(findings[0].span.map(|span| span.line), Some(8));
    }
}
