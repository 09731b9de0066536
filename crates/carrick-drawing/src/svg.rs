//! SVG 1.1 without scripts, links and embedded fonts.

use carrick_topology::plan::Role;

use crate::diagram::{Condition, InnerNetwork, NatKind, TunnelKind, TunnelLine};
use crate::layout::{Curve, Layout, NODE_HEIGHT, NODE_WIDTH, POD_HEIGHT, POD_WIDTH, PlacedLocation, PlacedNode};

const STYLE: &str = "\
text{font-family:system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;fill:#1e293b}\
.paper{fill:#f8fafc;stroke:#cbd5e1}\
.open{fill:#e8f1fb;stroke:#94b8dc}\
.nat{fill:#fdf1e3;stroke:#dba765;stroke-width:2}\
.caption{font-size:17px;font-weight:600}\
.kind{font-size:13px;fill:#64748b}\
.internet{font-size:15px;fill:#94a3b8;letter-spacing:6px;text-anchor:middle}\
.node{fill:#fff;stroke:#94a3b8}\
.active{fill:#2456c4;stroke:#2456c4}\
.standby{fill:#fff;stroke:#2456c4;stroke-width:2}\
.name{font-size:16px;font-weight:600}\
.small{font-size:12px;fill:#475569}\
.on-active{fill:#fff}\
.pod{fill:#e3f4ea;stroke:#5fae83}\
.wire{stroke:#5fae83;stroke-width:1.5}\
.carrying{fill:none;stroke:#2456c4;stroke-width:3}\
.warm{fill:none;stroke:#8fa9e0;stroke-width:1.4}\
.vxlan{fill:none;stroke:#0f766e;stroke-width:2.5;stroke-dasharray:6 4}\
.plain{fill:none;stroke:#0f766e;stroke-width:2}";

/// The styles that only pictures of running meshes need.
const LIVE_STYLE: &str = "\
.broken{fill:none;stroke:#c62828;stroke-width:3;stroke-dasharray:2 5}\
.unhealthy{fill:#fdecec;stroke:#c62828;stroke-width:2}\
.plate{fill:#f8fafc;fill-opacity:0.85}\
.measure{font-size:11px;fill:#1e293b;text-anchor:middle}\
.trouble{fill:#c62828;font-weight:600}";

/// Half the width of a label's background for each character, in pixels.
const HALF_CHARACTER: i32 = 3;

/// Writes a layout as SVG.
pub(crate) fn write(layout: &Layout<'_>) -> String {
    let Layout { width, height, internet: (x, y), .. } = layout;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" role=\"img\">\n\
         <title>Locations, their nodes and the tunnels between them</title>\n\
         <style>{STYLE}{}</style>\n\
         <rect class=\"paper\" x=\"0.5\" y=\"0.5\" width=\"{}\" height=\"{}\" rx=\"14\"/>\n",
        live_style(layout),
        width - 1,
        height - 1
    );
    for location in &layout.locations {
        text += &frame(location);
    }
    text += &label("internet", (*x, *y), "internet");
    for curve in &layout.curves {
        text += &tunnel(curve);
    }
    for location in &layout.locations {
        text += &inner_network(location);
        text.extend(location.nodes.iter().map(node));
    }
    text.extend(layout.curves.iter().map(measurement));
    text + &legend(layout) + "</svg>\n"
}

fn live_style(layout: &Layout<'_>) -> &'static str {
    let is_measured = |line: &TunnelLine| line.condition == Condition::Broken || !line.label.is_empty();
    let nodes = layout.locations.iter().flat_map(|location| &location.nodes);
    let is_live = layout.curves.iter().any(|curve| is_measured(curve.line))
        || nodes.into_iter().any(|node| node.node.condition == Condition::Broken);
    if is_live { LIVE_STYLE } else { "" }
}

fn frame(placed: &PlacedLocation<'_>) -> String {
    let (class, kind) = match placed.location.nat {
        NatKind::Public => ("open", "public addresses"),
        NatKind::Nat => ("nat", "behind NAT"),
        NatKind::SymmetricNat => ("nat", "behind symmetric NAT"),
        NatKind::Unknown => ("open", ""),
    };
    let (x, y) = placed.caption;
    let name = escape(&placed.location.name);
    rectangle(class, placed.corner, placed.size, 14)
        + &format!(
            "<text x=\"{x}\" y=\"{y}\"><tspan class=\"caption\">{name}</tspan><tspan class=\"kind\" dx=\"8\">{kind}</tspan></text>\n"
        )
}

fn tunnel(curve: &Curve<'_>) -> String {
    let [(x1, y1), (x2, y2), (x3, y3), (x4, y4)] = curve.points;
    format!("<path class=\"{}\" d=\"M{x1} {y1}C{x2} {y2} {x3} {y3} {x4} {y4}\"/>\n", class_of(curve.line))
}

const fn class_of(line: &TunnelLine) -> &'static str {
    match (line.condition, line.kind) {
        (Condition::Broken, _) => "broken",
        (Condition::Healthy, TunnelKind::Active) => "carrying",
        (Condition::Healthy, TunnelKind::Standby) => "warm",
    }
}

