//! Finding a running lab.

use anyhow::{Result, bail};
use carrick_lab::agent;
use carrick_lab::description::Description;
use carrick_lab::state;

/// The lab of a name, or the only one that runs.
///
/// # Errors
/// It does not run, or there are several to choose from.
pub fn attach(name: Option<&str>) -> Result<(String, Description)> {
    let name = choose(name, &state::clear()?)?;
    let description = Description::read(&name)?;
    Ok((name, description))
}

/// The name that was given, or the only one there is.
///
/// # Errors
/// There is none or there are several.
pub fn choose(given: Option<&str>, running: &[String]) -> Result<String> {
    match (given, running) {
        (Some(name), _) => Ok(name.to_owned()),
        (None, [only]) => Ok(only.clone()),
        (None, []) => bail!("no lab is running: start one with `carrick-lab up FILE` or `carrick-lab demo --keep`"),
        (None, several) => bail!("several labs are running, choose one with --name: {}", several.join(", ")),
    }
}

/// Whether a node is ready: on real Kubernetes by the Node's condition, else by its agent, which is ready and has told container
/// runtimes its network.
pub fn is_ready(description: &Description, node: &str) -> bool {
    if description.kubectl.is_some() {
        let condition = r#"--output=jsonpath={.status.conditions[?(@.type=="Ready")].status}"#;
        return description.kubectl(&["get", "node", node, condition]).is_ok_and(|status| status == "True");
    }
    let ready = || -> Result<bool> {
        let namespaces = description.namespaces(node)?;
        let network = namespaces.enter(|| carrick_lab::cni::first_network("/etc/cni/net.d".as_ref()))?;
        Ok(network.is_some() && agent::get(&namespaces, "/readyz")?.status == 200)
    };
    ready().unwrap_or(false)
}

/// What a person can do with a running lab.
pub fn how_to_look_around(name: &str, description: &Description) -> String {
    let program = std::env::args().next().unwrap_or_else(|| "carrick-lab".to_owned());
    let lab = format!("  {program} --name {name}");
    let mut lines = vec!["Look around:".to_owned(), format!("{lab} status")];
    if let Some(node) = description.nodes.keys().next() {
        lines.push(format!("{lab} exec {node} ip route show table all proto 107"));
        lines.push(format!("{lab} exec {node} wg show"));
    }
    if let Some(pod) = description.pods.keys().next() {
        lines.push(format!("{lab} exec {pod} ip address"));
    }
    if let Some(kubectl) = &description.kubectl {
        let (program, configuration) = (kubectl.program.display(), kubectl.kubeconfig.display());
        lines.push(format!("{lab} exec {} {program} --kubeconfig {configuration} get pods -A -o wide", kubectl.inside));
    }
    lines.push(format!("{lab} exec internet tcpdump -ni any"));
    lines.push("Take it down:".to_owned());
    lines.push(format!("{lab} down"));
    lines.join("\n")
}
