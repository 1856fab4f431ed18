//! What a Corefile makes of the settings of names, and what it is told at which line and column.

mod names;

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::Value;

use super::{Compiled, compile, config_map, now, objects};
use crate::compile::{Allocations, Settings};
use crate::manifest::Origin;
use crate::snapshot::Zone;
use crate::snapshot::zone::{Alternate, CachePolicy, PodNames};
use crate::source::Sourced;
use crate::store::Objects;

fn settings() -> Settings {
    let addr = |text: &str| -> SocketAddr { text.parse().expect("an address") };
    Settings { resolv_conf: [addr("10.0.0.53:53").into()].into(), ..Settings::default() }
}

fn with(mut objects: Objects, corefile: &str) -> Objects {
    let object = config_map(corefile);
    let origin = Origin { file: "dns.yaml".into(), line: 1, ..Origin::default() };
    objects.apply(&Sourced { object, origin, stale: false });
    objects
}

fn compiled(values: &[Value], corefile: &str) -> Compiled {
    let objects = with(objects(values.iter().cloned()), corefile);
    compile(&objects, &settings(), &Allocations::default(), now())
}

/// What differs from no Corefile, a line each.
fn shown(zone: &Zone) -> Vec<String> {
    let mut lines = Vec::new();
    let pods = match &zone.pods {
        PodNames::Disabled => "disabled",
        PodNames::Insecure => "insecure",
        PodNames::Verified(_) => "verified",
    };
    let fallthrough: Vec<_> = zone.fallthrough.iter().map(|zone| format!("{zone}.")).collect();
    let (domain, ttl) = (&zone.domain, zone.ttl);
    lines.push(format!("{domain} ttl {ttl} pods {pods} fallthrough {}", fallthrough.join(" ")));
    let forward = &zone.forward;
    lines.extend(forward.routes().map(|route| {
        let mut upstreams: Vec<_> = route.upstreams.iter().map(ToString::to_string).collect();
        for Alternate { upstreams: next, after } in route.alternates {
            let no_data = if after.no_data { " no data" } else { "" };
            upstreams.push(format!("after {:?}{no_data}", after.rcodes));
            upstreams.extend(next.iter().map(ToString::to_string));
        }
        let except = forward.except.get(route.domain).filter(|it| !it.is_empty());
        let except = except.map(|zones| format!(" except {}", zones.join(" ")));
        let (domain, upstreams) = (route.domain, upstreams.join(" "));
        let cache = cache(forward.cache_of(route.domain));
        format!("{domain}. → {upstreams} cache {cache}{}", except.unwrap_or_default())
    }));
    for (block, rules) in &zone.rewrites.blocks {
        lines.extend(rules.iter().map(|rule| {
            let sign = if rule.goes_on { "continue" } else { "stop" };
            format!("{block}. {}: {:?} {} {sign}", rule.line, rule.from, rule.to)
        }));
    }
    lines
}

/// The longest seconds, and what else is not as without a Corefile.
fn cache(policy: &CachePolicy) -> String {
    let CachePolicy { positive_max, negative_max, positive_min, negative_min, .. } = policy;
    let mut text = format!("{positive_max} {negative_max}");
    if (*positive_min, *negative_min) != (0, 0) {
        text += &format!(" least {positive_min} {negative_min}");
    }
    if policy.failure != 1 {
        text += &format!(" failure {}", policy.failure);
    }
    if !policy.zones.is_empty() {
        text += &format!(" zones {}", policy.zones.join(" "));
    }
    text
}

/// `line:column severity code message (help)`.
fn findings(compiled: &Compiled) -> Vec<String> {
    let finding = |it: &crate::manifest::Finding| {
        let place = it.part.map(|part| format!("{}:{}", part.line, part.column));
        let help = it.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
        let place = place.unwrap_or_else(|| it.field.clone());
        format!("{place} {} {} {}{help}", it.severity, it.code, it.message)
    };
    compiled.report.findings.iter().map(finding).collect()
}

#[track_caller]
fn check(corefile: &str, zone: &[&str], expected: &[&str]) {
    let compiled = compiled(&[], corefile);
    assert_eq!(shown(&compiled.snapshot.zone), zone, "{corefile}");
    assert_eq!(findings(&compiled), expected, "{corefile}");
}

/// As kubeadm writes it.
const KUBEADM: &str = "\
.:53 {
    errors
    health {
       lameduck 5s
    }
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 30
    }
    prometheus :9153
    forward . /etc/resolv.conf {
       max_concurrent 1000
    }
    cache 30 {
       disable success cluster.local
       disable denial cluster.local
    }
    loop
    reload
    loadbalance
}
";

