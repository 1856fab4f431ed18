//! Names that are written in files: `--dns-hosts`.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use super::layers::Layers;
use crate::compile::{Hosts, HostsFiles, parse_hosts};

/// Reads the files of the option. One that cannot be read is a problem; a line that is wrong is a
/// finding, as in a manifest.
pub(super) fn hosts(layers: &mut Layers) -> HostsFiles {
    let texts = layers.many("dns-hosts", Vec::new(), |path| {
        let text = fs::read_to_string(path);
        let text = text.map_err(|error| format!("cannot read {path}: {error}"))?;
        Ok((Arc::<str>::from(path), text))
    });
    let (mut hosts, mut findings) = (Hosts::default(), Vec::new());
    for (file, text) in &texts {
        findings.extend(parse_hosts(file, 1, text, &mut hosts));
    }
    let paths = texts.iter().map(|(file, _)| PathBuf::from(&**file)).collect();
    HostsFiles { paths, hosts: hosts.into(), findings }
}

#[cfg(test)]
mod tests {
    use super::super::{Args, Config};

    #[test]
    fn hosts_files_are_read_together_and_one_that_is_missing_is_a_problem() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = |name: &str| dir.path().join(name).display().to_string();
        std::fs::write(path("a"), "10.0.0.1 a\n").expect("a file");
        std::fs::write(path("b"), "10.0.0.2 a b\n10.0.0.3\n").expect("a file");
        let args = |names: &[&str]| Args {
            dns_hosts: names.iter().map(|name| path(name)).collect(),
            ..Args::default()
        };
        let config = Config::new(&args(&["a", "b"])).expect("the files must be good");
        let read = &config.settings.dns_hosts;
        let addresses = |name: &str| read.hosts.name(name).map(|entry| entry.addresses.len());
        assert_eq!((addresses("a"), addresses("b")), (Some(2), Some(1)));
        let findings: Vec<_> = read.findings.iter().map(ToString::to_string).collect();
        assert_eq!(findings.len(), 1);
        assert!(findings[0].starts_with(&format!("{}:2:1: RT007 ", path("b"))), "{findings:?}");
        let told = Config::new(&args(&["none"])).expect_err("it must be refused").problems;
        assert!(told[0].starts_with(&format!("--dns-hosts: cannot read {}: ", path("none"))));
    }
}
