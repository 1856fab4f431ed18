//! The manifests of the demo, as files that the user may edit.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::certificate;

/// Path below the directory, and text.
pub(super) const MANIFESTS: [(&str, &str); 12] = [
    ("shop/namespace.yaml", include_str!("manifests/shop/namespace.yaml")),
    ("shop/web.yaml", include_str!("manifests/shop/web.yaml")),
    ("shop/web-3.yaml", include_str!("manifests/shop/web-3.yaml")),
    ("shop/api.yaml", include_str!("manifests/shop/api.yaml")),
    ("shop/cache.yaml", include_str!("manifests/shop/cache.yaml")),
    ("shop/db.yaml", include_str!("manifests/shop/db.yaml")),
    ("shop/payments.yaml", include_str!("manifests/shop/payments.yaml")),
    ("shop/ingress.yaml", include_str!("manifests/shop/ingress.yaml")),
    ("shop/gateway.yaml", include_str!("manifests/shop/gateway.yaml")),
    ("media/media.yaml", include_str!("manifests/media/media.yaml")),
    ("media/stats.yaml", include_str!("manifests/media/stats.yaml")),
    ("media/ingress.yaml", include_str!("manifests/media/ingress.yaml")),
];

const TLS: &str = "shop/tls.yaml";
const CA: &str = "ca.crt";

/// A new directory below the temporary one, for this user only. It is kept.
pub(super) fn fresh_dir() -> io::Result<PathBuf> {
    let base = std::env::temp_dir();
    let process = std::process::id();
    for number in 0..100 {
        let dir = base.join(format!("rutter-demo-{process}-{number}"));
        match DirBuilder::new().mode(0o700).create(&dir) {
            Ok(()) => return Ok(dir),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Writes what is missing. A file that exists is never touched.
pub(super) fn write(dir: &Path) -> anyhow::Result<()> {
    for (path, text) in MANIFESTS {
        write_new(&dir.join(path), text, 0o644)?;
    }
    // the two belong together: a new CA beside an old certificate would trust nothing
    if dir.join(TLS).exists() || dir.join(CA).exists() {
        return Ok(());
    }
    let made = certificate::make()?;
    write_new(&dir.join(TLS), &made.secret, 0o600)?;
    write_new(&dir.join(CA), &made.ca, 0o644)?;
    Ok(())
}

fn write_new(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    match file {
        Ok(mut file) => file.write_all(text.as_bytes()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}
