//! A topology as a picture: locations, nodes, their roles and the tunnels that the plan wants.
//!
//! ```text
//! Topology ──plans──▶ NodePlan of each node ──diagram──▶ what is shown ──arrangement──▶ where ──svg──▶ text
//! ```
//!
//! Nothing is brought up for it. The picture shows what the agents would decide on nodes with the lab's numbers.

mod arrangement;
mod diagram;
mod plans;
mod svg;

use anyhow::Result;

use crate::topology::Topology;

/// Draws a topology as a static SVG image with a background of its own, the same text each time.
///
/// # Errors
/// The topology does not fit the lab's numbers.
pub fn draw(topology: &Topology) -> Result<String> {
    let plans = plans::plans(topology)?;
    let diagram = diagram::Diagram::new(topology, &plans);
    Ok(svg::write(&arrangement::Arrangement::new(&diagram)))
}
