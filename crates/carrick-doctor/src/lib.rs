//! What is wrong with a mesh, judged from what its agents tell of themselves.
//!
//! [`diagnose`] is a pure function from [`Observations`] to [`Finding`]s: one or more for each [`Check`], in the checks' order. A check of
//! one node looks at its pages; a check of the mesh joins the pages of all.

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
