//! `rutter limits`: what `--limit` sets.

use std::fmt::Write;
use std::process::ExitCode;

use super::exit;
use crate::config::LIMITS;
use crate::plane::Limits;

/// Prints every limit with its default.
pub fn run() -> ExitCode {
    let default = Limits::default();
    let mut text = String::new();
    for limit in LIMITS {
        let assigned = format!("{}={}", limit.name, limit.text(&default));
        // a String takes everything
        let _ = writeln!(text, "{assigned:<33} {:<14} {}", limit.values(), limit.help);
    }
    exit::output(text.as_bytes())
}
