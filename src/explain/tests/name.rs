use std::sync::Arc;

use super::*;
use crate::compile::{Hosts, HostsFiles, Upstream, parse_hosts, parse_upstream};

#[test]
fn names_are_followed_through_the_search_list() {
    let told = ask(&["dns", "web"], Some("127.97.0.1"));
    assert!(told.contains("that of a pod in namespace shop"), "{told}");
    assert!(told.ends_with("web.shop.svc.cluster.local 5 A 127.96.0.20\n"), "{told}");
    let told = ask(&["dns", "web"], None);
    assert!(told.contains("- web.default.svc.cluster.local: NXDOMAIN"), "{told}");
    assert!(told.ends_with("the name does not resolve in the zone\n"), "{told}");
    let told = ask(&["dns", "web.shop", "AAAA"], None);
    assert!(told.ends_with("the name exists and has no such record\n"), "{told}");
}

fn upstream(text: &str) -> Upstream {
    parse_upstream(text).expect("an upstream")
}

#[test]
fn names_of_hosts_files_tell_where_they_are_written() {
    let mut hosts = Hosts::default();
    let text = "# ours\n192.0.2.7 web.shop.svc.cluster.local printer\n";
    assert_eq!(parse_hosts(&"lan.hosts".into(), 1, text, &mut hosts), []);
    let settings = Settings {
        dns_hosts: HostsFiles { hosts: hosts.into(), ..HostsFiles::default() },
        ..Settings::default()
    };
    let ask = |words: &[&str]| explained(MANIFESTS, words, None, settings.clone()).to_string();
    let told = ask(&["dns", "web.shop"]);
    let taken = "+ web.shop.svc.cluster.local: a name of the hosts file (lan.hosts:2)";
    assert!(told.contains(taken), "{told}");
    assert!(told.contains("web.shop.svc.cluster.local 3600 A 192.0.2.7"), "{told}");
    let source = "source: a name of the hosts file\n    at lan.hosts:2\n";
    assert!(told.contains(source), "{told}");
    let told = ask(&["dns", "7.2.0.192.in-addr.arpa", "PTR"]);
    assert!(told.contains("an address of the hosts file"), "{told}");
    let told = ask(&["dns", "printer.", "AAAA"]);
    assert!(told.contains("NOERROR without records: a name of the hosts file"), "{told}");
}

#[test]
fn names_of_others_tell_who_is_asked() {
    let told = ask(&["dns", "example.org."], None);
    assert!(told.contains("- example.org: REFUSED: not in the zone"), "{told}");
    assert!(told.ends_with("the name does not resolve in the zone\n"), "{told}");
    let forward = Forward {
        upstreams: ["10.0.0.1", "tls://10.0.0.2#dns.example"].map(upstream).to_vec(),
        stubs: [("corp.example".into(), vec![upstream("10.1.0.1:5353")])].into(),
        ..Forward::default()
    };
    let ask = |words: &[&str]| ask_with(MANIFESTS, words, None, forward.clone());
    let told = ask(&["dns", "example.org"]);
    let taken = "+ example.org: forwarded to 10.0.0.1:53, tls://10.0.0.2:853#dns.example: not in \
                 the zone";
    assert!(told.contains(taken), "{told}");
    assert!(told.contains("lookup: example.org after 4 of the search list"), "{told}");
    assert!(told.ends_with("the upstreams know: the answer is theirs\n"), "{told}");
    let told = ask(&["dns", "a.Corp.example."]);
    assert!(told.contains("forwarded to 10.1.0.1:5353 (stub domain corp.example)"), "{told}");
    let told = ask(&["dns", "outside.shop.svc.cluster.local."]);
    assert!(told.contains("5 CNAME www.example.org\nand what www.example.org is"), "{told}");
    assert!(!ask(&["dns", "outside.shop.svc.cluster.local.", "CNAME"]).contains("forwarded"));
}

const NAMES: &str = r#"
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 127.96.0.20, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Pod
metadata: {name: client, namespace: bank}
status: {podIP: 127.97.0.7, phase: Running}
---
apiVersion: v1
kind: Pod
metadata: {name: own, namespace: bank}
spec: {dnsConfig: {searches: [corp.example]}}
status: {podIP: 127.97.0.8, phase: Running}
"#;

