//! Where addresses of load balancers are announced: `--announce`.

use std::sync::Arc;

use super::layers::Layers;

/// On which interfaces addresses of load balancers are announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Announce {
    /// On none.
    Off,
    /// On every one that has neighbours, those that come later too.
    All,
    /// On those of these names, while they are there.
    On(Vec<Arc<str>>),
}

pub(super) fn announce(layers: &mut Layers) -> Announce {
    let given = layers.many("announce", vec!["off".into()], interface);
    let is_said = |word: &str| given.iter().any(|it| &**it == word);
    if let Some(word) = ["off", "all"].into_iter().find(|word| is_said(word) && given.len() > 1) {
        layers.conflict("announce", &format!("{word} does not go with others"));
    }
    match () {
        () if given.is_empty() || is_said("off") => Announce::Off,
        () if is_said("all") => Announce::All,
        () => Announce::On(given),
    }
}

/// What the kernel takes for a name of an interface (`dev_valid_name`).
fn interface(text: &str) -> Result<Arc<str>, String> {
    let is_plain = |char: char| !char.is_whitespace() && !['/', ':'].contains(&char);
    let is_name = (1..=15).contains(&text.len()) && ![".", ".."].contains(&text);
    if is_name && text.chars().all(is_plain) {
        return Ok(text.into());
    }
    Err(format!("{text:?} is no name of an interface, such as eth0, and neither off nor all"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Args, Config};

    fn of(words: &[&str]) -> Result<Announce, Vec<String>> {
        let announce = words.iter().map(|it| (*it).to_owned()).collect();
        let config = Config::new(&Args { announce, ..Args::default() });
        let config = config.map_err(|error| error.problems)?;
        assert_eq!(config.settings.announce, config.announce != Announce::Off, "{words:?}");
        Ok(config.announce)
    }

    #[test]
    fn nothing_is_announced_unless_interfaces_are_named() {
        assert_eq!(of(&[]), Ok(Announce::Off));
        assert_eq!(of(&["off"]), Ok(Announce::Off));
        assert_eq!(of(&["all"]), Ok(Announce::All));
        assert_eq!(of(&["eth0", "eth1.7"]), Ok(Announce::On(vec!["eth0".into(), "eth1.7".into()])));
    }

    #[test]
    fn what_is_no_interface_is_refused() {
        let no = |text: &str| {
            let expected = "is no name of an interface, such as eth0, and neither off nor all";
            Err(vec![format!("--announce: {text:?} {expected}")])
        };
        for text in ["", "eth 0", "a/b", "..", "sixteen-letters-", "eth0:1"] {
            assert_eq!(of(&[text]), no(text));
        }
        let conflict =
            |word: &str| Err(vec![format!("--announce: {word} does not go with others")]);
        assert_eq!(of(&["all", "eth0"]), conflict("all"));
        assert_eq!(of(&["eth0", "off"]), conflict("off"));
    }
}
