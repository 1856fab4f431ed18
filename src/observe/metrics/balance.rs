//! What is counted of endpoints that fail.

use std::collections::BTreeMap;

use prometheus_client::encoding::DescriptorEncoder;

use super::{Encoded, Labels, counters};
use crate::observe::shard::Shard;

pub(super) fn encode(counted: &Shard, encoder: &mut DescriptorEncoder<'_>) -> Encoded {
    let ejections: BTreeMap<_, _> = counted.ejections.iter().collect();
    let series = ejections.into_iter().map(|((backend, cause), count)| {
        let labels: Labels<'_> = vec![
            ("service", backend.service.to_string()),
            ("port", backend.port.to_string()),
            ("cause", (*cause).to_owned()),
        ];
        (labels, *count)
    });
    let help = "Times that a worker began to pass over an endpoint that failed";
    counters(encoder, "rutter_endpoint_ejections", help, None, series)?;
    let checks: BTreeMap<_, _> = counted.checks.iter().collect();
    let series = checks.into_iter().map(|((backend, is_passed), count)| {
        let labels: Labels<'_> = vec![
            ("service", backend.service.to_string()),
            ("port", backend.port.to_string()),
            ("result", if *is_passed { "passed" } else { "failed" }.to_owned()),
        ];
        (labels, *count)
    });
    counters(encoder, "rutter_endpoint_checks", "Health checks of endpoints", None, series)
}
