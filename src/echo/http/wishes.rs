//! What the query string asks of the answer.

use std::str::FromStr;
use std::time::Duration;

use hyper::StatusCode;
use thiserror::Error;

/// The wishes of one request: `?delay=TIME&size=BYTES&status=CODE&close&count=N&interval=TIME`.
/// Other parameters mean nothing. A time is a number of milliseconds, or has a unit: `ms`, `s`,
/// `m`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wishes {
    /// Wait before the head.
    pub(super) delay: Duration,
    /// A body of that many bytes, whatever the path.
    pub(super) size: Option<u64>,
    /// A status other than 200.
    pub(super) status: Option<StatusCode>,
    /// End the connection after the answer (HTTP/1.1).
    pub(super) close: bool,
    /// How many chunks or events.
    pub(super) count: Option<u64>,
    /// Time between chunks or events.
    pub(super) interval: Option<Duration>,
}

/// A parameter with a value that it cannot have.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{name}={value:?}: {expected}")]
pub(super) struct BadWish {
    name: String,
    value: String,
    expected: &'static str,
}

impl Wishes {
    pub(super) fn parse(query: &str) -> Result<Self, BadWish> {
        let mut wishes = Self::default();
        for parameter in query.split('&') {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            wishes.set(name, value).map_err(|expected| BadWish {
                name: name.to_owned(),
                value: value.to_owned(),
                expected,
            })?;
        }
        Ok(wishes)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), &'static str> {
        match name {
            "delay" => self.delay = time(value)?,
            "size" => self.size = Some(number(value)?),
            "status" => self.status = Some(status(value)?),
            "close" => self.close = true,
            "count" => self.count = Some(number(value)?),
            "interval" => self.interval = Some(time(value)?),
            _ => {}
        }
        Ok(())
    }
}

fn number<T: FromStr>(value: &str) -> Result<T, &'static str> {
    value.parse().map_err(|_| "a whole number is expected")
}

/// A number of milliseconds, or of the unit that it names.
pub(super) fn time(value: &str) -> Result<Duration, &'static str> {
    let unit = value.trim_start_matches(|char: char| char.is_ascii_digit() || char == '.');
    let count = value.strip_suffix(unit).unwrap_or_default();
    let milliseconds = match unit {
        "" => return number(value).map(Duration::from_millis),
        "ms" => 1.0,
        "s" => 1_000.0,
        "m" => 60_000.0,
        _ => return Err("a time is expected: 100, 100ms, 1.5s or 1m"),
    };
    let seconds = number::<f64>(count)? * milliseconds / 1_000.0;
    Duration::try_from_secs_f64(seconds).map_err(|_| "a shorter time is expected")
}

/// 1xx is no answer, and above 599 there is no class.
fn status(value: &str) -> Result<StatusCode, &'static str> {
    let code = number(value)?;
    StatusCode::from_u16(code)
        .ok()
        .filter(|_| (200..600).contains(&code))
        .ok_or("a status from 200 to 599 is expected")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_says_how_to_answer() {
        let wishes = Wishes::parse("x=1&delay=20&size=7&status=503&close&count=2&interval=5");
        let expected = Wishes {
            delay: Duration::from_millis(20),
            size: Some(7),
            status: Some(StatusCode::SERVICE_UNAVAILABLE),
            close: true,
            count: Some(2),
            interval: Some(Duration::from_millis(5)),
        };
        assert_eq!(wishes, Ok(expected));
        assert_eq!(Wishes::parse(""), Ok(Wishes::default()));
    }

    #[test]
    fn times_may_have_a_unit() {
        for (value, milliseconds) in
            [("7", 7), ("7ms", 7), ("1s", 1_000), ("1.5s", 1_500), ("2m", 120_000), ("0s", 0)]
        {
            assert_eq!(time(value), Ok(Duration::from_millis(milliseconds)), "{value}");
        }
        for value in ["s", "1.5", "-1s", "1h", "1e9s", "99999999999999999999999s"] {
            time(value).expect_err(value);
        }
    }

    #[test]
    fn a_value_that_makes_no_sense_is_refused_by_name() {
        for query in ["delay=soon", "size=-1", "status=101", "status=1000", "status=", "count=x"] {
            let refused = Wishes::parse(query).expect_err(query).to_string();
            let name = query.split('=').next().unwrap_or_default();
            assert!(refused.starts_with(name), "{refused}");
        }
    }
}
