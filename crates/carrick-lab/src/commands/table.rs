//! Tables for people.

use carrick_lab::address::{Addresses, Family};
use carrick_lab::description::Description;
use carrick_lab::matrix::Pair;

use super::attach::is_ready;

/// Lines of cells, as wide as their widest.
pub fn render(lines: &[Vec<String>]) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or_default()).collect();
    let mut text = String::new();
    for line in lines {
        let cells: Vec<_> = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text += cells.join("  ").trim_end();
        text.push('\n');
    }
    text
}

fn list(addresses: Addresses) -> String {
    let texts: Vec<_> = addresses.list().iter().map(ToString::to_string).collect();
    if texts.is_empty() { "-".to_owned() } else { texts.join(" ") }
}

/// The nodes of a lab and what is on them.
pub fn nodes(description: &Description) -> String {
    let mut lines = vec![["NODE", "LOCATION", "READY", "INTERNAL", "PUBLIC", "PODS"].map(str::to_owned).to_vec()];
    for (name, node) in &description.nodes {
        let pods = description.pods.iter().filter(|(_, pod)| pod.node == *name);
        let pods: Vec<_> = pods.map(|(name, pod)| format!("{name} ({})", list(pod.addresses))).collect();
        lines.push(vec![
            name.clone(),
            node.location.clone(),
            if is_ready(description, name) { "yes" } else { "no" }.to_owned(),
            list(node.internal),
            list(node.public),
            pods.join(", "),
        ]);
    }
    render(&lines)
}

/// The round-trip times of all pairs, a table per family: who asks is at the left, who is asked above.
pub fn matrix(pairs: &[Pair]) -> String {
    let mut text = String::new();
    for family in [Family::V4, Family::V6] {
        let of_family: Vec<_> = pairs.iter().filter(|pair| pair.family == family).collect();
        if of_family.is_empty() {
            continue;
        }
        let mut from: Vec<_> = of_family.iter().map(|pair| pair.from.clone()).collect();
        from.dedup();
        let mut to: Vec<_> = of_family.iter().map(|pair| pair.to.clone()).collect();
        to.sort();
        to.dedup();
        let mut lines = vec![[vec![format!("{family}: ms")], to.clone()].concat()];
        for from in from {
            let cell = |to: &String| {
                let pair = of_family.iter().find(|pair| pair.from == from && pair.to == *to);
                pair.map_or_else(|| ".".to_owned(), |pair| cell(pair))
            };
            lines.push([vec![from.clone()], to.iter().map(cell).collect()].concat());
        }
        text += &render(&lines);
        text.push('\n');
    }
    text
}

fn cell(pair: &Pair) -> String {
    match (pair.rtt_ms, pair.tcp_ok) {
        (Some(rtt), true) => format!("{rtt:.2}"),
        (Some(rtt), false) => format!("{rtt:.2} NO TCP"),
        (None, _) => "NO".to_owned(),
    }
}
