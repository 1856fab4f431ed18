//! What a Service says about the traffic to one of its addresses.

use std::time::Duration;

/// Who goes where behind an address of a Service. The default says nothing: everybody may go
/// anywhere, each time anew.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// A client stays with its endpoint until it has made no connection for so long
    /// (`sessionAffinity: ClientIP`).
    pub affinity: Option<Duration>,
}
