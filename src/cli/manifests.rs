//! Reads and compiles manifests once, for the commands that serve nothing.

use std::path::PathBuf;
use std::time::SystemTime;

use crate::compile::{Allocations, Compiled, Settings, compile};
use crate::manifest::finding;
use crate::source::directory::{OpenError, Texts, load, locate};
use crate::store::Inbox;

/// Compiles what is in files and directories (`-` is the standard input). The report holds the
/// findings of text and objects, located in the texts.
pub(super) fn compile_paths(
    paths: &[PathBuf],
    settings: &Settings,
) -> Result<(Compiled, Texts), OpenError> {
    let (batch, mut texts) = load(paths)?;
    let mut inbox = Inbox::default();
    inbox.apply(batch);
    let held = Allocations::default();
    let mut compiled = compile(&inbox.objects, settings, &held, SystemTime::now());
    compiled.snapshot.synced = true;
    let findings = &mut compiled.report.findings;
    findings.append(&mut inbox.findings);
    locate(findings, &mut texts);
    finding::sort(findings);
    Ok((compiled, texts))
}
