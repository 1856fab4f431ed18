//! Hosts by label and paths by element.

use crate::snapshot::MatchPath;

/// `example.com` for `shop.example.com`: what a wildcard of one label is looked up by. `None` if
/// nothing is left.
pub fn one_label_below(host: &str) -> Option<&str> {
    let (label, suffix) = host.split_once('.')?;
    (!label.is_empty() && !suffix.is_empty()).then_some(suffix)
}

/// Whether a path is among those of the match (networking.k8s.io/v1 path types).
pub fn path_matches(wanted: &MatchPath, path: &str) -> bool {
    match wanted {
        MatchPath::Exact(exact) => **exact == *path,
        MatchPath::Regex(pattern) => pattern.takes(path),
        MatchPath::Prefix(prefix) => path
            .strip_prefix(&**prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
        MatchPath::Fallback => true,
    }
}

/// The prefixes of a path that end before a `/` or at its end, longest first, none longer than
/// `longest`. `/a/b` gives `/a/b`, `/a` and the empty one, which stands for `/`.
pub(super) fn prefixes(path: &str, longest: usize) -> impl Iterator<Item = &str> {
    let mut next = Some(clip(path, longest));
    std::iter::from_fn(move || {
        let current = next?;
        next = current.rfind('/').and_then(|end| current.get(..end));
        Some(current)
    })
}

/// The longest candidate: the whole path, or what stands before the last `/` within reach.
fn clip(path: &str, longest: usize) -> &str {
    if path.len() <= longest {
        return path;
    }
    let reach = path.as_bytes().get(..=longest).unwrap_or_default();
    let end = reach.iter().rposition(|byte| *byte == b'/').unwrap_or_default();
    path.get(..end).unwrap_or_default()
}
