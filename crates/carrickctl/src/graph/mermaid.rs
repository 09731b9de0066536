//! Mermaid flowcharts.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::model::Graph;

pub(super) fn write(graph: &Graph) -> String {
    let mut text = "flowchart LR\n".to_owned();
    let nodes = graph.locations.iter().flat_map(|location| &location.nodes);
    let identifiers: BTreeMap<&str, String> =
        nodes.enumerate().map(|(index, node)| (node.name.as_str(), format!("n{index}"))).collect();
    let mut unhealthy = Vec::new();
    for (index, location) in graph.locations.iter().enumerate() {
        let _ = writeln!(text, "  subgraph l{index}[{}]", quoted(&location.name));
        for node in &location.nodes {
            let Some(identifier) = identifiers.get(node.name.as_str()) else { continue };
            let role = node.role.map(|role| format!("<br/>{}", crate::status::role(role))).unwrap_or_default();
            let _ = writeln!(text, "    {identifier}[\"{}{role}\"]", escaped(&node.name));
            if !node.healthy {
                unhealthy.push(identifier.clone());
            }
        }
        text += "  end\n";
    }
    let mut broken = Vec::new();
    let ends = graph.tunnels.iter().filter_map(|tunnel| {
        Some((tunnel, identifiers.get(tunnel.from.as_str())?, identifiers.get(tunnel.to.as_str())?))
    });
    for (index, (tunnel, from, to)) in ends.enumerate() {
        let line = if tunnel.carries { "---" } else { "-.-" };
        let label = tunnel.label();
        let label = if label.is_empty() { String::new() } else { format!("|{}|", quoted(&label)) };
        let _ = writeln!(text, "  {from} {line}{label} {to}");
        if tunnel.up == Some(false) {
            broken.push(index.to_string());
        }
    }
    if !broken.is_empty() {
        let _ = writeln!(text, "  linkStyle {} stroke:red", broken.join(","));
    }
    if !unhealthy.is_empty() {
        let _ = writeln!(text, "  classDef unhealthy stroke:red\n  class {} unhealthy", unhealthy.join(","));
    }
    text
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", escaped(text))
}

/// Escapes a text for Mermaid, whose entities begin with `#`.
fn escaped(text: &str) -> String {
    text.replace('#', "#35;").replace('"', "#quot;").replace('<', "#lt;").replace('>', "#gt;")
}
