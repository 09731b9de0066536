//! The commands that show a running lab, for a person to paste.

use std::collections::BTreeSet;

use carrick_lab::address::Family;
use carrick_lab::description::Description;

/// The commands for a lab, one a line, with a heading above each group.
pub fn guide(name: &str, description: &Description) -> String {
    let program = std::env::args().next().unwrap_or_else(|| "carrick-lab".to_owned());
    let lab = format!("{program} --name {name}");
    let mut lines = vec!["The mesh, as its agents report it:".to_owned()];
    lines.push(format!("  {lab} carrickctl status"));
    lines.push(format!("  {lab} carrickctl doctor"));
    lines.push(format!("  {lab} carrickctl trace {}", ends_of_a_trace(description).join(" ")));
    lines.push(format!("  {lab} carrickctl dashboard      # then open the printed address in a browser"));
    lines.push("Nodes, pods and the internet:".to_owned());
    lines.push(format!("  {lab} status"));
    if let Some(node) = description.nodes.keys().next() {
        lines.push(format!("  {lab} exec {node} ip route show table all proto 107"));
        lines.push(format!("  {lab} exec {node} wg show"));
    }
    if let Some(pod) = description.pods.keys().next() {
        lines.push(format!("  {lab} exec {pod} ip address"));
    }
    if let Some(kubectl) = &description.kubectl {
        let (program, configuration) = (kubectl.program.display(), kubectl.kubeconfig.display());
        lines.push(format!(
            "  {lab} exec {} {program} --kubeconfig {configuration} get pods -A -o wide",
            kubectl.inside
        ));
    }
    lines.push(format!("  {lab} exec internet tcpdump -ni any"));
    lines.push("To take the lab down:".to_owned());
    lines.push(format!("  {lab} down"));
    lines.join("\n") + "\n"
}

/// Two pods in different locations by their addresses, or else two nodes by their names.
fn ends_of_a_trace(description: &Description) -> Vec<String> {
    let mut locations = BTreeSet::new();
    let mut in_new_location =
        |node: &str| description.nodes.get(node).is_some_and(|node| locations.insert(node.location.clone()));
    let pods = description.pods.values().filter(|pod| in_new_location(&pod.node));
    let addresses = pods.filter_map(|pod| pod.addresses.of(Family::V4).or(pod.addresses.of(Family::V6)));
    let addresses: Vec<_> = addresses.take(2).map(|address| address.to_string()).collect();
    if addresses.len() == 2 { addresses } else { description.nodes.keys().take(2).cloned().collect() }
}