const ADMIN: [&str; 3] = [
    "3:5 note RT403 health is not looked at (the admin API has /healthz (--admin))",
    "6:5 note RT403 ready is not looked at (the admin API has /readyz (--admin))",
    "12:5 note RT403 prometheus is not looked at (the admin API has /metrics (--admin, \
     --metrics-compat coredns))",
];

#[test]
fn the_corefile_of_kubeadm_is_served_without_a_warning() {
    check(
        KUBEADM,
        &[
            "cluster.local ttl 30 pods insecure fallthrough in-addr.arpa. ip6.arpa.",
            ". → 10.0.0.53:53 cache 30 30",
        ],
        &ADMIN,
    );
}

#[test]
fn without_a_corefile_the_options_say_it() {
    let nothing = compile(&Objects::default(), &settings(), &Allocations::default(), now());
    let expected = ["cluster.local ttl 5 pods insecure fallthrough in-addr.arpa. ip6.arpa."];
    assert_eq!(shown(&nothing.snapshot.zone), expected);
    let off = Settings { corefile: None, ..settings() };
    let unread = compile(&with(Objects::default(), KUBEADM), &off, &Allocations::default(), now());
    assert_eq!(shown(&unread.snapshot.zone), expected);
    assert_eq!(findings(&unread), [""; 0]);
}

#[test]
fn stub_domains_have_a_block_or_a_line_of_their_own() {
    check(
        ".:53 {\n  kubernetes cluster.local\n  forward . 10.0.0.1 [fd00::1]:5353 {\n    policy \
         round_robin\n  }\n  forward lab.test 10.0.0.2\n}\nacme.local:53 Corp. {\n  errors\n  cache 7\n  \
         forward . dns://10.0.0.3 10.0.0.3:53\n  forward x.corp 10.0.0.4\n}\n10.0.0.0/8 {\n  \
         forward . 10.0.0.5\n}\n",
        &[
            "cluster.local ttl 5 pods disabled fallthrough ",
            "10.in-addr.arpa. → 10.0.0.5:53 cache 0 0",
            "acme.local. → 10.0.0.3:53 cache 7 7",
            "corp. → 10.0.0.3:53 cache 7 7",
            "lab.test. → 10.0.0.2:53 cache 0 0",
            "x.corp. → 10.0.0.4:53 cache 7 7",
            ". → 10.0.0.1:53 [fd00::1]:5353 cache 0 0",
        ],
        &[],
    );
}

#[test]
fn a_node_local_corefile_leaves_names_of_the_cluster_to_this_rutter() {
    check(
        "cluster.local:53 {\n  errors\n  cache {\n    success 9984 30\n  }\n  bind 169.254.20.10\n  \
         forward . 10.96.0.10 {\n    force_tcp\n  }\n}\nin-addr.arpa:53 {\n  forward . \
         10.96.0.10 {\n    force_tcp\n  }\n}\n.:53 {\n  forward . 10.0.0.1\n}\n",
        &[
            "cluster.local ttl 5 pods insecure fallthrough in-addr.arpa. ip6.arpa.",
            "in-addr.arpa. → tcp://10.96.0.10:53 cache 0 0",
            ". → 10.0.0.1:53 cache 0 0",
        ],
        &[
            "6:3 note RT403 bind is not looked at (where DNS listens is told by --dns-listen)",
            "7:11 note RT403 names of cluster.local are answered here, and not forwarded",
        ],
    );
}

#[test]
fn a_block_says_how_its_upstreams_are_asked_and_remembered() {
    check(
        ". {\n  forward . tls://9.9.9.9 tls://9.9.9.10%dns.test 10.0.0.1 {\n    except secret.test \
         lab.test.\n    force_tcp\n    max_concurrent 5\n    next NXDOMAIN\n    tls a b c\n    \
         expire 10s\n  }\n  cache 60 {\n    success 5000 90 5\n    denial 5000\n    prefetch 10 \
         1m\n    serve_stale 2h verify\n    disable denial\n    disable success cluster.local \
         x.test\n    servfail 0\n  }\n}\na.test {\n  forward . tls://10.0.0.2 {\n    tls_servername \
         DNS.test\n  }\n  cache x {\n    denial 1 b\n    disable all\n    serve_stale soon\n  \
         }\n}\n",
        &[
            "cluster.local ttl 5 pods insecure fallthrough in-addr.arpa. ip6.arpa.",
            "a.test. → tls://10.0.0.2:853#dns.test cache 3600 1800 zones x",
            ". → tls://9.9.9.9:853 tls://9.9.9.10:853#dns.test tcp://10.0.0.1:53 cache 90 0 least 5 0 \
             failure 0 except secret.test lab.test",
        ],
        &[
            "25:14 error RT007 denial needs a number here",
            "26:13 error RT004 cache cannot disable all",
            "27:17 error RT007 \"soon\" is no duration (write such as 1h or 30m)",
            "7:5 warning RT403 files of tls are not read (who may sign for upstreams is told by \
             --dns-upstream-ca)",
            "16:35 warning RT403 answers of x.test are remembered like others (write a block for \
             the zone)",
            "5:5 note RT403 1000 questions may wait at each upstream, on each worker",
            "6:5 note RT403 no forward . follows that could be next",
        ],
    );
}

