//! `--limit NAME=VALUE`: every limit of the HTTP plane by its name.

mod table;

use std::time::Duration;

use super::layers::Layers;
use super::parse;
use crate::manifest::similar::closest;
use crate::plane::{Cap, Limits};

pub use table::LIMITS;

/// A limit as options, `rutter limits` and the metric `rutter_limit` know it.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// The field of [`Limits`], in kebab case.
    pub name: &'static str,
    /// What it limits.
    pub help: &'static str,
    field: Field,
}

/// Where it is kept, and of which kind it is.
#[derive(Clone, Copy, Debug)]
enum Field {
    Time(fn(&mut Limits) -> &mut Duration),
    TimeOrOff(fn(&mut Limits) -> &mut Option<Duration>),
    Bytes(fn(&mut Limits) -> &mut usize),
    Window(fn(&mut Limits) -> &mut u32),
    Count(fn(&mut Limits) -> &mut usize),
    /// At least one, at most so many.
    CountWithin(fn(&mut Limits) -> &mut usize, usize),
    Streams(fn(&mut Limits) -> &mut u32),
    CountCap(fn(&mut Limits) -> &mut Cap),
    BytesCap(fn(&mut Limits) -> &mut Cap),
    Percent(fn(&mut Limits) -> &mut u32),
}

impl Limit {
    /// Which values it takes.
    pub fn values(&self) -> &'static str {
        match self.field {
            Field::Time(_) => "DURATION",
            Field::TimeOrOff(_) => "DURATION|off",
            Field::Bytes(_) | Field::Window(_) => "BYTES",
            Field::Count(_) | Field::CountWithin(..) | Field::Streams(_) => "N",
            Field::CountCap(_) => "N|auto|off",
            Field::BytesCap(_) => "BYTES|auto|off",
            Field::Percent(_) => "PERCENT",
        }
    }

    /// What it is, as it would be written.
    pub fn text(&self, limits: &Limits) -> String {
        let limits = &mut limits.clone();
        match self.field {
            Field::Time(field) => time_text(*field(limits)),
            Field::TimeOrOff(field) => field(limits).map_or_else(|| "off".to_owned(), time_text),
            Field::Bytes(field) => bytes_text(*field(limits)),
            Field::Window(field) => bytes_text(usize::try_from(*field(limits)).unwrap_or_default()),
            Field::Count(field) | Field::CountWithin(field, _) => field(limits).to_string(),
            Field::Streams(field) => field(limits).to_string(),
            Field::CountCap(field) => cap_text(*field(limits), |count| count.to_string()),
            Field::BytesCap(field) => cap_text(*field(limits), bytes_text),
            Field::Percent(field) => format!("{}%", field(limits)),
        }
    }

    /// What it is in seconds, bytes, percent or by count; without a limit it is infinite.
    pub fn number(&self, limits: &Limits) -> f64 {
        let limits = &mut limits.clone();
        match self.field {
            Field::Time(field) => field(limits).as_secs_f64(),
            Field::TimeOrOff(field) => field(limits).map_or(f64::INFINITY, |it| it.as_secs_f64()),
            Field::Bytes(field) | Field::Count(field) | Field::CountWithin(field, _) => {
                *field(limits) as f64
            }
            Field::Window(field) | Field::Streams(field) | Field::Percent(field) => {
                f64::from(*field(limits))
            }
            Field::CountCap(field) | Field::BytesCap(field) => match field(limits).or(usize::MAX) {
                usize::MAX => f64::INFINITY,
                most => most as f64,
            },
        }
    }

    fn set(&self, limits: &mut Limits, text: &str) -> Result<(), String> {
        match self.field {
            Field::Time(field) => *field(limits) = time(text)?,
            Field::TimeOrOff(field) => {
                *field(limits) = if text == "off" { None } else { Some(time(text)?) };
            }
            Field::Bytes(field) => *field(limits) = bytes(text)?,
            Field::Window(field) => *field(limits) = window(bytes(text)?, text)?,
            Field::Count(field) => *field(limits) = count(text)?,
            Field::CountWithin(field, most) => *field(limits) = count_within(text, most)?,
            Field::Streams(field) => *field(limits) = window(count(text)?, text)?,
            Field::CountCap(field) => *field(limits) = cap(text, count)?,
            Field::BytesCap(field) => *field(limits) = cap(text, bytes)?,
            Field::Percent(field) => *field(limits) = percent(text)?,
        }
        Ok(())
    }
}