/// The label of a tunnel, on a background that keeps it readable.
fn measurement(curve: &Curve<'_>) -> String {
    let words = &curve.line.label;
    if words.is_empty() {
        return String::new();
    }
    let (x, y) = curve.middle();
    let half = HALF_CHARACTER * i32::try_from(words.chars().count()).unwrap_or(0) + 4;
    let class = if curve.line.condition == Condition::Broken { "measure trouble" } else { "measure" };
    rectangle("plate", (x - half, y - 9), (2 * half, 16), 4) + &label(class, (x, y + 3), words)
}

fn label(class: &str, (x, y): (i32, i32), words: &str) -> String {
    format!("<text class=\"{class}\" x=\"{x}\" y=\"{y}\">{}</text>\n", escape(words))
}

/// Escapes a name, which may contain any character.
fn escape(words: &str) -> String {
    words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// One line through all nodes of a location, which all reach each other.
fn inner_network(placed: &PlacedLocation<'_>) -> String {
    let class = match placed.location.inner_network {
        InnerNetwork::Vxlan => "vxlan",
        InnerNetwork::Plain => "plain",
        InnerNetwork::None => return String::new(),
    };
    let (Some(first), Some(last)) = (placed.nodes.first(), placed.nodes.last()) else { return String::new() };
    let y = first.corner.1 + NODE_HEIGHT / 2;
    format!("<path class=\"{class}\" d=\"M{} {y}H{}\"/>\n", first.corner.0 + NODE_WIDTH, last.corner.0)
}

fn node(placed: &PlacedNode<'_>) -> String {
    let (left, top) = placed.corner;
    let centre = left + NODE_WIDTH / 2;
    let (class, words) = match placed.node.role {
        Some(Role::Active) => ("active", "active gateway"),
        Some(Role::Standby) => ("standby", "standby gateway"),
        Some(Role::Inner) => ("node", "node"),
        None => ("node", "not in the mesh"),
    };
    let class = if placed.node.condition == Condition::Broken { "unhealthy" } else { class };
    let on = if class == "active" { " on-active" } else { "" };
    let (near_end, far_end) =
        if placed.pod.1 < top { (top, placed.pod.1 + POD_HEIGHT) } else { (top + NODE_HEIGHT, placed.pod.1) };
    let pod_middle = placed.pod.1 + POD_HEIGHT / 2;
    format!("<path class=\"wire\" d=\"M{centre} {near_end}V{far_end}\"/>\n")
        + &rectangle("pod", placed.pod, (POD_WIDTH, POD_HEIGHT), 8)
        + &centred("small", (centre, pod_middle - 3), "pod")
        + &centred("small", (centre, pod_middle + 13), &placed.node.pod_cidr)
        + &rectangle(class, placed.corner, (NODE_WIDTH, NODE_HEIGHT), 10)
        + &centred(&format!("name{on}"), (centre, top + 22), &placed.node.name)
        + &centred(&format!("small{on}"), (centre, top + 40), words)
        + &centred(&format!("small{on}"), (centre, top + 57), &placed.node.mesh_address)
}

fn legend(layout: &Layout<'_>) -> String {
    const ENTRIES: [(&str, &str, i32); 3] = [
        ("carrying", "WireGuard tunnel between active gateways", 336),
        ("warm", "kept warm for a standby", 220),
        ("vxlan", "VXLAN inside a location", 190),
    ];
    let (middle, y) = layout.legend;
    let mut x = middle - ENTRIES.iter().map(|(_, _, width)| width).sum::<i32>() / 2;
    let mut text = String::new();
    for (class, words, width) in ENTRIES {
        text += &format!("<path class=\"{class}\" d=\"M{x} {y}H{}\"/>\n", x + 34);
        text += &label("small", (x + 42, y + 4), words);
        x += width;
    }
    text
}

fn rectangle(class: &str, (x, y): (i32, i32), (width, height): (i32, i32), radius: i32) -> String {
    format!("<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"{radius}\"/>\n")
}

fn centred(class: &str, (x, y): (i32, i32), words: &str) -> String {
    format!("<text class=\"{class}\" x=\"{x}\" y=\"{y}\" text-anchor=\"middle\">{}</text>\n", escape(words))
}
