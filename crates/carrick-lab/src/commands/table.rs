//! The tables of the commands.

use carrick_lab::address::{Addresses, Family};
use carrick_lab::description::{Description, NodeDescription};
use carrick_lab::matrix::Pair;
use carrick_lab::text_table;

use super::attach::is_ready;

fn list(addresses: Addresses) -> String {
    let texts: Vec<_> = addresses.list().iter().map(ToString::to_string).collect();
    if texts.is_empty() { "-".to_owned() } else { texts.join(" ") }
}

/// The nodes of a lab with their addresses and pods.
pub fn nodes(description: &Description) -> String {
    let row = |(name, node): (&String, &NodeDescription)| {
        let pods = description.pods.iter().filter(|(_, pod)| pod.node == *name);
        let pods: Vec<_> = pods.map(|(name, pod)| format!("{name} ({})", list(pod.addresses))).collect();
        vec![
            name.clone(),
            node.location.clone(),
            if is_ready(description, name) { "yes" } else { "no" }.to_owned(),
            list(node.internal),
            list(node.public),
            pods.join(", "),
        ]
    };
    let head = ["NODE", "LOCATION", "READY", "INTERNAL", "PUBLIC", "PODS"];
    text_table::render(&head, description.nodes.iter().map(row))
}

/// The round-trip times of all pairs, with a table for each family: sources at the left, targets above.
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
        let row = |from: &String| {
            let cell = |to: &String| {
                let pair = of_family.iter().find(|pair| pair.from == *from && pair.to == *to);
                pair.map_or_else(|| ".".to_owned(), |pair| cell(pair))
            };
            [vec![from.clone()], to.iter().map(cell).collect()].concat()
        };
        let corner = format!("{family}: ms");
        let head: Vec<&str> = std::iter::once(corner.as_str()).chain(to.iter().map(String::as_str)).collect();
        text += &text_table::render(&head, from.iter().map(row));
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