#[test]
fn the_first_forward_of_a_zone_counts_and_the_next_where_it_says_so() {
    check(
        ". {\n  forward . 10.0.0.1 {\n    next NXDOMAIN REFUSED\n    next_on_nodata\n  }\n  forward . \
         10.0.0.2 10.0.0.3 {\n    next SERVFAIL\n    except x.test\n  }\n  forward . 10.0.0.4\n  \
         forward . 10.0.0.5\n  forward corp 10.0.0.6\n}\ncorp {\n  forward . 10.0.0.7 {\n    next \
         NXDOMAN\n    failover SERVFAIL\n  }\n}\n",
        &[
            "cluster.local ttl 5 pods insecure fallthrough in-addr.arpa. ip6.arpa.",
            "corp. → 10.0.0.7:53 cache 0 0",
            ". → 10.0.0.1:53 after [3, 5] no data 10.0.0.2:53 10.0.0.3:53 after [2] 10.0.0.4:53 \
             cache 0 0",
        ],
        &[
            "16:10 error RT004 there is no answer NXDOMAN (did you mean NXDOMAIN?)",
            "6:11 warning RT403 which names are excepted, the first forward of a zone says",
            "11:11 warning RT204 a forward of . stands above: that one counts (write next NXDOMAIN \
             into it, or what else leads here)",
            "12:11 warning RT204 corp has a block of its own: that one counts",
            "17:5 warning RT403 rutter does not have failover of forward (the next upstream is asked \
             where one fails or does not answer)",
            "16:5 note RT403 no forward . follows that could be next",
        ],
    );
}

#[test]
fn a_cache_says_how_long_and_of_which_zones_answers_are_remembered() {
    let of_root = |cache: &str| format!(". {{\n  forward . 10.0.0.1\n  {cache}\n}}\n");
    let rows = [
        ("cache", "3600 1800", ""),
        ("cache 30", "30 30", ""),
        ("cache 30 Example.org. 10.0.0.0/8", "30 30 zones example.org 10.in-addr.arpa", ""),
        ("cache corp .", "3600 1800 zones corp ", ""),
        ("cache a..b", "0 0", "3:9 error RT007 \"a..b\" is no zone"),
        ("cache {\n success 9984 60 20\n denial 9984 10 2\n}", "60 10 least 20 2", ""),
        ("cache {\n success 9984 60 0\n}", "60 1800", ""),
        ("cache {\n servfail 30s\n}", "3600 1800 failure 30", ""),
        ("cache {\n servfail 0\n}", "3600 1800 failure 0", ""),
        ("cache {\n servfail 5m\n}", "3600 1800 failure 300", ""),
        (
            "cache {\n servfail 6m\n}",
            "3600 1800",
            "4:11 error RT007 \"6m\" is no duration of at most 5m (write such as 5s)",
        ),
    ];
    for (written, expected, finding) in rows {
        let compiled = compiled(&[], &of_root(written));
        let forward = &compiled.snapshot.zone.forward;
        assert_eq!(cache(forward.cache_of("")), expected, "{written}");
        let finding: Vec<_> =
            Some(finding.to_owned()).filter(|it| !it.is_empty()).into_iter().collect();
        assert_eq!(findings(&compiled), finding, "{written}");
    }
}

