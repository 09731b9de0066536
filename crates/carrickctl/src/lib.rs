//! The command-line tool `carrickctl`: shows the state of every agent, what it measures, and what is wrong.
//!
//! ```text
//! command line ──cli──▶ Access ──snapshot──▶ Snapshot ──status, peers, …──▶ View ──output──▶ table, JSON, YAML
//! ```
//!
//! A command is a pure function from a [`snapshot::Snapshot`] to an [`output::View`]. Only [`access`], [`bundle`], [`dashboard`] and [`nodes`] do I/O.
#![forbid(unsafe_code)]

pub mod access;
pub mod bundle;
pub mod cli;
pub mod cluster_plan;
pub mod connectivity;
pub mod dashboard;
pub mod doctor;
pub mod dry_run;
pub mod exit;
pub mod failure;
pub mod fetch_error;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod gateway;
mod graph;
pub mod health;
pub mod latency;
pub mod nodes;
pub mod output;
pub mod peers;
pub mod routes;
pub mod snapshot;
pub mod status;
pub mod trace;
pub mod traffic;
pub mod wait;

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod views;
