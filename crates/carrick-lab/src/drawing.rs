//! A topology as a picture: locations, nodes, their roles and the planned tunnels.
//!
//! ```text
//! Topology ──plans──▶ NodePlan of each node ──diagram──▶ Diagram ──carrick-drawing──▶ SVG
//! ```
//!
//! The picture shows the plans that agents compute for nodes with the lab's addresses. No lab is brought up for it.

mod diagram;
mod plans;

use anyhow::Result;

use crate::topology::Topology;

/// Draws a topology as a static SVG image with a background. The same topology gives the same text.
///
/// # Errors
/// The topology has more locations or nodes than the lab has addresses for.
pub fn draw(topology: &Topology) -> Result<String> {
    let plans = plans::plans(topology)?;
    Ok(carrick_drawing::draw(&diagram::diagram(topology, &plans)))
}