#[test]
fn what_is_wrong_harms_only_itself() {
    check(
        ". {\n  kubernets cluster.local\n  kubernetes cluster.local {\n    pods unsafe\n    ttl 9999\n    \
         tll 5\n    ignore all\n    labels a b\n  }\n  forward . nowhere 10.0.0.1 {\n    policy \
         best\n  }\n  forward lab.test\n  forward\n  rewrite name regex ( x\n  rewrite name regex \
         (a) {2}\n  rewrite nam a b\n  rewrite type A AAAA\n  rewrite name infix a b\n  template \
         IN A\n}\ntls://. {\n  forward . 10.0.0.2\n}\n.:5353 {\n  log\n}\na..b {\n  log\n}\nc.test \
         {\n  log\n}\n",
        &["cluster.local ttl 5 pods disabled fallthrough ", ". → 10.0.0.1:53 cache 0 0"],
        &[
            "2:3 error RT004 rutter does not know the plugin kubernets (did you mean kubernetes?)",
            "4:10 error RT004 pods has no mode unsafe",
            "5:9 error RT007 \"9999\" is not a number of seconds from 0 to 3600",
            "6:5 error RT004 kubernetes has no tll (did you mean ttl?)",
            "7:12 error RT004 kubernetes cannot ignore all",
            "8:5 error RT007 \"a b\" selects no labels (every label is good now; write such as \
             app=web,tier in (a, b),!canary)",
            "10:13 error RT007 \"nowhere\" names a server that would have to be looked up; give its \
             address, such as 10.0.0.1, and over TLS its name behind it, as in \
             tls://10.0.0.1#nowhere",
            "11:12 error RT004 forward has no policy best",
            "13:3 error RT007 nobody is asked about lab.test",
            "14:3 error RT007 forward what, and where to? (write forward . /etc/resolv.conf, or \
             forward . ADDRESS)",
            "15:22 error RT007 this is no regular expression: regex parse error:\n    (\n    \
             ^\nerror: unclosed group",
            "16:22 error RT007 {2} names a group that (a) does not have",
            "17:11 error RT004 rewrite does not know nam (did you mean name?)",
            "19:16 error RT004 names are not matched by infix",
            "28:1 error RT007 \"a..b\" is no zone",
            "18:11 warning RT403 rutter rewrites names, not type",
            "20:3 warning RT403 rutter does not have the plugin template (hosts and rewrite name \
             do some of it)",
            "22:1 warning RT403 tls:// of the Corefile is not served (see --dns-tls-listen, \
             --dns-https-listen and --dns-certificate)",
            "25:1 warning RT204 .:5353 has a block above: that one counts (rutter serves one block \
             a zone, on the address of --dns-listen)",
            "31:1 warning RT403 the block of c.test has no forward: its names are asked for like \
             all others (write forward . ADDRESS into it)",
            "25:1 note RT403 the port 5353 is not looked at (where DNS listens is told by \
             --dns-listen)",
            "32:3 note RT403 log is not looked at (queries are counted, not logged: see \
             rutter_dns_requests_total)",
        ],
    );
}

#[test]
fn the_corefile_wins_over_the_options_and_says_so() {
    let settings = Settings { dns_ttl: 10, ..settings() };
    let corefile =
        ". {\n  kubernetes k8s.test other.test {\n    ttl 30\n  }\n  kubernetes x.test\n}\n";
    let objects = with(Objects::default(), corefile);
    let compiled = compile(&objects, &settings, &Allocations::default(), now());
    assert_eq!(shown(&compiled.snapshot.zone), ["k8s.test ttl 30 pods disabled fallthrough "]);
    assert_eq!(
        findings(&compiled),
        [
            "2:23 warning RT403 kubernetes serves one zone, k8s.test; other.test is left out",
            "5:3 warning RT204 kubernetes stands above already: that one counts",
            "data.Corefile note RT403 no forward . in a block of the root zone: names of others are \
             refused",
            "2:14 note RT204 k8s.test wins over cluster.local of --cluster-domain (say the same in \
             both)",
            "3:9 note RT204 ttl 30 wins over 10 of --dns-ttl (say the same in both)",
        ]
    );
}

#[test]
fn a_corefile_that_cannot_be_read_leaves_the_last_good_one() {
    let broken = with(Objects::default(), ".:53 {\n  forward . 10.0.0.1\n");
    let first = compile(&broken, &settings(), &Allocations::default(), now());
    assert!(first.allocations.has_broken_corefile());
    assert_eq!(
        findings(&first),
        [
            "data.Corefile error RT002 the Corefile cannot be read: names are answered as the options \
             say",
            "1:6 error RT002 this block is not closed (write a } where it ends)",
        ]
    );
    let good = compile(&with(Objects::default(), KUBEADM), &settings(), &first.allocations, now());
    let after = compile(&broken, &settings(), &good.allocations, now());
    assert_eq!(after.snapshot.zone, good.snapshot.zone);
    let twice = compile(&broken, &settings(), &after.allocations, now());
    assert_eq!(twice.snapshot.zone, good.snapshot.zone);
    assert_eq!(
        findings(&after),
        [
            "1:6 error RT002 this block is not closed (write a } where it ends)",
            "data.Corefile warning RT002 the Corefile cannot be read: the last one that could serves \
             on",
        ]
    );
    let gone = compile(&Objects::default(), &settings(), &good.allocations, now());
    let first = compile(&broken, &settings(), &gone.allocations, now());
    assert_ne!(first.snapshot.zone, good.snapshot.zone, "what is deleted does not come back");
}

#[test]
fn a_config_map_without_the_key_is_told() {
    let mut objects = with(Objects::default(), "");
    for stored in objects.config_maps.values_mut() {
        Arc::make_mut(&mut stored.object).data.clear();
    }
    let compiled = compile(&objects, &settings(), &Allocations::default(), now());
    let expected =
        "data error RT112 there is no key Corefile: names are answered as the options say";
    assert_eq!(findings(&compiled), [expected]);
}
