use std::time::SystemTime;

use clap::Parser;

use super::*;
use crate::compile::{Allocations, compile};
use crate::manifest::yaml;
use crate::source::directory;
use crate::store::Inbox;

#[derive(Debug, Parser)]
struct Demo {
    #[command(flatten)]
    args: Args,
}

fn args() -> Args {
    Demo::parse_from(["demo"]).args
}

#[test]
fn the_manifests_decode_without_a_finding() {
    let dir = tempfile::tempdir().unwrap();
    files::write(dir.path()).unwrap();
    let tls = std::fs::read_to_string(dir.path().join("shop/tls.yaml")).unwrap();
    for (path, text) in files::MANIFESTS.into_iter().chain([("shop/tls.yaml", tls.as_str())]) {
        let decoded = yaml::decode(path, text);
        assert_eq!(decoded.findings, [], "{path}");
        assert!(decoded.broken.is_empty() && !decoded.objects.is_empty(), "{path}");
    }
}

#[test]
fn the_manifests_compile_without_a_finding() {
    let dir = tempfile::tempdir().unwrap();
    files::write(dir.path()).unwrap();
    let (batch, _) = directory::load(&[dir.path().to_owned()]).unwrap();
    let mut inbox = Inbox::default();
    inbox.apply(batch);
    let settings = Config::new(&options(&args(), dir.path())).unwrap().settings;
    let compiled = compile(&inbox.objects, &settings, &Allocations::default(), SystemTime::now());
    assert_eq!(inbox.findings, []);
    assert_eq!(compiled.report.findings, []);
}

#[test]
fn files_of_the_user_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let web = dir.path().join("shop/web.yaml");
    std::fs::create_dir(dir.path().join("shop")).unwrap();
    std::fs::write(&web, "mine").unwrap();
    files::write(dir.path()).unwrap();
    let ca = std::fs::read(dir.path().join("ca.crt")).unwrap();
    files::write(dir.path()).unwrap();
    assert_eq!(std::fs::read_to_string(&web).unwrap(), "mine");
    assert_eq!(std::fs::read(dir.path().join("ca.crt")).unwrap(), ca);
}

#[test]
fn a_taken_port_is_told_with_the_option_that_changes_it() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let error = check_ports(&Args { http_port: port, ..args() }).unwrap_err();
    let expected =
        format!("cannot listen on 127.0.0.1:{port}; choose another port with --http-port");
    assert_eq!(error.to_string(), expected);
}

#[test]
fn the_options_are_good() {
    let config = Config::new(&options(&args(), Path::new("/demo"))).unwrap();
    assert_eq!(config.manifests, [Path::new("/demo")]);
}
