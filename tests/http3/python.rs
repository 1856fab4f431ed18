//! aioquic: QUIC, TLS, QPACK and HTTP/3 by other hands.

use std::process::Command;

use crate::front::Front;

#[test]
fn aioquic_gets_answers_over_http3() {
    let front = Front::start();
    let root = env!("CARGO_MANIFEST_DIR");
    let packages = format!("{root}/target/tools/python");
    let ca = front.site.dir.path().with_extension("pem");
    std::fs::write(&ca, front.authority.pem()).expect("a file");
    let output = Command::new("/usr/bin/python3")
        .arg(format!("{root}/tests/clients/http3_client.py"))
        .args([front.site.https().ip().to_string(), ca.display().to_string()])
        .env("PYTHONPATH", &packages)
        .output()
        .expect("python3 must be installed");
    let _ = std::fs::remove_file(ca);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{error}\naioquic must be in {packages}: tests/run.sh puts it there"
    );
}
