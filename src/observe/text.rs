//! Bytes of the network in lines of text: nothing that a terminal or a parser could take for more
//! than it is (RUSTSEC-2025-0055).

/// Appends text for a line that people read, or between the quotes of JSON: control characters and
/// quotes escaped.
pub(super) fn plain(out: &mut String, text: &str) {
    // nearly always; all bytes are looked at, so that it is done many at a time
    let is_usual = |byte: u8| matches!(byte, b' '..=b'~') & (byte != b'"') & (byte != b'\\');
    if text.bytes().fold(true, |all, byte| all & is_usual(byte)) {
        return out.push_str(text);
    }
    let is_special = |char| matches!(char, '"' | '\\');
    let is_plain = |char: char| !is_special(char) && !char.is_control();
    for char in text.chars() {
        if is_plain(char) {
            out.push(char);
        } else if is_special(char) {
            out.push('\\');
            out.push(char);
        } else {
            // control characters are all in the basic plane
            let code = format!("\\u{:04x}", u32::from(char));
            out.push_str(&code);
        }
    }
}

/// Appends a number without going through the formatter.
pub(super) fn number(out: &mut String, number: u64) {
    out.push_str(itoa::Buffer::new().format(number));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_never_reach_a_line() {
        let mut out = String::from('"');
        plain(&mut out, "a\"b\\c\n\u{1b}[31m\u{85}é");
        out.push('"');
        assert_eq!(out, r#""a\"b\\c\u000a\u001b[31m\u0085é""#);
        let parsed: String = serde_json::from_str(&out).expect("JSON");
        assert_eq!(parsed, "a\"b\\c\n\u{1b}[31m\u{85}é");
    }

    #[test]
    fn numbers_are_written_in_full() {
        for value in [0, 7, 10, 200, 18_446_744_073_709_551_615] {
            let mut out = String::new();
            number(&mut out, value);
            assert_eq!(out, value.to_string());
        }
    }
}
