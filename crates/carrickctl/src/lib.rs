//! The debug CLI `carrickctl`: what every agent holds, measures and cannot do, and why.
//!
//! ```text
//! command line ──cli──▶ Access ──survey──▶ Survey ──status, peers, …──▶ a View ──output──▶ table, JSON, YAML
//! ```
//!
//! Each command is a pure function from a [`survey::Survey`] to a [`output::View`]; only `access` does I/O.
#![forbid(unsafe_code)]

pub mod access;
pub mod cli;
pub mod exit;
pub mod failure;
pub mod health;
pub mod output;
pub mod status;
pub mod survey;
