//! A topology as a picture: locations, nodes, their roles and the tunnels that the plan wants.
//!
//! ```text
//! Topology ──plans──▶ NodePlan of each node ──diagram──▶ what is shown ──carrick-drawing──▶ text
//! ```
//!
//! Nothing is brought up for it. The picture shows what the agents would decide on nodes with the lab's numbers.

mod diagram;
mod plans;

use anyhow::Result;

use crate::topology::Topology;

/// Draws a topology as a static SVG image with a background of its own, the same text each time.
///
/// # Errors
/// The topology does not fit the lab's numbers.
pub fn draw(topology: &Topology) -> Result<String> {
    let plans = plans::plans(topology)?;
    Ok(carrick_drawing::draw(&diagram::diagram(topology, &plans)))
}
