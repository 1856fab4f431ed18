use super::*;
use crate::manifest::ObjectKey;

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
    assert_eq!(config.tcp_keepalive, Some(Duration::from_secs(60)));
    assert_eq!(config.tcp_user_timeout, Some(Duration::from_secs(300)));
}

#[test]
fn vanished_tcp_peers_are_noticed_when_the_user_says_so() {
    let args = |written: &str| Args {
        tcp_keepalive: Some(written.into()),
        tcp_user_timeout: Some(written.into()),
        ..Args::default()
    };
    for (written, expected) in [("off", None), ("90s", Some(Duration::from_secs(90)))] {
        let config = Config::new(&args(written)).expect("the options must be good");
        assert_eq!([config.tcp_keepalive, config.tcp_user_timeout], [expected; 2]);
    }
    assert_eq!(
        problems(&args("10h")),
        [
            "--tcp-keepalive: \"10h\" is not within 1s and 9h, and not off",
            "--tcp-user-timeout: \"10h\" is not within 1s and 9h, and not off",
        ]
    );
}

/// As kubelet registers the node, whatever the machine calls itself.
#[test]
fn the_name_of_the_node_is_trimmed_and_in_lower_case() {
    for (written, expected) in [("node-a", "node-a"), ("Node-A.Example", "node-a.example")] {
        let args = Args { node_name: Some(format!(" {written}\n")), ..Args::default() };
        let config = Config::new(&args).expect("the name must be good");
        assert_eq!(&*config.settings.node_name, expected);
        assert_eq!(parse::node_name(written).as_deref(), Ok(expected));
    }
    let args = Args { node_name: Some("node_a".into()), ..Args::default() };
    assert_eq!(problems(&args), ["--node-name: \"node_a\" is no valid name"]);
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
fn a_pool_may_have_a_name() {
    let args =
        Args { lb_pool: vec!["dmz=10.0.0.0/30".into(), "10.1.0.5".into()], ..Args::default() };
    let config = Config::new(&args).expect("the options must be good");
    let pools: Vec<_> =
        config.settings.lb_pool.iter().map(|it| format!("{} {}", it.pool, it.range)).collect();
    assert_eq!(pools, ["dmz 10.0.0.0-10.0.0.3", " 10.1.0.5"]);
    let wrong = Args { lb_pool: vec!["D M Z=10.0.0.1".into()], ..Args::default() };
    assert_eq!(problems(&wrong), ["--lb-pool: \"D M Z\" is no valid name"]);
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
            format!("{file}: http-prot: no such option; did you mean http-port?"),
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
    for limit in LIMITS {
        let line = format!("\n  {}: {}\n", limit.name, limit.text(&Limits::default()));
        assert!(text.contains(&line), "{line} is missing in config/rutter.yaml");
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

#[test]
fn options_that_do_not_go_together_are_problems() {
    let args = Args {
        service_cidr: vec!["127.96.0.0/16".into(), "127.95.0.0/16".into(), "fd00::/108".into()],
        pod_cidr: vec!["127.96.128.0/17".into()],
        http_port: Some("8080".into()),
        https_port: Some("8080".into()),
        dns_listen: Some("127.0.0.1:9901".into()),
        ..Args::default()
    };
    assert_eq!(
        problems(&args),
        [
            "--https-port: 0.0.0.0:8080 is taken by --http-port",
            "--admin: 127.0.0.1:9901 is taken by --dns-listen",
            "--service-cidr: 127.95.0.0/16 is of the family of 127.96.0.0/16: one each",
            "--pod-cidr: 127.96.128.0/17 overlaps 127.96.0.0/16 of --service-cidr",
        ]
    );
    let apart = Args {
        http_port: Some("8080".into()),
        ingress_address: vec!["127.0.0.2".into()],
        admin: Some("127.0.0.1:8080".into()),
        ..Args::default()
    };
    assert!(Config::new(&apart).is_ok(), "one port on two addresses");
}

#[test]
fn names_are_those_of_the_cluster() {
    let args = Args {
        node_name: Some("Node 1".into()),
        zone: Some(String::new()),
        ingress_class: Some("my_class".into()),
        ..Args::default()
    };
    assert_eq!(
        problems(&args),
        [
            "--node-name: \"Node 1\" is no valid name",
            "--zone: \"\" is no value of a label",
            "--ingress-class: \"my_class\" is no valid name",
        ]
    );
}

#[test]
fn that_there_is_nothing_to_serve_is_told_with_the_other_problems() {
    let args = Args { http_port: Some("x".into()), ..Args::default() };
    let told = Config::to_serve(&args).expect_err("the options must be refused").problems;
    assert_eq!(
        told,
        [
            "nothing to serve: name manifests with -m PATH",
            "--http-port: \"x\" is not a port (1 to 65535) or off",
        ]
    );
}

#[test]
fn listeners_of_encrypted_dns_and_their_certificate_need_each_other() {
    let missing = "needs --dns-certificate NAMESPACE/NAME, a Secret among the manifests";
    let args = Args {
        dns_tls_listen: Some("127.0.0.1:853".into()),
        dns_https_listen: Some("127.0.0.1:8443".into()),
        ..Args::default()
    };
    assert_eq!(
        problems(&args),
        [format!("--dns-tls-listen: {missing}"), format!("--dns-https-listen: {missing}")]
    );
    let args = Args { dns_certificate: Some("infra/dns".into()), ..args };
    let config = Config::new(&args).expect("the options must be good");
    assert_eq!(config.settings.dns_certificate, Some(ObjectKey::new("infra", "dns")));
    let args = Args { dns_certificate: Some("infra/dns".into()), ..Args::default() };
    let unused = "nobody shows it: add --dns-tls-listen or --dns-https-listen";
    assert_eq!(problems(&args), [format!("--dns-certificate: {unused}")]);
}

#[test]
fn what_is_wrong_with_the_options_of_encrypted_dns_is_told() {
    let args = Args {
        dns_listen: Some("0.0.0.0:8053".into()),
        dns_tls_listen: Some("127.0.0.1:8053".into()),
        dns_https_listen: Some("127.0.0.1:443".into()),
        dns_certificate: Some("dns".into()),
        dns_rate_limit: Some("50,5".into()),
        ..Args::default()
    };
    let no_certificate = "needs --dns-certificate NAMESPACE/NAME, a Secret among the manifests";
    assert_eq!(
        problems(&args),
        [
            "--dns-certificate: \"dns\" is not NAMESPACE/NAME, such as default/dns".to_owned(),
            "--dns-rate-limit: \"50,5\" is neither off nor CLIENT,PREFIX answers a second, such as \
             100,500"
                .to_owned(),
            "--dns-tls-listen: 127.0.0.1:8053 is taken by --dns-listen".to_owned(),
            "--dns-https-listen: 127.0.0.1:443 is taken by --https-port".to_owned(),
            format!("--dns-tls-listen: {no_certificate}"),
            format!("--dns-https-listen: {no_certificate}"),
        ]
    );
}

#[test]
fn the_rate_limit_of_dns_is_for_strangers_unless_it_is_given() {
    let limit = |client, prefix, everybody| Some(DnsRateLimit { client, prefix, everybody });
    for (text, expected) in [
        (None, limit(100, 500, false)),
        (Some("off"), None),
        (Some("20"), limit(20, 100, true)),
        (Some("20, 30"), limit(20, 30, true)),
        (Some("1,1"), limit(1, 1, true)),
    ] {
        let args = Args { dns_rate_limit: text.map(str::to_owned), ..Args::default() };
        let config = Config::new(&args).expect("the options must be good");
        assert_eq!(config.dns_rate_limit, expected, "{text:?}");
    }
    for text in ["", "0", "0,1", "10,", "-1", "1,2,3", "1000001", "on"] {
        let args = Args { dns_rate_limit: Some(text.into()), ..Args::default() };
        assert_eq!(problems(&args).len(), 1, "{text:?}");
    }
}

#[test]
fn ports_with_the_proxy_protocol_need_proxies_that_are_trusted() {
    let with = |trusted: &[&str]| Args {
        proxy_protocol: vec!["80".into(), "443".into()],
        trusted_proxies: trusted.iter().map(|&it| it.to_owned()).collect(),
        ..Args::default()
    };
    assert!(Config::new(&with(&["10.0.0.1", "fd00::/64"])).is_ok());
    let nobody = "nobody may write the header: name the proxies with --trusted-proxies";
    assert_eq!(problems(&with(&[])), [format!("--proxy-protocol: {nobody}")]);
    let wrong = "--trusted-proxies: \"proxy\" is neither an address nor a CIDR";
    assert!(
        problems(&with(&["proxy"])).contains(&wrong.to_owned()),
        "{:?}",
        problems(&with(&["proxy"]))
    );
    let args = Args { proxy_protocol: vec!["http".into()], ..with(&["10.0.0.1"]) };
    assert_eq!(problems(&args), ["--proxy-protocol: \"http\" is no port: 1 to 65535"]);
}
