//! Names as real clients ask for them: `dig`, `kdig`, dnspython, and programs with the resolvers of
//! glibc and of musl (Debian packages dnsutils, knot-dnsutils, python3-dnspython, gcc, musl-tools).
//!
//! The resolvers of C libraries read `/etc/resolv.conf` and nothing else, so their programs run in a
//! mount namespace where that is a file of ours, for which the tests must be root.

mod common;

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::Site;

const MANIFESTS: &str = r#"
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: NET.20, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata:
  name: dual
  namespace: shop
  labels: {service.kubernetes.io/service-proxy-name: other}
spec:
  clusterIP: NET.21
  clusterIPs: [NET.21, "fd00:7::20"]
  ipFamilies: [IPv4, IPv6]
  ipFamilyPolicy: RequireDualStack
  ports: [{name: http, port: 80}]
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {clusterIP: None, ports: [{name: sql, port: 5432}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: db, namespace: shop, labels: {kubernetes.io/service-name: db}}
addressType: IPv4
endpoints:
- {addresses: [NET.130], hostname: db-0}
- {addresses: [NET.131], hostname: db-1}
- {addresses: [NET.132], hostname: db-2}
ports: [{name: sql, port: 5432}]
---
apiVersion: v1
kind: Service
metadata: {name: six, namespace: shop}
spec: {clusterIP: None, ipFamilies: [IPv6], ports: [{name: sql, port: 5432}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: six, namespace: shop, labels: {kubernetes.io/service-name: six}}
addressType: IPv6
endpoints: [{addresses: ["fd00:7::1"], hostname: six-0}]
ports: [{name: sql, port: 5432}]
---
apiVersion: v1
kind: Service
metadata: {name: edge, namespace: shop}
spec: {type: ExternalName, externalName: web.shop.svc.example.org}
---
apiVersion: v1
kind: Service
metadata: {name: huge, namespace: shop}
spec: {clusterIP: None, ports: [{name: http, port: 80}]}
"#;

/// The objects above, and the endpoints of `huge`: a thousand, in ten slices as a cluster has them.
fn manifests() -> String {
    let mut text = MANIFESTS.to_owned();
    for slice in 0..10 {
        let endpoints: Vec<String> =
            (1..=100).map(|last| format!("{{addresses: [10.9.{slice}.{last}]}}")).collect();
        write!(
            text,
            "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: \
             huge-{slice}, namespace: shop, labels: {{kubernetes.io/service-name: \
             huge}}}}\naddressType: IPv4\nendpoints: [{}]\nports: [{{name: http, port: 80}}]\n",
            endpoints.join(", ")
        )
        .expect("a String takes everything");
    }
    text
}

fn site() -> Site {
    Site::start(&manifests())
}

/// Runs a program of a Debian package and gives what it prints.
#[track_caller]
fn run(program: &str, package: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program} ({package}): {error}"));
    String::from_utf8(output.stdout).expect("text")
}

/// `dig` or `kdig` with the server's address in front.
#[track_caller]
fn ask(site: &Site, program: &str, arguments: &[&str]) -> String {
    let (server, port) = (format!("@{}", site.dns().ip()), site.dns().port().to_string());
    let (package, retries) = match program {
        "dig" => ("dnsutils", "+tries=1"),
        _ => ("knot-dnsutils", "+retry=0"),
    };
    let arguments = [&[&server, "-p", &port, "+time=5", retries], arguments].concat();
    run(program, package, &arguments)
}

/// Every status in the output, in order: both programs print `status: NAME`.
fn statuses(printed: &str) -> Vec<&str> {
    let rest = printed.split("status: ").skip(1);
    rest.map(|rest| rest.split([',', ';']).next().unwrap_or_default()).collect()
}

/// The last column of every record of an answer section.
fn data(printed: &str) -> Vec<&str> {
    let mut is_answer = false;
    let mut found = Vec::new();
    for line in printed.lines() {
        match line.strip_prefix(";; ") {
            Some(heading) => is_answer = heading.starts_with("ANSWER SECTION"),
            None if is_answer && !line.is_empty() => found.extend(line.split_whitespace().last()),
            None => {}
        }
    }
    found
}

#[test]
fn dig_and_kdig_agree_on_every_option() {
    let site = site();
    let web = format!("{}.20", site.block.prefix());
    let name = "web.shop.svc.cluster.local";
    let rows: [(&[&str], &str, &[&str]); 15] = [
        (&[name, "A"], "NOERROR", &[&web]),
        (&[name, "AAAA"], "NOERROR", &[]),
        (&[name, "MX"], "NOERROR", &[]),
        (&[name, "HTTPS"], "NOERROR", &[]),
        (&[name, "TYPE65280"], "NOERROR", &[]),
        (&["nothing.shop.svc.cluster.local", "A"], "NXDOMAIN", &[]),
        (&["nothing.shop.svc.cluster.local", "HTTPS"], "NXDOMAIN", &[]),
        (&[name, "A", "+norec"], "NOERROR", &[&web]),
        (&[name, "A", "+edns=0", "+bufsize=512"], "NOERROR", &[&web]),
        (&[name, "A", "+edns=0", "+bufsize=65535"], "NOERROR", &[&web]),
        (&[name, "A", "+cdflag", "+adflag", "+dnssec"], "NOERROR", &[&web]),
        (&[name, "A", "+nsid"], "NOERROR", &[&web]),
        (&[name, "A", "+subnet=10.0.0.0/8"], "NOERROR", &[&web]),
        (&[name, "A", "+padding=128"], "NOERROR", &[&web]),
        (&["example.org", "A"], "REFUSED", &[]),
    ];
    for (question, status, expected) in rows {
        for program in ["dig", "kdig"] {
            for transport in ["+notcp", "+tcp"] {
                let printed = ask(&site, program, &[question, &[transport]].concat());
                let what = format!("{program} {question:?} {transport}: {printed}");
                assert_eq!(statuses(&printed), [status], "{what}");
                assert_eq!(data(&printed), expected, "{what}");
            }
        }
    }
}

#[test]
fn other_operations_and_versions_are_told_so() {
    let site = site();
    let name = "web.shop.svc.cluster.local";
    let rows: [(&[&str], &str); 5] = [
        (&["+opcode=status"], "NOTIMP"),
        (&["+opcode=update"], "NOTIMP"),
        (&["+opcode=notify"], "NOTIMP"),
        (&["+edns=1", "+noednsnegotiation"], "BADVERS"),
        (&["+header-only"], "FORMERR"),
    ];
    for (options, status) in rows {
        let printed = ask(&site, "dig", &[&[name], options].concat());
        assert_eq!(statuses(&printed), [status], "{options:?}: {printed}");
    }
    // and who asks again with our version gets the answer
    let printed = ask(&site, "dig", &[name, "+edns=1"]);
    assert_eq!(data(&printed), [format!("{}.20", site.block.prefix())], "{printed}");
}

#[test]
fn several_queries_share_a_connection() {
    let site = site();
    let net = site.block.prefix();
    let names =
        ["web", "dual", "nothing", "web"].map(|name| format!("{name}.shop.svc.cluster.local"));
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for program in ["dig", "kdig"] {
        let printed = ask(&site, program, &[&["+tcp", "+keepopen"], names.as_slice()].concat());
        let codes = ["NOERROR", "NOERROR", "NXDOMAIN", "NOERROR"];
        assert_eq!(statuses(&printed), codes, "{program}: {printed}");
        let expected = [20, 21, 20].map(|last| format!("{net}.{last}"));
        assert_eq!(data(&printed), expected, "{program}: {printed}");
    }
}

#[test]
fn what_is_cut_over_udp_is_whole_over_tcp() {
    let site = site();
    let name = "huge.shop.svc.cluster.local";
    for program in ["dig", "kdig"] {
        // they come back over TCP by themselves
        assert_eq!(data(&ask(&site, program, &[name])).len(), 1000, "{program}");
        let cut = ask(&site, program, &[name, "+ignore", "+notcp"]);
        assert!(cut.lines().any(|line| line.contains("lags: ") && line.contains(" tc")), "{cut}");
        // and those that cannot get some addresses all the same
        assert!((25..1000).contains(&data(&cut).len()), "{cut}");
    }
}

#[test]
fn dnspython_is_told_what_it_must_be() {
    let site = site();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/queries.py");
    let server = site.dns();
    let output = Command::new("/usr/bin/python3")
        .arg(script)
        .args([server.ip().to_string(), server.port().to_string(), site.block.prefix()])
        .output()
        .expect("python3 is needed: apt-get install python3-dnspython");
    assert!(output.status.success(), "{output:#?}");
}

/// Programs that ask a C library, and where its `/etc/resolv.conf` shall be from.
struct Lookups {
    dir: tempfile::TempDir,
}

/// A C library, and the compiler for programs with it.
const LIBRARIES: [(&str, &str, &[&str]); 2] =
    [("gcc", "gcc", &["-lresolv"]), ("musl-gcc", "musl-tools", &["-static"])];

impl Lookups {
    /// Compiles a program for each library.
    fn build(site: &Site, options: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/lookup.c");
        for (compiler, package, options) in LIBRARIES {
            let status = Command::new(compiler)
                .args(["-O", "-Wall", "-o"])
                .args([&dir.path().join(compiler), &source])
                .args(options)
                .status();
            let status = status.unwrap_or_else(|error| panic!("{compiler} ({package}): {error}"));
            assert!(status.success(), "{compiler} must compile lookup.c");
        }
        let text = format!(
            "nameserver {}\nsearch shop.svc.cluster.local svc.cluster.local cluster.local\noptions \
             ndots:5 timeout:5 attempts:1 {options}\n",
            site.dns().ip()
        );
        std::fs::write(dir.path().join("resolv.conf"), text).expect("a file");
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What the program prints, sorted.
    #[track_caller]
    fn run(&self, compiler: &str, words: &[&str]) -> Vec<String> {
        let mounted = "mount --bind \"$1\" /etc/resolv.conf && shift && exec \"$@\"";
        let Output { status, stdout, stderr } = Command::new("unshare")
            .args(["--mount", "sh", "-c", mounted, "sh"])
            .args([self.path("resolv.conf"), self.path(compiler)])
            .args(words)
            .output()
            .expect("unshare must be there (util-linux)");
        let stderr = String::from_utf8_lossy(&stderr);
        assert!(status.success(), "{compiler} {words:?}, which needs root: {stderr}");
        let text = String::from_utf8(stdout).expect("text");
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }
}

/// What is asked of a library and what it says, but for where they differ. `NET` is the block.
const LOOKUPS: [(&[&str], &[&str]); 22] = [
    // the search path: in the namespace, in another, as a whole, and absolute
    (&["addresses", "web"], &["NET.20"]),
    (&["addresses", "web.shop"], &["NET.20"]),
    (&["addresses", "web.shop.svc"], &["NET.20"]),
    (&["addresses", "web.shop.svc.cluster.local"], &["NET.20"]),
    (&["addresses", "web.shop.svc.cluster.local."], &["NET.20"]),
    (&["addresses", "WeB.sHOP"], &["NET.20"]),
    // one family has nothing, which must not hide the other
    (&["addresses", "web", "4"], &["NET.20"]),
    (&["addresses", "web", "6"], &["no such name"]),
    (&["addresses", "six"], &["fd00:7::1"]),
    (&["addresses", "six", "4"], &["no such name"]),
    (&["addresses", "dual"], &["NET.21", "fd00:7::20"]),
    (&["addresses", "dual", "6"], &["fd00:7::20"]),
    (&["addresses", "db"], &["NET.130", "NET.131", "NET.132"]),
    (&["addresses", "db-1.db"], &["NET.131"]),
    (&["addresses", "edge"], &["NET.20 of the upstream"]),
    (&["addresses", "nothing"], &["no such name"]),
    (&["addresses", "www.example.com"], &["no such name"]),
    (&["name", "NET.20"], &["web.shop.svc.cluster.local"]),
    (&["name", "NET.131"], &["db-1.db.shop.svc.cluster.local"]),
    (&["name", "fd00:7::1"], &["six-0.six.shop.svc.cluster.local"]),
    (&["name", "fd00:7::20"], &["dual.shop.svc.cluster.local"]),
    (&["records", "_sql._tcp.db.shop.svc.cluster.local", "33"], &["3"]),
];

/// Whose domain is `example.org`; it knows no other names, and says so.
fn upstream() -> Site {
    Site::start_with(&manifests(), |options| options.set("cluster-domain", "example.org"))
}

#[test]
fn glibc_and_musl_find_every_name() {
    let upstream = upstream();
    let other = common::dns::nothing();
    let site = Site::start_with(&manifests(), |options| {
        options.set("dns-upstream", other.to_string());
        options.set("dns-stub", format!("example.org={}", upstream.dns()));
    });
    let filled = |text: &str| match text.strip_suffix(" of the upstream") {
        Some(text) => text.replace("NET", &upstream.block.prefix()),
        None => text.replace("NET", &site.block.prefix()),
    };
    for options in ["", "edns0 trust-ad", "single-request", "use-vc"] {
        let lookups = Lookups::build(&site, options);
        for (compiler, ..) in LIBRARIES {
            for (words, expected) in LOOKUPS {
                let words: Vec<String> = words.iter().map(|word| filled(word)).collect();
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                let expected: Vec<String> = expected.iter().map(|line| filled(line)).collect();
                let told = lookups.run(compiler, &words);
                assert_eq!(told, expected, "{compiler} {words:?} options {options}");
            }
        }
    }
}

#[test]
fn a_thousand_endpoints_are_found_by_clients_with_and_without_tcp() {
    let site = site();
    let lookups = Lookups::build(&site, "");
    assert_eq!(lookups.run("gcc", &["addresses", "huge"]).len(), 1000);
    // musl has room for 48, and knows TCP since 1.2.4 only
    let of_musl = lookups.run("musl-gcc", &["addresses", "huge"]);
    assert!((25..=48).contains(&of_musl.len()), "{of_musl:?}");
}

#[test]
fn names_that_cannot_be_do_no_harm() {
    let site = site();
    let lookups = Lookups::build(&site, "");
    let long = [
        "x".repeat(64),
        "x".repeat(300),
        vec!["x".repeat(63); 4].join("."),
        vec!["x"; 128].join("."),
        "a..b".to_owned(),
        "*".to_owned(),
        "_".to_owned(),
    ];
    for (compiler, ..) in LIBRARIES {
        for name in &long {
            let told = lookups.run(compiler, &["addresses", &format!("{name}.svc.cluster.local.")]);
            assert_eq!(told, ["no such name"], "{compiler} {name}");
        }
        assert_eq!(lookups.run(compiler, &["addresses", "web"]).len(), 1, "{compiler}");
    }
}
