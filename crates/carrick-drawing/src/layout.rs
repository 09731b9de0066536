//! The positions of all boxes and lines.
//!
//! Locations are in an upper and a lower row with the internet between the rows. Nodes face the internet, and pods are on the other side.

use std::collections::BTreeMap;

use crate::diagram::{Diagram, LocationBox, NodeBox, TunnelLine};

// Sizes and distances in pixels.
pub(crate) const NODE_WIDTH: i32 = 150;
pub(crate) const NODE_HEIGHT: i32 = 68;
pub(crate) const POD_HEIGHT: i32 = 40;
pub(crate) const POD_WIDTH: i32 = 118;
const MIN_WIDTH: i32 = 900;
const MARGIN: i32 = 28;
const BETWEEN_NODES: i32 = 34;
const BETWEEN_LOCATIONS: i32 = 48;
const PADDING: i32 = 20;
const CAPTION_HEIGHT: i32 = 44;
const POD_LINK_HEIGHT: i32 = 18;
const LOCATION_HEIGHT: i32 = CAPTION_HEIGHT + POD_HEIGHT + POD_LINK_HEIGHT + NODE_HEIGHT + PADDING;
const INTERNET_HEIGHT: i32 = 170;
const LEGEND_HEIGHT: i32 = 58;

/// A point in pixels; y grows downwards.
pub(crate) type Point = (i32, i32);

/// A diagram with the positions of all its parts.
#[derive(Debug)]
pub(crate) struct Layout<'a> {
    pub(crate) width: i32,
    pub(crate) height: i32,
    /// The centre of the label `internet`.
    pub(crate) internet: Point,
    pub(crate) locations: Vec<PlacedLocation<'a>>,
    pub(crate) curves: Vec<Curve<'a>>,
    /// The centre of the legend.
    pub(crate) legend: Point,
}

/// A location and its upper left corner.
#[derive(Debug)]
pub(crate) struct PlacedLocation<'a> {
    pub(crate) location: &'a LocationBox,
    pub(crate) corner: Point,
    pub(crate) size: (i32, i32),
    /// The start of the caption.
    pub(crate) caption: Point,
    pub(crate) nodes: Vec<PlacedNode<'a>>,
}

/// A node, and the upper left corners of the node and of its pod.
#[derive(Debug)]
pub(crate) struct PlacedNode<'a> {
    pub(crate) node: &'a NodeBox,
    pub(crate) corner: Point,
    pub(crate) pod: Point,
}

/// A tunnel as a cubic Bézier curve: start, two control points, end.
#[derive(Debug)]
pub(crate) struct Curve<'a> {
    pub(crate) line: &'a TunnelLine,
    pub(crate) points: [Point; 4],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Row {
    Upper,
    Lower,
}

impl Curve<'_> {
    /// The point of the curve at t = 1/2 (de Casteljau's algorithm).
    pub(crate) fn middle(&self) -> Point {
        let [(x1, y1), (x2, y2), (x3, y3), (x4, y4)] = self.points;
        ((x1 + 3 * x2 + 3 * x3 + x4) / 8, (y1 + 3 * y2 + 3 * y3 + y4) / 8)
    }
}

impl<'a> Layout<'a> {
    /// Computes all positions. The wider row determines the width.
    pub(crate) fn new(diagram: &'a Diagram) -> Self {
        let (upper, lower) = diagram.locations.split_at(diagram.locations.len().div_ceil(2));
        let width = MIN_WIDTH.max(row_width(upper).max(row_width(lower)) + 2 * MARGIN);
        let internet_top = MARGIN + LOCATION_HEIGHT;
        let internet_bottom = internet_top + INTERNET_HEIGHT;
        let mut locations = place_row(upper, Row::Upper, width, MARGIN);
        locations.extend(place_row(lower, Row::Lower, width, internet_bottom));
        let bottom = if lower.is_empty() { internet_bottom } else { internet_bottom + LOCATION_HEIGHT };
        Self {
            width,
            height: bottom + LEGEND_HEIGHT,
            internet: (5 * MARGIN, internet_bottom - MARGIN),
            curves: curves(diagram, &locations, internet_top),
            locations,
            legend: (width / 2, bottom + LEGEND_HEIGHT / 2 + 2),
        }
    }
}

fn location_width(location: &LocationBox) -> i32 {
    let nodes = i32::try_from(location.nodes.len().max(1)).unwrap_or(1);
    nodes * NODE_WIDTH + (nodes - 1) * BETWEEN_NODES + 2 * PADDING
}

fn row_width(locations: &[LocationBox]) -> i32 {
    locations.iter().map(|location| location_width(location) + BETWEEN_LOCATIONS).sum::<i32>() - BETWEEN_LOCATIONS
}

