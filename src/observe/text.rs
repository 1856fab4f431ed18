//! Bytes of the network in lines of text: nothing that a terminal or a parser could take for more
//! than it is (RUSTSEC-2025-0055).

/// Appends a JSON string, with its quotes.
pub(super) fn json_string(out: &mut String, text: &str) {
    out.push('"');
    escape(out, text, |char| matches!(char, '"' | '\\'));
    out.push('"');
}

/// Appends text for a line that people read: control characters and quotes escaped.
pub(super) fn plain(out: &mut String, text: &str) {
    escape(out, text, |char| matches!(char, '"' | '\\'));
}

fn escape(out: &mut String, text: &str, is_special: impl Fn(char) -> bool) {
    let is_plain = |char: char| !is_special(char) && !char.is_control();
    if text.chars().all(is_plain) {
        return out.push_str(text);
    }
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
pub(super) fn number(out: &mut String, mut number: u64) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
        start -= 1;
        if number == 0 {
            break;
        }
    }
    out.extend(digits.iter().skip(start).map(|digit| char::from(*digit)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_never_reach_a_line() {
        let mut out = String::new();
        json_string(&mut out, "a\"b\\c\n\u{1b}[31m\u{85}é");
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