/// The limits that the options ask for.
pub(super) fn limits(layers: &mut Layers) -> Limits {
    let mut limits = Limits::default();
    for (name, value) in layers.many("limit", Vec::new(), assignment) {
        if let Err(problem) = name.set(&mut limits, &value) {
            layers.conflict("limit", &format!("{}: {problem}", name.name));
        }
    }
    if !limits.thresholds().are_in_order() {
        layers.conflict(
            "limit",
            "memory-trim, memory-shed and memory-reset have to rise in this order",
        );
    }
    limits
}

/// `NAME=VALUE`, of a name that there is.
fn assignment(text: &str) -> Result<(Limit, String), String> {
    let (name, value) =
        text.split_once('=').ok_or_else(|| format!("{text:?} is not NAME=VALUE"))?;
    let name = name.trim();
    if let Some(limit) = LIMITS.iter().find(|limit| limit.name == name) {
        return Ok((*limit, value.trim().to_owned()));
    }
    let meant = closest(name, LIMITS.iter().map(|limit| limit.name));
    let hint = meant.map(|meant| format!("; did you mean {meant}?"));
    let hint = hint.unwrap_or_else(|| "; `rutter limits` prints them".to_owned());
    Err(format!("{name}: no such limit{hint}"))
}

fn time(text: &str) -> Result<Duration, String> {
    let time = parse::duration(text)?;
    let is_sane = (Duration::from_millis(1)..=YEAR).contains(&time);
    is_sane.then_some(time).ok_or_else(|| format!("{text:?} is not within 1ms and a year"))
}

fn count(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| format!("{text:?} is not a number"))
}

fn count_within(text: &str, most: usize) -> Result<usize, String> {
    let number = count(text)?;
    if (1..=most).contains(&number) {
        return Ok(number);
    }
    Err(format!("{text:?} is not within 1 and {most}"))
}

/// `32768`, `32Ki` or `32KiB`.
fn bytes(text: &str) -> Result<usize, String> {
    let wrong = || format!("{text:?} is not a number of bytes, such as 32768, 32KiB or 1MiB");
    let digits = text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: usize = number.parse().map_err(|_| wrong())?;
    let scale = UNITS.iter().find(|(name, _)| *name == unit.trim_end_matches('B'));
    scale.and_then(|(_, scale)| number.checked_mul(*scale)).ok_or_else(wrong)
}

/// What HTTP/2 can say: 31 bits, and not nothing.
fn window(number: usize, text: &str) -> Result<u32, String> {
    let number = u32::try_from(number).ok().filter(|it| (1..=u32::MAX >> 1).contains(it));
    number.ok_or_else(|| format!("{text:?} is not within 1 and 2147483647"))
}

/// `80%` or `80`.
fn percent(text: &str) -> Result<u32, String> {
    let number = text.trim_end_matches('%').parse().ok().filter(|it| (1..=100).contains(it));
    number.ok_or_else(|| format!("{text:?} is not within 1% and 100%"))
}

fn cap(text: &str, number: fn(&str) -> Result<usize, String>) -> Result<Cap, String> {
    match text {
        "auto" => Ok(Cap::Auto),
        "off" => Ok(Cap::Off),
        _ => match number(text) {
            Ok(1..) => number(text).map(Cap::At),
            Ok(_) => Err(format!("{text:?} leaves nothing: write off for no limit")),
            Err(problem) => Err(format!("{problem}, auto or off")),
        },
    }
}

