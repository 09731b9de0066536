//! Where everything stands on the picture: locations in an upper and a lower row, gateways facing the internet between them,
//! pods on the far side.

use std::collections::BTreeMap;

use crate::diagram::{Diagram, LocationBox, NodeBox, TunnelLine};

/// Distances in pixels.
pub(crate) const CARD_WIDTH: i32 = 150;
pub(crate) const CARD_HEIGHT: i32 = 68;
pub(crate) const POD_HEIGHT: i32 = 40;
pub(crate) const POD_WIDTH: i32 = 118;
const LEAST_WIDTH: i32 = 900;
const MARGIN: i32 = 28;
const BETWEEN_CARDS: i32 = 34;
const BETWEEN_GROUPS: i32 = 48;
const PADDING: i32 = 20;
const CAPTION_HEIGHT: i32 = 44;
const CABLE: i32 = 18;
const GROUP_HEIGHT: i32 = CAPTION_HEIGHT + POD_HEIGHT + CABLE + CARD_HEIGHT + PADDING;
const INTERNET_HEIGHT: i32 = 170;
const LEGEND_HEIGHT: i32 = 58;

/// A point; y grows downwards.
pub(crate) type Point = (i32, i32);

/// The picture with all places.
#[derive(Debug)]
pub(crate) struct Layout<'a> {
    pub(crate) width: i32,
    pub(crate) height: i32,
    /// The middle of the word, below where tunnels hang.
    pub(crate) internet: Point,
    pub(crate) groups: Vec<PlacedLocation<'a>>,
    pub(crate) curves: Vec<Curve<'a>>,
    /// The middle of the legend.
    pub(crate) legend: Point,
}

/// A location, by its upper left corner.
#[derive(Debug)]
pub(crate) struct PlacedLocation<'a> {
    pub(crate) location: &'a LocationBox,
    pub(crate) corner: Point,
    pub(crate) size: (i32, i32),
    /// Where its caption begins.
    pub(crate) caption: Point,
    pub(crate) nodes: Vec<PlacedNode<'a>>,
}

/// A node and its pod, by their upper left corners.
#[derive(Debug)]
pub(crate) struct PlacedNode<'a> {
    pub(crate) node: &'a NodeBox,
    pub(crate) corner: Point,
    pub(crate) pod: Point,
}

/// A tunnel as a cubic curve: start, two control points, end.
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
    /// The middle of the curve (de Casteljau).
    pub(crate) fn middle(&self) -> Point {
        let [(x1, y1), (x2, y2), (x3, y3), (x4, y4)] = self.points;
        ((x1 + 3 * x2 + 3 * x3 + x4) / 8, (y1 + 3 * y2 + 3 * y3 + y4) / 8)
    }
}

impl<'a> Layout<'a> {
    /// Places everything; the width follows the wider row.
    pub(crate) fn new(diagram: &'a Diagram) -> Self {
        let (upper, lower) = diagram.locations.split_at(diagram.locations.len().div_ceil(2));
        let width = LEAST_WIDTH.max(row_width(upper).max(row_width(lower)) + 2 * MARGIN);
        let internet_top = MARGIN + GROUP_HEIGHT;
        let internet_bottom = internet_top + INTERNET_HEIGHT;
        let mut groups = place_row(upper, Row::Upper, width, MARGIN);
        groups.extend(place_row(lower, Row::Lower, width, internet_bottom));
        let bottom = if lower.is_empty() { internet_bottom } else { internet_bottom + GROUP_HEIGHT };
        Self {
            width,
            height: bottom + LEGEND_HEIGHT,
            internet: (5 * MARGIN, internet_bottom - MARGIN),
            curves: curves(diagram, &groups, internet_top),
            groups,
            legend: (width / 2, bottom + LEGEND_HEIGHT / 2 + 2),
        }
    }
}

fn group_width(group: &LocationBox) -> i32 {
    let nodes = i32::try_from(group.nodes.len().max(1)).unwrap_or(1);
    nodes * CARD_WIDTH + (nodes - 1) * BETWEEN_CARDS + 2 * PADDING
}

fn row_width(groups: &[LocationBox]) -> i32 {
    groups.iter().map(|group| group_width(group) + BETWEEN_GROUPS).sum::<i32>() - BETWEEN_GROUPS
}

/// Spreads a row's locations evenly over the width.
fn place_row<'a>(groups: &'a [LocationBox], row: Row, width: i32, top: i32) -> Vec<PlacedLocation<'a>> {
    let spaces = i32::try_from(groups.len().saturating_sub(1)).unwrap_or(0);
    let wide = width - 2 * MARGIN - row_width(groups);
    let between = if spaces == 0 { 0 } else { BETWEEN_GROUPS + wide / spaces };
    let mut left = if spaces == 0 { MARGIN + wide / 2 } else { MARGIN };
    let mut placed = Vec::new();
    for group in groups {
        let corner = (left, top);
        placed.push(place_group(group, row, corner));
        left += group_width(group) + between;
    }
    placed
}

fn place_group(group: &LocationBox, row: Row, (left, top): Point) -> PlacedLocation<'_> {
    let bottom = top + GROUP_HEIGHT;
    let (caption, pods, nodes) = match row {
        Row::Upper => (top + 28, top + CAPTION_HEIGHT, bottom - PADDING - CARD_HEIGHT),
        Row::Lower => (bottom - 17, bottom - CAPTION_HEIGHT - POD_HEIGHT, top + PADDING),
    };
    let lefts = (0..).map(|place| left + PADDING + place * (CARD_WIDTH + BETWEEN_CARDS));
    PlacedLocation {
        location: group,
        corner: (left, top),
        size: (group_width(group), GROUP_HEIGHT),
        caption: (left + PADDING, caption),
        nodes: lefts
            .zip(&group.nodes)
            .map(|(left, node)| PlacedNode {
                node,
                corner: (left, nodes),
                pod: (left + (CARD_WIDTH - POD_WIDTH) / 2, pods),
            })
            .collect(),
    }
}

/// Where a node's tunnels may begin.
struct Face {
    centre: i32,
    edge: i32,
    row: Row,
}

fn curves<'a>(diagram: &'a Diagram, groups: &[PlacedLocation<'_>], internet_top: i32) -> Vec<Curve<'a>> {
    let nodes = groups.iter().flat_map(|group| &group.nodes);
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
    // What carries lies on top, and what is broken above all.
    curves.sort_by_key(|curve| (curve.line.condition, curve.line.kind));
    curves
}

fn face(node: &PlacedNode<'_>, internet_top: i32) -> Face {
    let (left, top) = node.corner;
    let (row, edge) = if top < internet_top { (Row::Upper, top + CARD_HEIGHT) } else { (Row::Lower, top) };
    Face { centre: left + CARD_WIDTH / 2, edge, row }
}

/// A node's tunnels leave its edge side by side, in the order of where they go.
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
    Some((face.centre - CARD_WIDTH / 2 + CARD_WIDTH * (place + 1) / (count + 1), face.edge))
}

/// Leaves both ends upright, and hangs the deeper into the internet the farther the ends of one row are apart.
fn curve((start, from): (Point, Row), (end, to): (Point, Row)) -> [Point; 4] {
    let depth = if from == to { 60 + (start.0 - end.0).abs() / 6 } else { INTERNET_HEIGHT * 2 / 3 };
    let depth = depth.min(INTERNET_HEIGHT + PADDING);
    let into_internet = |(x, y): Point, row| match row {
        Row::Upper => (x, y + depth),
        Row::Lower => (x, y - depth),
    };
    [start, into_internet(start, from), into_internet(end, to), end]
}
