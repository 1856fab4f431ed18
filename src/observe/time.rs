//! Wall-clock time as text, with the second formatted once.

use std::time::{SystemTime, UNIX_EPOCH};

use ::time::OffsetDateTime;
use ::time::format_description::well_known::Rfc3339;

/// RFC 3339 in UTC with milliseconds.
#[derive(Debug, Default)]
pub(super) struct Clock {
    second: u64,
    text: String,
}

impl Clock {
    /// Appends the present time, as `2026-11-24T12:00:00.123Z`.
    pub(super) fn write(&mut self, out: &mut String) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        if now.as_secs() != self.second || self.text.is_empty() {
            self.second = now.as_secs();
            self.text = format(now.as_secs());
        }
        out.push_str(&self.text);
        let millis = now.subsec_millis();
        for (divisor, before) in [(100, "."), (10, ""), (1, "")] {
            out.push_str(before);
            out.push(char::from(b'0' + u8::try_from(millis / divisor % 10).unwrap_or_default()));
        }
        out.push('Z');
    }
}

/// A second without its `Z`.
fn format(second: u64) -> String {
    let time =
        i64::try_from(second).ok().and_then(|it| OffsetDateTime::from_unix_timestamp(it).ok());
    let text = time.and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_default();
    text.trim_end_matches('Z').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339_with_milliseconds() {
        assert_eq!(format(0), "1970-01-01T00:00:00");
        let mut text = String::new();
        Clock::default().write(&mut text);
        assert_eq!(text.len(), "2026-11-24T12:00:00.123Z".len(), "{text}");
    }
}
