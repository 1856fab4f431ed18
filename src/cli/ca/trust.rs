//! How a machine is made to trust an authority.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::authority::{CERTIFICATE, CaError};

/// A kind of system: where authorities are put, and who takes them in then.
struct System {
    anchors: &'static str,
    program: &'static str,
}

/// Debian's kind, and Fedora's.
const SYSTEMS: [System; 2] = [
    System { anchors: "/usr/local/share/ca-certificates", program: "update-ca-certificates" },
    System { anchors: "/etc/pki/ca-trust/source/anchors", program: "update-ca-trust" },
];

/// Installs the authority of `dir`, or tells what would be done.
pub(super) fn run(dir: &Path, install: bool) -> Result<String, CaError> {
    let certificate = dir.join(CERTIFICATE);
    if let Err(source) = fs::metadata(&certificate) {
        let hint = "no authority; make one with `rutter ca init`";
        return Err(CaError::File { path: certificate, hint, source });
    }
    let system = SYSTEMS.iter().find(|it| Path::new(it.anchors).is_dir());
    match (system, install) {
        (Some(system), true) => system.install(&certificate),
        (None, true) => Err(CaError::Install("this kind of system is not known".to_owned())),
        (system, false) => Ok(told(system, &certificate)),
    }
}

impl System {
    fn install(&self, certificate: &Path) -> Result<String, CaError> {
        let to = Path::new(self.anchors).join(NAME);
        fs::copy(certificate, &to).map_err(|source| {
            let hint = "cannot be written; run it as root";
            CaError::File { path: to.clone(), hint, source }
        })?;
        let output = Command::new(self.program).output().map_err(|source| {
            let hint = "cannot be run";
            CaError::File { path: self.program.into(), hint, source }
        })?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(CaError::Install(format!("{}: {}", self.program, said.trim())));
        }
        Ok(format!(
            "installed as {0}\nto take it back: rm {0} && {1}\n",
            to.display(),
            self.program
        ))
    }
}

fn told(system: Option<&System>, certificate: &Path) -> String {
    let path = certificate.display();
    let system = system.map(|it| {
        let (anchors, program) = (it.anchors, it.program);
        format!("the system  cp {path} {anchors}/{NAME} && {program}\n")
    });
    format!(
        "{}curl        curl --cacert {path} https://…\n\
         Chromium    certutil -d sql:$HOME/.pki/nssdb -A -t C,, -n rutter -i {path}\n\
         Firefox     settings: certificates: authorities: import {path}\n\
         Node        NODE_EXTRA_CA_CERTS={path}\n\
         Python      SSL_CERT_FILE={path}\n",
        system.unwrap_or_default()
    )
}

/// As which it is installed: Debian takes names that end so.
const NAME: &str = "rutter-development-ca.crt";
