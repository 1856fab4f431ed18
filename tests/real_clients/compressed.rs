//! Compressed responses, as curl and Python's decoders read them (python3-brotli,
//! python3-zstandard).

use crate::front::{Front, run};

const PYTHON: &str = r"
import brotli, gzip, sys, zstandard
coding, file = sys.argv[1:]
coded = open(file, 'rb').read()
plain = {
    'gzip': gzip.decompress,
    'br': brotli.decompress,
    'zstd': lambda it: zstandard.ZstdDecompressor().decompressobj().decompress(it),
}[coding](coded)
sys.stdout.buffer.write(plain)
";

#[test]
fn others_decode_what_was_compressed() {
    let front = Front::start_with(|options| options.set("compress", "on"));
    let text = crate::origin::text();
    let file = front.ca.with_file_name("coded");
    let file = file.to_str().expect("text");
    for (way, scheme) in [
        ("--http1.1", "http"),
        ("--http1.1", "https"),
        ("--http2-prior-knowledge", "http"),
        ("--http2", "https"),
    ] {
        let url = format!("{scheme}://app.test/text");
        for coding in ["gzip", "br", "zstd"] {
            let accepted = format!("Accept-Encoding: {coding}");
            let written = "%header{content-encoding} %header{vary} %header{etag} %{size_download}";
            let told = front.curl(&[way, "-H", &accepted, "-o", file, "-w", written], &url);
            let (told, size) = told.rsplit_once(' ').expect("two words");
            assert_eq!(told, format!("{coding} Accept-Encoding W/\"t\""), "{way}");
            assert!(size.parse::<usize>().expect("a number") < text.len() / 5, "{coding}: {size}");
            let plain = run("/usr/bin/python3", &["-c", PYTHON, coding, file]);
            assert!(plain == text, "{coding} by {way}: {} bytes", plain.len());
        }
        // curl asks for whatever it knows, and decodes it
        assert!(front.curl(&[way, "--compressed"], &url) == text, "{way}");
        let part = front.curl(&[way, "--compressed", "-r", "5-9", "-i"], &url);
        assert!(part.ends_with("\r\n\r\n0 of ") && !part.contains("gzip"), "{part}");
    }
}
