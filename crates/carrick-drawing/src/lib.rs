//! A mesh as a picture, without an external program.
//!
//! ```text
//! Diagram ──layout──▶ where everything stands ──svg──▶ text
//! ```
//!
//! The lab draws what agents would decide, `carrickctl graph` what they have decided and how it fares.
#![forbid(unsafe_code)]

mod diagram;
mod layout;
mod svg;

pub use diagram::{
    Condition, Diagram, InnerNetwork, LocationBox, NatKind, NodeBox, NodePair, TunnelKind, TunnelLine, node_pair,
};

/// Draws a diagram as a static SVG image with a background of its own, the same text each time.
#[must_use]
pub fn draw(diagram: &Diagram) -> String {
    svg::write(&layout::Layout::new(diagram))
}
