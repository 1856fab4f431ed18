use super::*;

fn problems(args: &Args) -> Vec<String> {
    Config::new(args).expect_err("the options must be refused").problems
}

#[test]
fn defaults_are_those_of_directory_mode() {
    let config = Config::new(&Args::default()).expect("defaults must be good");
    assert_eq!(config.settings.service_cidrs, Settings::default().service_cidrs);
    assert_eq!(config.dns, DnsListen::Auto("127.96.0.10:53".parse().expect("an address")));
    assert_eq!(config.admin, Some("127.0.0.1:9901".parse().expect("an address")));
    assert_eq!(config.drain_timeout, Duration::from_secs(30));
    assert_eq!(config.settings.nodeport_addresses, NodePortAddresses::All);
}

#[test]
fn every_problem_is_told_at_once() {
    let args = Args {
        service_cidr: vec!["127.96.0.1/16".into()],
        http_port: Some("99999".into()),
        dns_listen: Some("here".into()),
        drain_timeout: Some("soon".into()),
        lb_pool: vec!["10.0.0.9-10.0.0.1".into()],
        ..Args::default()
    };
    assert_eq!(
        problems(&args),
        [
            "--service-cidr: \"127.96.0.1/16\" has bits below its prefix; you may mean 127.96.0.0/16",
            "--http-port: \"99999\" is not a port (1 to 65535) or off",
            "--lb-pool: \"10.0.0.9-10.0.0.1\" does not run from a lower to a higher address of one \
             family",
            "--dns-listen: \"here\" is not ADDRESS:PORT, such as 127.0.0.1:9901",
            "--drain-timeout: \"soon\" is not a duration, such as 30s, 500ms or 2m",
        ]
    );
}

#[test]
fn the_command_line_wins_over_the_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("rutter.yaml");
    let text = "http-port: 8080\nhttps-port: off\nlb-pool: [10.0.0.0/30, 10.0.1.5]\n";
    std::fs::write(&file, text).expect("a file");
    let args = Args { config: Some(file), http_port: Some("9090".into()), ..Args::default() };
    let config = Config::new(&args).expect("the options must be good");
    assert_eq!(config.settings.http_port, Some(9090));
    assert_eq!(config.settings.https_port, None);
    assert_eq!(config.settings.lb_pool.len(), 2);
}

#[test]
fn an_unknown_option_in_the_file_is_a_problem() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("rutter.yaml");
    std::fs::write(&file, "http-prot: 8080\nadmin: {a: b}\n").expect("a file");
    let told = problems(&Args { config: Some(file.clone()), ..Args::default() });
    let file = file.display();
    assert_eq!(
        told,
        [
            format!("{file}: admin: must be a text, a number or a list of them"),
            format!("{file}: http-prot: no such option"),
        ]
    );
}

#[test]
fn the_example_file_names_every_option_with_its_default() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/config/rutter.yaml");
    let text = std::fs::read_to_string(path).expect("the example must be there");
    for (name, _) in Args::default().values() {
        assert!(text.contains(&format!("{name}:")), "{name} is missing in config/rutter.yaml");
    }
    let args = Args { config: Some(path.into()), ..Args::default() };
    let (example, default) = (Config::new(&args), Config::new(&Args::default()));
    let example =
        Config { manifests: Vec::new(), admin_is_default: true, ..example.expect("good") };
    assert_eq!(example, default.expect("defaults must be good"));
}

#[test]
fn node_ports_can_be_kept_to_some_addresses() {
    let args = Args {
        node_ip: vec!["10.1.2.3".into(), "192.168.7.8".into()],
        nodeport_addresses: vec!["10.0.0.0/8".into(), "127.0.0.1".into()],
        ..Args::default()
    };
    let config = Config::new(&args).expect("the options must be good");
    let wanted = ["10.1.2.3", "127.0.0.1"].map(|ip| ip.parse().expect("an address"));
    assert_eq!(config.settings.nodeport_addresses, NodePortAddresses::Only(wanted.to_vec()));
}
