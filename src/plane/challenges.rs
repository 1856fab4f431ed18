//! Answers to ACME servers that ask whether a host is ours (RFC 8555 section 8, RFC 8737).
//!
//! Written by whoever orders certificates, read by all workers; empty but for the seconds of an order.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ServerConfig;

/// What is answered just now.
pub struct Challenges {
    /// Asked first: nearly always there is nothing.
    is_empty: AtomicBool,
    answers: Mutex<Answers>,
}

#[derive(Default)]
struct Answers {
    /// Key authorizations by token.
    http: HashMap<String, String>,
    /// By server name, in lower case.
    tls: HashMap<String, Arc<ServerConfig>>,
}

impl Default for Challenges {
    /// Nothing is answered.
    fn default() -> Self {
        Self { is_empty: AtomicBool::new(true), answers: Mutex::default() }
    }
}

impl Challenges {
    /// What is answered at `/.well-known/acme-challenge/` + token (HTTP-01).
    pub fn http(&self, path: &str) -> Option<String> {
        let token = path.strip_prefix(HTTP_PATH)?;
        self.read(|answers| answers.http.get(token).cloned())
    }

    /// Who shakes hands with a client that offers `acme-tls/1` for a host (TLS-ALPN-01).
    pub fn tls(&self, server_name: Option<&str>) -> Option<Arc<ServerConfig>> {
        let name = server_name?.to_ascii_lowercase();
        self.read(|answers| answers.tls.get(&name).cloned())
    }

    /// Answers HTTP-01 for a token.
    pub fn add_http(&self, token: String, key_authorization: String) {
        self.write(|answers| drop(answers.http.insert(token, key_authorization)));
    }

    /// Answers TLS-ALPN-01 for a host, in lower case.
    pub fn add_tls(&self, name: String, config: Arc<ServerConfig>) {
        self.write(|answers| drop(answers.tls.insert(name, config)));
    }

    /// Answers nothing any more.
    pub fn clear(&self) {
        self.write(|answers| *answers = Answers::default());
    }

    fn read<T>(&self, look: impl FnOnce(&Answers) -> Option<T>) -> Option<T> {
        if self.is_empty.load(Ordering::Acquire) {
            return None;
        }
        look(&self.answers.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn write(&self, change: impl FnOnce(&mut Answers)) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut answers);
        let is_empty = answers.http.is_empty() && answers.tls.is_empty();
        self.is_empty.store(is_empty, Ordering::Release);
    }
}

impl fmt::Debug for Challenges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Challenges").field("is_empty", &self.is_empty).finish_non_exhaustive()
    }
}

/// Where HTTP-01 is answered.
const HTTP_PATH: &str = "/.well-known/acme-challenge/";
/// What is agreed by ALPN for TLS-ALPN-01.
pub const TLS_PROTOCOL: &[u8] = b"acme-tls/1";
