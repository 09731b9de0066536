//! Access to a running lab.

use anyhow::{Result, bail};
use carrick_lab::description::Description;
use carrick_lab::{agent, cni, state};

/// The lab of a name, or the only running lab.
///
/// # Errors
/// The lab does not run, or several labs run and no name is given.
pub fn attach(name: Option<&str>) -> Result<(String, Description)> {
    let name = choose(name, &state::clear()?)?;
    let description = Description::read(&name)?;
    Ok((name, description))
}

/// The given name, or the name of the only running lab.
///
/// # Errors
/// No lab runs, or several labs run and no name is given.
pub fn choose(given: Option<&str>, running: &[String]) -> Result<String> {
    match (given, running) {
        (Some(name), _) => Ok(name.to_owned()),
        (None, [only]) => Ok(only.clone()),
        (None, []) => bail!("no lab is running: start one with `carrick-lab up FILE` or `carrick-lab demo --keep`"),
        (None, several) => bail!("several labs are running; choose one with --name: {}", several.join(", ")),
    }
}

/// Whether a node is ready: on real Kubernetes the Node's condition `Ready`; otherwise the agent is ready and has written the network
/// configuration.
pub fn is_ready(description: &Description, node: &str) -> bool {
    if description.kubectl.is_some() {
        let condition = r#"--output=jsonpath={.status.conditions[?(@.type=="Ready")].status}"#;
        return description.kubectl(&["get", "node", node, condition]).is_ok_and(|status| status == "True");
    }
    let ready = || -> Result<bool> {
        let namespaces = description.namespaces(node)?;
        let network = namespaces.enter(|| cni::first_network(cni::CONFIGURATION_DIRECTORY.as_ref()))?;
        Ok(network.is_some() && agent::get(&namespaces, "/readyz")?.status == 200)
    };
    ready().unwrap_or(false)
}
