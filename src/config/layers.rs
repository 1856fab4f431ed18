//! Command line over file over defaults, and the list of what is wrong.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::{Args, ConfigError};
use crate::manifest::similar::closest;
use crate::manifest::yaml;

/// The texts of every option that was given, and the problems found so far.
#[derive(Debug)]
pub(super) struct Layers {
    given: BTreeMap<String, Given>,
    problems: Vec<String>,
}

/// What was given for one option, and how to name the place: `--http-port`, `rutter.yaml: http-port`.
#[derive(Debug)]
struct Given {
    texts: Vec<String>,
    place: String,
}

impl Layers {
    /// Collects the command line and, below it, the file of `--config`.
    pub(super) fn read(args: &Args) -> Self {
        let mut layers = Self { given: BTreeMap::new(), problems: Vec::new() };
        let values = args.values();
        if let Some(path) = &args.config {
            let known: Vec<_> = values.iter().map(|(name, _)| *name).collect();
            layers.read_file(path, &known);
        }
        for (name, texts) in values {
            if !texts.is_empty() {
                let place = format!("--{name}");
                layers.given.insert(name.to_owned(), Given { texts, place });
            }
        }
        layers
    }

    fn read_file(&mut self, path: &Path, known: &[&str]) {
        let file = path.display();
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => return self.problem(format!("--config: cannot read {file}: {error}")),
        };
        let options = match yaml::mapping(&text) {
            Ok(options) => options,
            Err(error) => return self.problem(format!("{file}: {error}")),
        };
        for (name, value) in options {
            let place = format!("{file}: {name}");
            if !known.contains(&name.as_str()) {
                let meant = closest(&name, known.iter().copied());
                let hint = meant.map(|meant| format!("; did you mean {meant}?"));
                self.problem(format!("{place}: no such option{}", hint.unwrap_or_default()));
            } else if let Some(texts) = assignments(&name, &value).or_else(|| texts(&value)) {
                self.given.insert(name, Given { texts, place });
            } else {
                self.problem(format!("{place}: must be a text, a number or a list of them"));
            }
        }
    }

    pub(super) fn problem(&mut self, problem: String) {
        self.problems.push(problem);
    }

    /// A value that is good as such, but not beside that of another option.
    pub(super) fn conflict(&mut self, name: &str, problem: &str) {
        let place = self.given.get(name).map(|given| given.place.clone());
        let place = place.unwrap_or_else(|| format!("--{name}"));
        self.problem(format!("{place}: {problem}"));
    }

    /// Whether the option was given at all.
    pub(super) fn is_given(&self, name: &str) -> bool {
        self.given.contains_key(name)
    }

    /// The texts of an option, unchecked.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.given.get(name).into_iter().flat_map(|given| &given.texts).map(String::as_str)
    }

    /// The value of an option that takes one: the last text wins. A problem yields the default,
    /// so that the other options can be checked too.
    pub(super) fn one<T>(
        &mut self,
        name: &str,
        default: T,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> T {
        self.optional(name, parse).unwrap_or(default)
    }

    /// The value of an option that has no default.
    pub(super) fn optional<T>(
        &mut self,
        name: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let given = self.given.get(name)?;
        let parsed = parse(given.texts.last()?);
        let problem = match parsed {
            Ok(value) => return Some(value),
            Err(problem) => format!("{}: {problem}", given.place),
        };
        self.problem(problem);
        None
    }

    /// The values of an option that may repeat.
    pub(super) fn many<T>(
        &mut self,
        name: &str,
        default: Vec<T>,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        let Some(given) = self.given.get(name) else {
            return default;
        };
        let (mut values, mut problems) = (Vec::new(), Vec::new());
        for text in &given.texts {
            match parse(text) {
                Ok(value) => values.push(value),
                Err(problem) => problems.push(format!("{}: {problem}", given.place)),
            }
        }
        self.problems.append(&mut problems);
        values
    }

    /// All problems, if there are any.
    pub(super) fn finish(self) -> Result<(), ConfigError> {
        if self.problems.is_empty() {
            return Ok(());
        }
        Err(ConfigError { problems: self.problems })
    }
}

/// The limits of a map, as the command line has them.
fn assignments(name: &str, value: &Value) -> Option<Vec<String>> {
    let map = value.as_object().filter(|_| name == "limit")?;
    let one = |(name, value)| Some(format!("{name}={}", texts(value)?.concat()));
    map.iter().map(one).collect()
}

/// A value of the file as texts: `8080`, `off`, `false` (which YAML makes of an unquoted `off`),
/// or a list.
fn texts(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(text) => Some(vec![text.clone()]),
        Value::Number(number) => Some(vec![number.to_string()]),
        Value::Bool(false) => Some(vec!["off".to_owned()]),
        Value::Array(values) => {
            values.iter().map(texts).collect::<Option<Vec<_>>>().map(|lists| lists.concat())
        }
        Value::Null | Value::Bool(true) | Value::Object(_) => None,
    }
}
