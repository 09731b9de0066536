//! A mesh as a picture, without an external program.
//!
//! ```text
//! Diagram ──arrangement──▶ where everything stands ──svg──▶ text
//! ```
//!
//! The lab draws what agents would decide, `carrickctl graph` what they have decided and how it fares.
#![forbid(unsafe_code)]

mod arrangement;
mod diagram;
mod svg;

pub use diagram::{Card, Condition, Diagram, Group, Inside, Line, Pair, Surroundings, Tunnel, pair};

/// Draws a diagram as a static SVG image with a background of its own, the same text each time.
#[must_use]
pub fn draw(diagram: &Diagram) -> String {
    svg::write(&arrangement::Arrangement::new(diagram))
}
