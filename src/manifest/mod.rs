//! The objects as users write them.
//!
//! In: text of manifests (through [`yaml`]) or watch events of an API server, both decoded by
//! serde. Out: [`Object`]s with the names and shapes of the Kubernetes API. Called by `source`,
//! kept by `store`, read by `compile`.
//!
//! Invariant: this folder depends on serde and the YAML crate only; it opens no file.
//! Invariant: decoding is tolerant. Enumerations are open (a value that is not known is kept as
//! text), `null` means absent, defaults of the API server are applied here, and whether a value
//! makes sense is decided by `compile`, which can say so at file, line and column.
//! Deliberately absent: what a Service *means* (that is `compile`).

pub mod core;
pub mod corefile;
pub mod document;
pub mod endpoints;
pub mod finding;
pub mod gateway;
pub mod ingress;
pub mod meta;
pub mod pod;
pub mod pool;
pub mod service;
pub mod similar;
pub mod yaml;

mod decode;
mod identity;
mod labels;
mod mistake;
mod node;
mod object;
mod shared;
mod unread;

#[cfg(test)]
pub(crate) mod fuzz_tests;

pub use decode::is_subdomain;
pub use finding::{Code, Finding, Severity, Span};
pub use labels::Labels;
pub use meta::{Metadata, ObjectKey};
pub use object::{Kind, Object, ObjectRef, Origin};
