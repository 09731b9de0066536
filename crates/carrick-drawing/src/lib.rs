//! Draws a mesh as an SVG image, without an external program.
//!
//! ```text
//! Diagram ──layout──▶ positions of boxes and lines ──svg──▶ text
//! ```
//!
//! The lab draws the plans that agents would compute. `carrickctl graph` draws the plans in force and the condition of nodes and tunnels.
//!
//! # Example
//!
//! Two locations with one node each, and a broken tunnel between them:
//!
//! ```
//! use carrick_drawing::{
//!     Condition, Diagram, InnerNetwork, LocationBox, NatKind, NodeBox, TunnelKind, TunnelLine, draw, node_pair,
//! };
//!
//! let location = |name: &str, nat, node: &str| LocationBox {
//!     name: name.to_owned(),
//!     nat,
//!     inner_network: InnerNetwork::None,
//!     nodes: vec![NodeBox::of(node, None)],
//! };
//! let tunnel = TunnelLine {
//!     condition: Condition::Broken,
//!     label: "no handshake".to_owned(),
//!     ..TunnelLine::planned(TunnelKind::Active)
//! };
//! let diagram = Diagram {
//!     locations: vec![location("frankfurt", NatKind::Public, "f1"), location("office", NatKind::Nat, "o1")],
//!     tunnels: [(node_pair("f1", "o1"), tunnel)].into(),
//! };
//!
//! let svg = draw(&diagram);
//! assert!(svg.starts_with("<svg "));
//! assert!(svg.contains(">frankfurt<") && svg.contains(">behind NAT<"));
//! assert_eq!(svg.matches("<path class=\"broken\"").count(), 1);
//! assert!(svg.contains(">no handshake<"));
//! ```
#![forbid(unsafe_code)]

mod diagram;
mod layout;
mod svg;

pub use diagram::{
    Condition, Diagram, InnerNetwork, LocationBox, NatKind, NodeBox, NodePair, TunnelKind, TunnelLine, node_pair,
};

/// Draws a diagram as a static SVG image with an opaque background. Equal diagrams give equal text.
#[must_use]
pub fn draw(diagram: &Diagram) -> String {
    svg::write(&layout::Layout::new(diagram))
}
