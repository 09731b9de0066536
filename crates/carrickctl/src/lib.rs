//! The debug CLI `carrickctl`: what every agent holds, measures and cannot do, and why.
//!
//! ```text
//! command line ──cli──▶ Access ──survey──▶ Survey ──status, peers, …──▶ a View ──output──▶ table, JSON, YAML
//! ```
//!
//! Each command is a pure function from a [`survey::Survey`] to a [`output::View`]; only `access` does I/O.
#![forbid(unsafe_code)]

pub mod access;
pub mod blueprint;
pub mod bundle;
pub mod cli;
pub mod dashboard;
pub mod doctor;
pub mod dry_run;
pub mod exit;
pub mod failure;
pub mod graph;
pub mod health;
pub mod latency;
pub mod output;
pub mod peers;
pub mod routes;
pub mod status;
pub mod survey;
pub mod trace;
pub mod traffic;

#[cfg(test)]
mod made;
#[cfg(test)]
mod views;
