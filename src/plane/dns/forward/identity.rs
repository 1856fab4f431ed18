//! A name that only this process knows: who is asked for it by an upstream has asked itself.

use std::fmt::Write;
use std::sync::Arc;

use super::query::{Asked, HEADER, draw};
use super::reply::Reply;

/// Drawn once a process and shared by its workers, as a query may come back to any of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Hexadecimal digits, lower-case.
    token: Arc<str>,
}

impl Identity {
    /// Draws one.
    pub fn random() -> Self {
        Self { token: digits::<16>().into() }
    }

    /// What to ask an upstream of a domain: a name below it that nobody has, and each time another,
    /// so that no cache answers.
    pub(super) fn question(&self, domain: &str) -> Asked {
        let nonce = digits::<8>();
        let labels = [nonce.as_str(), &self.token].into_iter().chain(domain.split('.'));
        let mut name = Vec::new();
        for label in labels.filter(|label| !label.is_empty()) {
            name.push(u8::try_from(label.len()).unwrap_or_default());
            name.extend(label.as_bytes());
        }
        name.push(0);
        Asked { name, query_type: TXT, dnssec_ok: false, checking_disabled: false }
    }

    /// Whether a name is such a one; in lower case.
    pub(in crate::plane::dns) fn is_in(&self, name: &str) -> bool {
        name.split('.').nth(1) == Some(&*self.token)
    }

    /// The text that is answered.
    pub(in crate::plane::dns) fn text(&self) -> String {
        format!("loop {}", self.token)
    }

    /// Whether an answer is our own.
    pub(super) fn has_answered(&self, reply: &Reply) -> bool {
        let answers = reply.bytes.get(HEADER + reply.name..).unwrap_or_default();
        memchr::memmem::find(answers, self.text().as_bytes()).is_some()
    }
}

fn digits<const BYTES: usize>() -> String {
    let mut digits = String::with_capacity(2 * BYTES);
    for byte in draw::<BYTES>() {
        let _ = write!(digits, "{byte:02x}");
    }
    digits
}

const TXT: u16 = 16;
