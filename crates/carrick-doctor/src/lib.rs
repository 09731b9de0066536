//! Finds faults in a mesh from the pages of its agents.
//!
//! [`diagnose`] is a pure function from [`Observations`] to [`Finding`]s. It gives one or more findings for each [`Check`], in the order of
//! [`Check::ALL`]. A check of a node reads the pages of that node. A check of the mesh combines the pages of all nodes.
//!
//! # Example
//!
//! The agent of one node does not answer, and the other one reports that its kernel does not forward IPv4:
//!
//! ```
//! use carrick_doctor::{Agent, Check, Observations, Pages, Severity, diagnose, worst};
//! use carrick_status::{ChecksPage, StatusPage};
//! use carrick_topology::Family;
//!
//! let status = StatusPage { ready: true, api: carrick_status::ApiConnection::Synced, ..StatusPage::default() };
//! let checks = ChecksPage { forwarding_off: [Family::V4].into(), ..ChecksPage::default() };
//! let pages = Pages { status, checks: Some(checks), ..Pages::default() };
//! let mut observations = Observations::default();
//! observations.agents.insert("a1".parse()?, Agent::Answered(Box::new(pages)));
//! observations.agents.insert("b1".parse()?, Agent::Unreachable("no answer within 2 s".to_owned()));
//!
//! let findings = diagnose(&observations);
//! let problems: Vec<_> = findings.iter().filter(|finding| finding.severity == Severity::Problem).collect();
//! assert_eq!(problems.iter().map(|finding| finding.check).collect::<Vec<_>>(), [Check::AgentReachable, Check::IpForwarding]);
//! assert!(problems[1].remedy.contains("sysctl -w net.ipv4.ip_forward=1"));
//! assert_eq!(worst(&findings), Severity::Problem);
//! // A check without a fault has one finding that says so.
//! assert!(findings.iter().any(|finding| finding.check == Check::Clock && finding.severity == Severity::Ok));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

mod check;
mod diagnosis;
mod finding;
#[cfg(test)]
mod fixtures;
mod mesh;
mod node;
mod observations;

pub use check::Check;
pub use diagnosis::{concerning, diagnose};
pub use finding::{Finding, Severity, worst};
pub use mesh::needs_second_sample;
pub use observations::{Agent, Observations, Pages, TimeRange};
