//! Durations of GEP-2257: up to four numbers with `h`, `m`, `s` or `ms`.

use std::time::Duration;

/// `1h30m` and the like. `None`: it is not one.
pub(in crate::compile) fn parse(written: &str) -> Option<Duration> {
    let mut rest = written;
    let mut sum = Duration::ZERO;
    let mut parts = 0;
    while !rest.is_empty() {
        let digits = rest.find(|it: char| !it.is_ascii_digit())?;
        let (number, after) = rest.split_at_checked(digits)?;
        if number.is_empty() || number.len() > 5 {
            return None;
        }
        let end = after.find(|it: char| it.is_ascii_digit()).unwrap_or(after.len());
        let (unit, next) = after.split_at_checked(end)?;
        let number: u64 = number.parse().ok()?;
        sum += match unit {
            "h" => Duration::from_secs(number.checked_mul(3_600)?),
            "m" => Duration::from_secs(number.checked_mul(60)?),
            "s" => Duration::from_secs(number),
            "ms" => Duration::from_millis(number),
            _ => return None,
        };
        parts += 1;
        rest = next;
    }
    (1..=4).contains(&parts).then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_gep_2257_says() {
        let rows = [
            ("0s", Some(0)),
            ("10s", Some(10_000)),
            ("500ms", Some(500)),
            ("1h2m3s4ms", Some(3_723_004)),
            ("99999h", Some(359_996_400_000)),
            ("", None),
            ("10", None),
            ("s", None),
            ("1.5s", None),
            ("-1s", None),
            ("100000s", None),
            ("1us", None),
            ("1s1s1s1s1s", None),
            (" 1s", None),
        ];
        for (written, expected) in rows {
            assert_eq!(parse(written), expected.map(Duration::from_millis), "{written:?}");
        }
    }
}
