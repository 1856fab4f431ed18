//! UDP flows (placeholder until merged).
