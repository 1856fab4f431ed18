//! Label selectors as one line (`app=web,tier in (a, b),!canary`).

use crate::manifest::meta::LabelRequirement;

/// Reads a selector; the error is a clause about the part that is none.
pub(super) fn parse(text: &str) -> Result<Vec<LabelRequirement>, String> {
    let parts = split(text);
    parts.into_iter().map(|part| requirement(part.trim())).collect()
}

/// At the commas outside of parentheses.
fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut depth) = (0, 0u32);
    for (at, char) in text.char_indices() {
        match char {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.extend(text.get(start..at));
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.extend(text.get(start..));
    parts
}

fn requirement(part: &str) -> Result<LabelRequirement, String> {
    let wrong = || format!("{part:?} selects no labels");
    let made = |key: &str, operator: &str, values: Vec<&str>| {
        let is_key = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
        let key = key.trim();
        if key.is_empty() || !key.bytes().all(is_key) {
            return Err(wrong());
        }
        let values = values.into_iter().map(|value| value.trim().into()).collect();
        Ok(LabelRequirement { key: key.into(), operator: operator.into(), values })
    };
    if let Some(list) = part.strip_suffix(')') {
        let (head, list) = list.split_once('(').ok_or_else(wrong)?;
        let mut words = head.split_whitespace();
        let (key, operator) = (words.next(), words.next());
        let operator = match operator {
            Some("in") => "In",
            Some("notin") => "NotIn",
            Some(_) | None => return Err(wrong()),
        };
        return made(key.unwrap_or_default(), operator, list.split(',').collect());
    }
    if let Some((key, value)) = part.split_once("!=") {
        return made(key, "NotIn", vec![value]);
    }
    if let Some((key, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
        return made(key, "In", vec![value]);
    }
    match part.strip_prefix('!') {
        Some(key) => made(key, "DoesNotExist", Vec::new()),
        None => made(part, "Exists", Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_read_as_by_kubectl() {
        let shown = |text: &str| {
            let all = parse(text)?;
            let one = |it: &LabelRequirement| {
                format!("{} {} {}", it.key, it.operator, it.values.join("|"))
            };
            Ok::<_, String>(all.iter().map(one).map(|it| it.trim().to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(
            shown("environment in (production, qa),app=nginx, a/b != c,!x,y, z notin (1)"),
            Ok([
                "environment In production|qa",
                "app In nginx",
                "a/b NotIn c",
                "x DoesNotExist",
                "y Exists",
                "z NotIn 1"
            ]
            .map(str::to_owned)
            .to_vec())
        );
        for text in ["", "a,", "a b", "a of (b)", "in (b)", "a (b)"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