fn time_text(time: Duration) -> String {
    let millis = time.as_millis();
    match (millis % 1000, millis / 1000) {
        (0, seconds) if seconds % 3600 == 0 => format!("{}h", seconds / 3600),
        (0, seconds) if seconds % 60 == 0 => format!("{}m", seconds / 60),
        (0, seconds) => format!("{seconds}s"),
        _ => format!("{millis}ms"),
    }
}

fn bytes_text(bytes: usize) -> String {
    let unit = UNITS.iter().rev().find(|(_, scale)| bytes.is_multiple_of(*scale) && bytes > 0);
    match unit {
        Some((name, scale)) if *scale > 1 => format!("{}{name}B", bytes / scale),
        _ => bytes.to_string(),
    }
}

fn cap_text(cap: Cap, number: fn(usize) -> String) -> String {
    match cap {
        Cap::Auto => "auto".to_owned(),
        Cap::Off => "off".to_owned(),
        Cap::At(most) => number(most),
    }
}

const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

const UNITS: [(&str, usize); 4] = [("", 1), ("Ki", 1 << 10), ("Mi", 1 << 20), ("Gi", 1 << 30)];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_has_a_name_and_is_read_as_it_is_written() {
        let default = Limits::default();
        let fields = format!("{default:#?}");
        let fields =
            fields.lines().filter(|line| line.starts_with("    ") && !line.starts_with("     "));
        let fields = fields.filter_map(|line| line.trim().split_once(": "));
        let mut fields: Vec<_> = fields.map(|(name, _)| name.replace('_', "-")).collect();
        let mut names: Vec<_> = LIMITS.iter().map(|limit| limit.name.to_owned()).collect();
        fields.sort();
        names.sort();
        assert_eq!(fields, names);
        for limit in LIMITS {
            let (text, mut read) = (limit.text(&default), Limits::default());
            assert_eq!(limit.set(&mut read, &text), Ok(()), "{}={text}", limit.name);
            assert_eq!(read, default, "{}={text}", limit.name);
        }
    }

    #[test]
    fn values_are_those_of_their_kind() {
        for (assigned, number) in [
            ("client-idle=90s", 90.0),
            ("client-age=off", f64::INFINITY),
            ("head-bytes=64KiB", 65_536.0),
            ("h2-stream-window=1Mi", 1_048_576.0),
            ("connections=off", f64::INFINITY),
            ("connections = 12", 12.0),
            ("memory=2GiB", 2_147_483_648.0),
            ("client-rate=0", 0.0),
            ("memory-trim=70%", 70.0),
            ("memory-shed=100", 100.0),
        ] {
            let (limit, value) = assignment(assigned).expect(assigned);
            let mut limits = Limits::default();
            assert_eq!(limit.set(&mut limits, &value), Ok(()), "{assigned}");
            assert_eq!(limit.number(&limits), number, "{assigned}");
        }
        for (assigned, problem) in [
            ("client-idle", "\"client-idle\" is not NAME=VALUE"),
            ("client-idel=1s", "client-idel: no such limit; did you mean client-idle?"),
            ("head-fields=513", "\"513\" is not within 1 and 512"),
            ("attempts=0", "\"0\" is not within 1 and 100"),
            ("fun=1", "fun: no such limit; `rutter limits` prints them"),
            ("client-idle=0s", "\"0s\" is not within 1ms and a year"),
            ("connections=0", "\"0\" leaves nothing: write off for no limit"),
            ("connections=many", "\"many\" is not a number, auto or off"),
            ("h2-stream-window=4GiB", "\"4GiB\" is not within 1 and 2147483647"),
            ("memory-reset=0%", "\"0%\" is not within 1% and 100%"),
            ("head-bytes=1KB2", "\"1KB2\" is not a number of bytes, such as 32768, 32KiB or 1MiB"),
        ] {
            let set = assignment(assigned)
                .and_then(|(limit, value)| limit.set(&mut Limits::default(), &value));
            assert_eq!(set, Err(problem.to_owned()), "{assigned}");
        }
    }
}