/// With a domain of the hosts, and one upstream.
fn searching(words: &[&str], from: &str) -> Explanation {
    let forward = Forward { upstreams: vec![upstream("10.0.0.1")], ..Forward::default() };
    let domains: [Arc<str>; 1] = ["corp.example".into()];
    let settings = Settings {
        dns_forward: forward.into(),
        dns_search: Some(domains.into()),
        ..Settings::default()
    };
    explained(NAMES, words, Some(from), settings)
}

#[test]
fn a_search_list_that_is_gone_through_takes_one_question() {
    assert_eq!(
        searching(&["dns", "web.shop"], "127.97.0.7").to_string(),
        "\
dns web.shop A

search list: that of a pod in namespace bank

lookup: web.shop.svc.cluster.local after 2 of the search list
  - web.shop.bank.svc.cluster.local: NXDOMAIN: the namespace has no such Service
  + web.shop.svc.cluster.local: a Service with virtual addresses (shop.yaml:2)

questions: one (--dns-search): web.shop.bank.svc.cluster.local is answered with what the list leads to, as its alias

source: the zone: a Service with virtual addresses
    at shop.yaml:2

web.shop.svc.cluster.local 5 A 127.96.0.20
"
    );
}

#[test]
fn names_of_others_may_be_where_the_host_searches() {
    let told = searching(&["dns", "example.org"], "127.97.0.7").to_string();
    assert!(told.contains("lookup: example.org.corp.example, else example.org after 5"), "{told}");
    assert!(told.contains("questions: one (--dns-search): example.org.bank.svc"), "{told}");
    let source = "source: upstreams, or what they said before: 10.0.0.1:53 for \
                  example.org.corp.example; 10.0.0.1:53 for example.org\n";
    assert!(told.contains(source), "{told}");
    assert!(told.ends_with("the upstreams know: the answer is theirs\n"), "{told}");
}

#[test]
fn why_a_search_list_costs_several_questions_is_told() {
    let questions = |explanation: &Explanation| {
        let step = explanation.steps.iter().find(|step| step.title == "questions");
        step.map(|step| step.verdict.clone()).unwrap_or_default()
    };
    let rows = [
        (
            searching(&["dns", "web.shop"], "127.97.0.8"),
            "2, of which 1 in vain; --dns-search does not know",
        ),
        (
            searching(&["dns", "web.shop"], "127.97.0.9"),
            "2, of which 1 in vain; --dns-search answers the first",
        ),
        (
            searching(&["dns", "web.shop", "CNAME"], "127.97.0.7"),
            "2, of which 1 in vain; --dns-search leaves",
        ),
        (
            explained(NAMES, &["dns", "a.b"], None, Settings::default()),
            "4, of which 4 in vain; --dns-search on",
        ),
        (explained(NAMES, &["dns", "web"], Some("127.97.0.7"), Settings::default()), "4, of which"),
        // one is enough
        (searching(&["dns", "web.shop.svc.cluster.local."], "127.97.0.7"), ""),
        (searching(&["dns", "a.b.c.d.e.f"], "127.97.0.7"), ""),
    ];
    for (explanation, expected) in rows {
        let told = questions(&explanation);
        assert!(told.starts_with(expected) && told.is_empty() == expected.is_empty(), "{told}");
    }
}

#[test]
fn a_client_that_is_not_known_is_told_with_the_remedy() {
    let told = searching(&["dns", "web"], "127.97.0.9").to_string();
    let expected = "127.97.0.9 is the address of no pod, or of pods of several namespaces: that of a \
                    pod in namespace default (--from takes the address of a pod outside of the host \
                    network)\n";
    assert!(told.contains(expected), "{told}");
}

#[test]
fn json_has_what_the_text_has() {
    let explanation = searching(&["dns", "web.shop"], "127.97.0.7");
    let json = serde_json::to_value(&explanation).expect("JSON");
    let titles: Vec<_> = explanation.steps.iter().map(|step| &*step.title).collect();
    assert_eq!(titles, ["search list", "lookup", "questions", "source"]);
    assert_eq!(json["steps"][1]["candidates"][1]["taken"], true);
    assert_eq!(json["steps"][3]["place"]["file"], "shop.yaml");
    assert_eq!(json["outcome"], "web.shop.svc.cluster.local 5 A 127.96.0.20");
    let back: Explanation = serde_json::from_value(json).expect("an explanation");
    assert_eq!(back, explanation);
}
