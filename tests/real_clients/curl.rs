//! curl, in both versions of HTTP, with TLS and without.

use crate::front::Front;

/// Options and scheme of each way that curl can come, and the version it tells.
const WAYS: [(&[&str], &str, &str); 4] = [
    (&["--http1.1"], "http", "1.1"),
    (&["--http1.1"], "https", "1.1"),
    (&["--http2-prior-knowledge"], "http", "2"),
    (&["--http2"], "https", "2"),
];

#[test]
fn curl_gets_bodies_heads_parts_and_nothing_as_they_are() {
    let front = Front::start();
    let text = crate::origin::text();
    for (way, scheme, version) in WAYS {
        let told = |arguments: &[&str], path: &str| {
            let written = ["-w", "\n%{http_code} %{http_version} %header{content-length}"];
            let url = format!("{scheme}://app.test{path}");
            let told = front.curl(&[way, arguments, &written].concat(), &url);
            let (body, told) = told.rsplit_once('\n').expect("a line behind the body");
            let told = told.replace(&format!(" {version} "), " HTTP ");
            (body.to_owned(), told)
        };
        let whole = format!("200 HTTP {}", text.len());
        assert_eq!(told(&[], "/text"), (text.clone(), whole.clone()), "{scheme} {version}");
        let (head, told_of_head) = told(&["-I"], "/text");
        assert_eq!(told_of_head, whole, "{scheme} {version}");
        assert!(head.to_ascii_lowercase().contains("etag: \"t\""), "{head}");
        let part = ("0 of ".to_owned(), "206 HTTP 5".to_owned());
        assert_eq!(told(&["-r", "5-9"], "/text"), part, "{scheme} {version}");
        assert_eq!(told(&[], "/nothing"), (String::new(), "200 HTTP 0".into()));
        assert_eq!(told(&[], "/none"), (String::new(), "204 HTTP ".into()));
        assert_eq!(told(&["-d", ""], "/length"), ("0".into(), "200 HTTP 1".into()));
        assert_eq!(told(&[], "/unknown").1, "404 HTTP 0");
    }
}

#[test]
fn curl_sends_large_bodies_with_and_without_asking_first() {
    let front = Front::start();
    let file = front.ca.with_file_name("large");
    std::fs::write(&file, vec![b'x'; 3_000_000]).expect("a file");
    let data = format!("@{}", file.display());
    for (way, scheme, _) in WAYS {
        for expect in ["Expect:", "Expect: 100-continue"] {
            let url = format!("{scheme}://app.test/length");
            let posted = front.curl(&[way, &["--data-binary", &data, "-H", expect]].concat(), &url);
            assert_eq!(posted, "3000000", "{way:?} {scheme} {expect}");
        }
        for path in ["/echo/body", "/h2c/body"] {
            let chunked = ["-T", "-", "-X", "POST"];
            let url = format!("{scheme}://app.test{path}");
            let command = [way, &chunked].concat();
            let seen = upload(&front, &command, &url, &file);
            assert!(seen.contains("\"POST\""), "{way:?} {scheme} {path}: {seen}");
        }
    }
}

/// Sends a file whose length curl does not know.
fn upload(front: &Front, arguments: &[&str], url: &str, file: &std::path::Path) -> String {
    let ip = front.site.http().ip();
    let resolve = [format!("app.test:80:{ip}"), format!("app.test:443:{ip}")];
    let output = std::process::Command::new("curl")
        .args(["-sS", "--max-time", "20", "--noproxy", "*", "--cacert", &front.ca()])
        .args(["--resolve", &resolve[0], "--resolve", &resolve[1]])
        .args(arguments)
        .arg(url)
        .stdin(std::fs::File::open(file).expect("the file"))
        .output()
        .expect("curl must be installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn curl_sees_the_hints_that_come_before_a_response() {
    let front = Front::start();
    for (scheme, option, version) in [
        ("http", "--http1.1", "1.1"),
        ("https", "--http1.1", "1.1"),
        ("http", "--http2-prior-knowledge", "2"),
        ("https", "--http2", "2"),
    ] {
        let seen = front.curl(&[option, "-i"], &format!("{scheme}://app.test/hints"));
        let (hints, rest) = seen.split_once("\r\n\r\n").expect("two heads");
        assert!(hints.starts_with(&format!("HTTP/{version} 103 ")), "{seen}");
        assert!(hints.contains("rel=preload"), "{seen}");
        assert!(rest.starts_with(&format!("HTTP/{version} 200 ")), "{seen}");
        assert!(rest.ends_with("after the hints"), "{seen}");
    }
}
