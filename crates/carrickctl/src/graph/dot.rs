//! The DOT language of Graphviz.

use std::fmt::Write as _;

use super::model::Graph;

pub(super) fn write(graph: &Graph) -> String {
    let mut text = "graph carrick {\n  graph [rankdir=LR];\n  node [shape=box, style=rounded];\n".to_owned();
    for (index, location) in graph.locations.iter().enumerate() {
        let _ = writeln!(text, "  subgraph cluster_{index} {{\n    label={};", quoted(&location.name));
        for node in &location.nodes {
            let role = node.role.map(|role| format!("\n{}", crate::status::role(role))).unwrap_or_default();
            let colour = if node.healthy { "" } else { ", color=red" };
            let _ = writeln!(
                text,
                "    {} [label={}{colour}];",
                quoted(&node.name),
                quoted(&format!("{}{role}", node.name))
            );
        }
        text += "  }\n";
    }
    for tunnel in &graph.tunnels {
        let colour = match (tunnel.up, tunnel.carries) {
            (Some(false), _) => "red",
            (_, true) => "blue",
            (_, false) => "gray",
        };
        let style = if tunnel.carries { "solid" } else { "dashed" };
        let (from, to, label) = (quoted(&tunnel.from), quoted(&tunnel.to), quoted(&tunnel.label()));
        let _ = writeln!(text, "  {from} -- {to} [color={colour}, style={style}, label={label}];");
    }
    text + "}\n"
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}
