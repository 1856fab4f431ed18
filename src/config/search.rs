//! Whose search lists are gone through: `--dns-search`.

use std::sync::Arc;

use super::layers::Layers;
use super::parse;
use super::upstreams::{DnsListeners, resolv_conf};
use crate::compile::Settings;

/// What hosts add to the search lists of their Pods; `None`: off. Domains of the cluster are in
/// every list already.
pub(super) fn domains(
    layers: &mut Layers,
    listen: DnsListeners,
    settings: &Settings,
) -> Option<Arc<[Arc<str>]>> {
    let given = layers.many("dns-search", vec![Search::Off], search);
    let is_off = given.contains(&Search::Off);
    if is_off && given.len() > 1 {
        layers.conflict("dns-search", "off does not go with others");
    }
    if is_off || given.is_empty() {
        return None;
    }
    let domain = &*settings.cluster_domain;
    let mut domains: Vec<Arc<str>> = Vec::new();
    for each in given {
        let more = match each {
            Search::Domain(domain) => vec![domain],
            // without a DNS listener nobody asks, and the file is of no interest
            Search::On if listen.addresses().next().is_some() => searched(&resolv_conf()),
            Search::On | Search::Off => Vec::new(),
        };
        domains.extend(more);
    }
    let mut unique: Vec<Arc<str>> = Vec::new();
    for found in domains {
        let is_in_cluster =
            found.strip_suffix(domain).is_some_and(|it| it.is_empty() || it.ends_with('.'));
        if !is_in_cluster && !unique.contains(&found) {
            unique.push(found);
        }
    }
    Some(unique.into())
}

/// One value of the option.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Search {
    Off,
    On,
    Domain(Arc<str>),
}

fn search(text: &str) -> Result<Search, String> {
    match text {
        "off" => Ok(Search::Off),
        "on" => Ok(Search::On),
        _ => parse::search_domain(text).map(Search::Domain),
    }
}

/// The domains of the last `search` line (resolv.conf(5)), as kubelet takes them. What is no domain
/// is left out, as is `.`, which is the name itself.
fn searched(text: &str) -> Vec<Arc<str>> {
    let domains = |line: &str| {
        let mut words = line.split_whitespace();
        (words.next()? == "search").then(|| words.flat_map(parse::search_domain).collect())
    };
    text.lines().rev().find_map(domains).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::{Args, Config};
    use super::*;

    fn config(given: &[&str]) -> Result<Option<Vec<String>>, Vec<String>> {
        let args = Args {
            dns_search: given.iter().map(|text| (*text).into()).collect(),
            ..Args::default()
        };
        let config = Config::new(&args).map_err(|error| error.problems)?;
        let domains = config.settings.dns_search;
        Ok(domains.map(|domains| domains.iter().map(|domain| domain.to_string()).collect()))
    }

    #[test]
    fn search_lists_are_left_alone_unless_it_is_asked_for() {
        assert_eq!(config(&[]), Ok(None));
        assert_eq!(config(&["off"]), Ok(None));
        assert!(config(&["on"]).expect("good").is_some());
    }

    #[test]
    fn domains_of_hosts_are_those_outside_of_the_cluster_each_once() {
        let given = ["Corp.Example.", "svc.cluster.local", "cluster.local", "corp.example", "_a.b"];
        assert_eq!(config(&given), Ok(Some(vec!["corp.example".into(), "_a.b".into()])));
        assert_eq!(config(&["xcluster.local"]), Ok(Some(vec!["xcluster.local".into()])));
        assert_eq!(config(&["cluster.local"]), Ok(Some(vec![])));
    }

    #[test]
    fn what_cannot_be_searched_is_a_problem() {
        let told = config(&["off", "corp.example"]).expect_err("it must be refused");
        assert_eq!(told, ["--dns-search: off does not go with others"]);
        let told = config(&["a..b"]).expect_err("it must be refused");
        assert_eq!(told, ["--dns-search: \"a..b\" is not on, off or a domain name"]);
    }

    #[test]
    fn resolv_conf_is_read_as_by_kubelet() {
        let text = "nameserver 10.0.0.1\nsearch old.example\ndomain no.example\n  search\tA.example. . \
                    x!y b_c.example\noptions ndots:5\n";
        let domains = searched(text);
        assert_eq!(
            domains.iter().map(|it| &**it).collect::<Vec<_>>(),
            ["a.example", "b_c.example"]
        );
        assert_eq!(searched("nameserver 10.0.0.1\n"), Vec::<Arc<str>>::new());
    }
}
