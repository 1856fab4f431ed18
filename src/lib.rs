#![doc = include_str!("ARCHITECTURE.md")]

pub mod acme;
pub mod admin;
pub mod app;
pub mod balance;
pub mod cli;
pub mod compile;
pub mod config;
pub mod echo;
pub mod explain;
#[cfg(test)]
mod fuzz_tests;
pub mod life;
pub mod manifest;
pub mod net;
pub mod observe;
pub mod plane;
pub mod snapshot;
pub mod source;
pub mod store;
