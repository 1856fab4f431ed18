//! What was asked for on the command line.

use crate::Outcome;

pub struct Options {
    /// Parts to run, in this order.
    pub parts: Vec<String>,
    pub rounds: usize,
    pub seconds: u32,
    /// Little of everything, for the tests.
    pub is_quick: bool,
    pub min_ratio: Option<f64>,
    /// The binary to measure.
    pub rutter: String,
    /// This process is a part of another's load: see [`crate::overload::be_load`].
    pub load: Option<Vec<String>>,
}

impl Options {
    pub fn from_args() -> Outcome<Self> {
        let mut options = Self {
            parts: Vec::new(),
            rounds: 0,
            seconds: 0,
            is_quick: false,
            min_ratio: None,
            rutter: RUTTER.to_owned(),
            load: None,
        };
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
            match arg.as_str() {
                // from cargo
                "--bench" => {}
                "--quick" => options.is_quick = true,
                "--rounds" => options.rounds = value()?.parse()?,
                "--seconds" => options.seconds = value()?.parse()?,
                "--min-ratio" => options.min_ratio = Some(value()?.parse()?),
                "--rutter" => options.rutter = value()?,
                "load" => {
                    options.load = Some(args.collect());
                    break;
                }
                part => options.parts.push(part.to_owned()),
            }
        }
        options.fill_in();
        Ok(options)
    }

    /// What a figure may be at most. The tests run a little of everything to see that it works, on
    /// whatever machine: they hold it to ten times as much.
    pub fn most(&self, limit: f64) -> f64 {
        if self.is_quick { limit * 10.0 } else { limit }
    }

    fn fill_in(&mut self) {
        let (rounds, seconds) = if self.is_quick { (1, 1) } else { (5, 4) };
        if self.rounds == 0 {
            self.rounds = rounds;
        }
        if self.seconds == 0 {
            self.seconds = seconds;
        }
        if self.parts.is_empty() {
            let parts = if self.is_quick { ALONE.as_slice() } else { ALL.as_slice() };
            self.parts = parts.iter().map(|part| (*part).to_owned()).collect();
        }
    }
}

const RUTTER: &str = env!("CARGO_BIN_EXE_rutter");
const ALL: [&str; 7] = ["udp", "tcp", "forwarded", "memory", "change", "upstreams", "overload"];
/// Those that need nothing but two CPUs.
const ALONE: [&str; 2] = ["change", "upstreams"];