/// Distributes the locations of a row evenly over the width.
fn place_row<'a>(locations: &'a [LocationBox], row: Row, width: i32, top: i32) -> Vec<PlacedLocation<'a>> {
    let spaces = i32::try_from(locations.len().saturating_sub(1)).unwrap_or(0);
    let wide = width - 2 * MARGIN - row_width(locations);
    let between = if spaces == 0 { 0 } else { BETWEEN_LOCATIONS + wide / spaces };
    let mut left = if spaces == 0 { MARGIN + wide / 2 } else { MARGIN };
    let mut placed = Vec::new();
    for location in locations {
        let corner = (left, top);
        placed.push(place_location(location, row, corner));
        left += location_width(location) + between;
    }
    placed
}

fn place_location(location: &LocationBox, row: Row, (left, top): Point) -> PlacedLocation<'_> {
    let bottom = top + LOCATION_HEIGHT;
    let (caption, pods, nodes) = match row {
        Row::Upper => (top + 28, top + CAPTION_HEIGHT, bottom - PADDING - NODE_HEIGHT),
        Row::Lower => (bottom - 17, bottom - CAPTION_HEIGHT - POD_HEIGHT, top + PADDING),
    };
    let lefts = (0..).map(|place| left + PADDING + place * (NODE_WIDTH + BETWEEN_NODES));
    PlacedLocation {
        location,
        corner: (left, top),
        size: (location_width(location), LOCATION_HEIGHT),
        caption: (left + PADDING, caption),
        nodes: lefts
            .zip(&location.nodes)
            .map(|(left, node)| PlacedNode {
                node,
                corner: (left, nodes),
                pod: (left + (NODE_WIDTH - POD_WIDTH) / 2, pods),
            })
            .collect(),
    }
}

/// The edge of a node from which its tunnels start.
struct Face {
    centre: i32,
    edge: i32,
    row: Row,
}

fn curves<'a>(diagram: &'a Diagram, locations: &[PlacedLocation<'_>], internet_top: i32) -> Vec<Curve<'a>> {
    let nodes = locations.iter().flat_map(|location| &location.nodes);
    let faces: BTreeMap<&str, Face> = nodes.map(|node| (node.node.name.as_str(), face(node, internet_top))).collect();
    let mut curves: Vec<Curve<'a>> = diagram
        .tunnels
        .iter()
        .filter_map(|((from, to), line)| {
            let (start, end) = (start(diagram, &faces, from, to)?, start(diagram, &faces, to, from)?);
            let (from, to) = (faces.get(from.as_str())?, faces.get(to.as_str())?);
            Some(Curve { line, points: curve((start, from.row), (end, to.row)) })
        })
        .collect();
    // Later curves cover earlier ones: active tunnels cover standby ones, and broken tunnels cover both.
    curves.sort_by_key(|curve| (curve.line.condition, curve.line.kind));
    curves
}

fn face(node: &PlacedNode<'_>, internet_top: i32) -> Face {
    let (left, top) = node.corner;
    let (row, edge) = if top < internet_top { (Row::Upper, top + NODE_HEIGHT) } else { (Row::Lower, top) };
    Face { centre: left + NODE_WIDTH / 2, edge, row }
}

/// The start of a tunnel. The tunnels of a node start side by side, in the order of their far ends from left to right.
fn start(diagram: &Diagram, faces: &BTreeMap<&str, Face>, node: &str, far: &str) -> Option<Point> {
    let face = faces.get(node)?;
    let mut others: Vec<(i32, &str)> = diagram
        .tunnels
        .keys()
        .filter_map(|(low, high)| {
            if low == node {
                Some(high)
            } else if high == node {
                Some(low)
            } else {
                None
            }
        })
        .filter_map(|other| Some((faces.get(other.as_str())?.centre, other.as_str())))
        .collect();
    others.sort_unstable();
    let place = i32::try_from(others.iter().position(|(_, other)| *other == far)?).ok()?;
    let count = i32::try_from(others.len()).ok()?;
    Some((face.centre - NODE_WIDTH / 2 + NODE_WIDTH * (place + 1) / (count + 1), face.edge))
}

/// A curve that leaves both ends vertically. Between nodes of one row, its depth grows with their distance.
fn curve((start, from): (Point, Row), (end, to): (Point, Row)) -> [Point; 4] {
    let depth = if from == to { 60 + (start.0 - end.0).abs() / 6 } else { INTERNET_HEIGHT * 2 / 3 };
    let depth = depth.min(INTERNET_HEIGHT + PADDING);
    let into_internet = |(x, y): Point, row| match row {
        Row::Upper => (x, y + depth),
        Row::Lower => (x, y - depth),
    };
    [start, into_internet(start, from), into_internet(end, to), end]
}
