//! What the load balancer in front of the nodes asks for.

use crate::manifest::{ObjectKey, Origin};

/// The answer of a `healthCheckNodePort`: whether this node should get traffic of a Service with
/// `externalTrafficPolicy: Local`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// The Service.
    pub service: ObjectKey,
    /// How many pods of this node are ready, whatever their ports; terminating ones do not count.
    pub local_endpoints: usize,
    /// Where the Service is written.
    pub origin: Origin,
}
