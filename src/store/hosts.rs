//! Hosts files while they change.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use crate::compile::{Hosts, HostsFiles, parse_hosts};
use crate::life::Drain;
use crate::manifest::{Code, Finding, Origin};
use crate::source::text_file::{SETTLE, TextFile};

/// Looks at the files for ever, and says when they mean something else. What a file said stays
/// while it cannot be read.
pub(super) async fn follow(hosts: watch::Sender<HostsFiles>, drain: Drain) {
    let mut files: Vec<_> = hosts.borrow().paths.iter().map(|it| TextFile::new(it)).collect();
    loop {
        // a file system that is slow must not hold this thread
        let look = move || {
            let unsettled = files.iter_mut().filter_map(|file| (!file.look()).then_some(()));
            let is_settled = unsettled.count() == 0;
            (files, is_settled)
        };
        let Ok((looked, is_settled)) = tokio::task::spawn_blocking(look).await else {
            return tracing::error!("hosts files are no longer looked at");
        };
        files = looked;
        if is_settled {
            update(&hosts, &files);
        }
        tokio::select! {
            biased;
            () = drain.started() => return,
            () = sleep(if is_settled { POLL } else { SETTLE }) => {}
        }
    }
}

fn update(hosts: &watch::Sender<HostsFiles>, files: &[TextFile]) {
    let (mut read, mut findings) = (Hosts::default(), Vec::new());
    for file in files {
        let name: Arc<str> = file.path().to_string_lossy().into();
        let (text, problem) = file.text();
        findings.extend(parse_hosts(&name, 1, text, &mut read));
        let origin = Origin { file: name, ..Origin::default() };
        findings.extend(problem.map(|problem| {
            Finding::error(Code::Unreadable, &origin, problem)
                .help("what it said serves on until it can be read again")
        }));
    }
    hosts.send_if_modified(|before| {
        let now = HostsFiles { paths: before.paths.clone(), hosts: read.into(), findings };
        let is_changed = *before != now;
        *before = now;
        is_changed
    });
}

/// Between looks; CoreDNS takes 5 s.
const POLL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;
    use crate::life::{drain, spawn_local};

    /// The addresses of `a`, and the findings.
    fn told(files: &HostsFiles) -> (String, Vec<String>) {
        let entry = files.hosts.name("a");
        let addresses = entry.map(|entry| entry.addresses.iter().map(ToString::to_string));
        let addresses: Vec<String> = addresses.into_iter().flatten().collect();
        (addresses.join(" "), files.findings.iter().map(ToString::to_string).collect())
    }

    #[tokio::test]
    async fn what_a_file_says_follows_the_file_and_stays_while_it_is_gone() {
        let dir = tempfile::tempdir().expect("a directory");
        let path: PathBuf = dir.path().join("hosts");
        fs::write(&path, "10.0.0.1 a\n").expect("a file");
        let paths = vec![path.clone()];
        let (sender, mut read) = watch::channel(HostsFiles { paths, ..HostsFiles::default() });
        let (_signal, drain) = drain();
        let steps = async {
            spawn_local("hosts", follow(sender, drain));
            let mut until = async |expected: &str, findings: usize| {
                let is_told = |files: &HostsFiles| {
                    let (addresses, problems) = told(files);
                    (addresses.as_str(), problems.len()) == (expected, findings)
                };
                let waiting = read.wait_for(is_told);
                let files = tokio::time::timeout(Duration::from_secs(10), waiting).await;
                told(&files.expect("in time").expect("running")).1
            };
            until("10.0.0.1", 0).await;
            fs::write(&path, "10.0.0.1 a\n10.0.0.2 a\nx a\n").expect("a file");
            let findings = until("10.0.0.1 10.0.0.2", 1).await;
            assert!(findings[0].contains("hosts:3:1: RT007 "), "{findings:?}");
            fs::remove_file(&path).expect("the file");
            let findings = until("10.0.0.1 10.0.0.2", 2).await;
            assert!(findings[1].contains("RT001 the file cannot be read"), "{findings:?}");
            let draft = dir.path().join("draft");
            fs::write(&draft, "10.0.0.3 a\n").expect("a file");
            fs::rename(&draft, &path).expect("a file in place");
            until("10.0.0.3", 0).await;
        };
        tokio::task::LocalSet::new().run_until(steps).await;
    }
}
