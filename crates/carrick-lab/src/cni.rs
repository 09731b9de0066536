//! A container runtime's part of the CNI specification 1.1.0 (sections 1 to 4): the network configuration of a node, and the calls of
//! plugins for one container.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use ipnet::IpNet;
use serde_json::{Value, json};

use crate::address::Addresses;
use crate::namespace::Namespaces;

/// The newest protocol version that this runtime supports.
const NEWEST_VERSION: &str = "1.1.0";
/// The error code "try again later" (CNI specification, section 5).
const TRY_AGAIN_LATER: u64 = 11;
/// The directory of the plugins on a node.
const PLUGIN_DIRECTORY: &str = "/opt/cni/bin";
/// The directory of the network configurations on a node.
pub const CONFIGURATION_DIRECTORY: &str = "/etc/cni/net.d";
/// The interface that a container gets.
pub const INTERFACE: &str = "eth0";

/// The command to a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Attach a container.
    Add,
    /// Verify a container's attachment.
    Check,
    /// Detach a container.
    Del,
}

impl Verb {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Add => "ADD",
            Self::Check => "CHECK",
            Self::Del => "DEL",
        }
    }
}

/// A network: a list of plugins.
#[derive(Debug, Clone)]
pub struct Network {
    name: String,
    version: String,
    plugins: Vec<Value>,
}

/// A container, as the runtime identifies it to plugins.
#[derive(Debug, Clone)]
pub struct Container {
    /// `CNI_CONTAINERID`.
    pub id: String,
    /// `CNI_NETNS`; empty if the network namespace does not exist any more.
    pub namespace: PathBuf,
    /// The Kubernetes namespace and name of its pod.
    pub pod: (String, String),
}

/// A plugin that failed.
#[derive(Debug, thiserror::Error)]
#[error("{call} failed: {output}")]
pub struct PluginError {
    call: String,
    output: String,
    code: Option<u64>,
}

impl PluginError {
    fn new(node: &str, program: &str, verb: Verb, output: &Output) -> Self {
        let stdout = String::from_utf8_lossy(&output.stdout);
        let answer: Value = serde_json::from_str(&stdout).unwrap_or_default();
        Self {
            call: format!("{program} {} on {node}", verb.as_str()),
            output: format!("{}{} ({})", stdout.trim_end(), String::from_utf8_lossy(&output.stderr), output.status),
            code: answer["code"].as_u64(),
        }
    }

    /// Whether the plugin asks the runtime to call it again later (CNI specification, section 5).
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        self.code == Some(TRY_AGAIN_LATER)
    }
}

/// The network that container runtimes choose: the first file by name in a node's configuration directory. `None` if there is no file.
/// `directory` is the path on this machine.
///
/// # Errors
/// The first configuration is not valid.
pub fn first_network(directory: &Path) -> Result<Option<Network>> {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return Ok(None);
    };
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|file| {
        let extension = file.extension().and_then(|extension| extension.to_str());
        matches!(extension, Some("conflist" | "conf" | "json"))
    });
    files.sort();
    let Some(file) = files.first() else {
        return Ok(None);
    };
    let text = std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    let value = serde_json::from_str(&text).with_context(|| format!("parse {}", file.display()))?;
    Network::parse(value).with_context(|| format!("network configuration {}", file.display())).map(Some)
}

impl Network {
    /// Parses a configuration list, or the configuration of a single plugin as a list of one.
    ///
    /// # Errors
    /// The configuration has no name or no plugins.
    pub fn parse(value: Value) -> Result<Self> {
        let name = value["name"].as_str().context("it has no name")?.to_owned();
        let version = choose_version(&value)?;
        let plugins = match value.get("plugins") {
            Some(Value::Array(plugins)) => plugins.clone(),
            Some(_) => bail!("its plugins are not a list"),
            None => vec![value],
        };
        ensure!(!plugins.is_empty(), "it has no plugins");
        Ok(Self { name, version, plugins })
    }

    /// Attaches a container and returns the last plugin's result. When a plugin fails, the container is detached, as runtimes do.
    ///
    /// # Errors
    /// A plugin fails; the error shows the plugin's output.
    pub fn add(&self, node: &Namespaces, container: &Container) -> Result<Value> {
        let mut result = None;
        for plugin in &self.plugins {
            match self.invoke(node, container, Verb::Add, plugin, result.as_ref()) {
                Ok(next) => result = next,
                Err(error) => {
                    if let Err(removal) = self.del(node, container, None) {
                        tracing::warn!(event = "cni_detach_failed", error = format!("{removal:#}"));
                    }
                    return Err(error);
                }
            }
        }
        result.context("the plugins returned no result")
    }

    /// Verifies a container's attachment.
    ///
    /// # Errors
    /// A plugin finds a difference.
    pub fn check(&self, node: &Namespaces, container: &Container, result: &Value) -> Result<()> {
        for plugin in &self.plugins {
            self.invoke(node, container, Verb::Check, plugin, Some(result))?;
        }
        Ok(())
    }

    /// Detaches a container, with the last plugin first.
    ///
    /// # Errors
    /// A plugin fails; the plugins before it in the list are not called.
    pub fn del(&self, node: &Namespaces, container: &Container, result: Option<&Value>) -> Result<()> {
        for plugin in self.plugins.iter().rev() {
            self.invoke(node, container, Verb::Del, plugin, result)?;
        }
        Ok(())
    }

    fn invoke(
        &self,
        node: &Namespaces,
        container: &Container,
        verb: Verb,
        plugin: &Value,
        previous: Option<&Value>,
    ) -> Result<Option<Value>> {
        let program = plugin["type"].as_str().context("a plugin has no type")?;
        let mut command = Command::new(format!("{PLUGIN_DIRECTORY}/{program}"));
        command
            .env("CNI_COMMAND", verb.as_str())
            .env("CNI_CONTAINERID", &container.id)
            .env("CNI_NETNS", &container.namespace)
            .env("CNI_IFNAME", INTERFACE)
            .env("CNI_PATH", PLUGIN_DIRECTORY)
            .env("CNI_ARGS", container.arguments())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = node.spawn(&mut command)?;
        let input = self.input(plugin, previous);
        let mut stdin = child.stdin.take().context("no pipe to the plugin")?;
        // A plugin that fails early closes its input. Its output says more than the error of the broken pipe.
        let _written = stdin.write_all(input.to_string().as_bytes());
        drop(stdin);
        let output = child.wait_with_output()?;
        if !output.status.success() {
            return Err(PluginError::new(node.name(), program, verb, &output).into());
        }
        match verb {
            Verb::Add => {
                let result = serde_json::from_slice(&output.stdout).with_context(|| format!("result of {program}"))?;
                Ok(Some(result))
            }
            Verb::Check | Verb::Del => Ok(None),
        }
    }

    fn input(&self, plugin: &Value, previous: Option<&Value>) -> Value {
        let mut input = plugin.clone();
        input["name"] = json!(self.name);
        input["cniVersion"] = json!(self.version);
        if let Some(previous) = previous {
            input["prevResult"] = previous.clone();
        }
        input
    }
}

impl Container {
    fn arguments(&self) -> String {
        let (namespace, name) = &self.pod;
        format!(
            "IgnoreUnknown=1;K8S_POD_NAMESPACE={namespace};K8S_POD_NAME={name};K8S_POD_INFRA_CONTAINER_ID={}",
            self.id
        )
    }
}

/// The addresses in a plugin's result.
///
/// # Errors
/// The result has an invalid address.
pub fn addresses(result: &Value) -> Result<Addresses> {
    let entries = result["ips"].as_array().map(Vec::as_slice).unwrap_or_default();
    let parse = |entry: &Value| -> Result<std::net::IpAddr> {
        let text = entry["address"].as_str().context("an address of the result is not a string")?;
        Ok(text.parse::<IpNet>().with_context(|| format!("address {text:?} of the result"))?.addr())
    };
    entries.iter().map(parse).collect()
}

/// The newest version that both sides support (`cniVersions`), or else `cniVersion`.
fn choose_version(value: &Value) -> Result<String> {
    let given = value["cniVersion"].as_str().unwrap_or("0.1.0");
    let offered = value["cniVersions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut versions: Vec<&str> = offered.iter().filter_map(Value::as_str).chain([given]).collect();
    versions.retain(|version| version_key(version) <= version_key(NEWEST_VERSION));
    versions
        .into_iter()
        .max_by_key(|version| version_key(version))
        .map(str::to_owned)
        .with_context(|| format!("its version {given} is newer than {NEWEST_VERSION}"))
}

fn version_key(version: &str) -> Vec<u32> {
    version.split('.').map(|part| part.parse().unwrap_or(u32::MAX)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_common_version_is_chosen() {
        let choose = |value: Value| choose_version(&value);
        assert_eq!(choose(json!({ "cniVersion": "1.0.0" })).unwrap(), "1.0.0");
        let offered = json!({ "cniVersion": "1.0.0", "cniVersions": ["0.4.0", "1.0.0", "1.1.0", "2.0.0"] });
        assert_eq!(choose(offered).unwrap(), "1.1.0");
        assert!(choose(json!({ "cniVersion": "2.0.0" })).is_err());
    }

    #[test]
    fn the_first_file_by_name_is_chosen() {
        let directory = tempfile::tempdir().unwrap();
        assert!(first_network(directory.path()).unwrap().is_none());
        std::fs::write(directory.path().join("README"), "not a configuration").unwrap();
        let list =
            |name: &str| json!({ "cniVersion": "1.0.0", "name": name, "plugins": [{ "type": "x" }] }).to_string();
        std::fs::write(directory.path().join("20-b.conflist"), list("second")).unwrap();
        std::fs::write(directory.path().join("10-a.conflist"), list("first")).unwrap();
        assert_eq!(first_network(directory.path()).unwrap().unwrap().name, "first");
    }

    #[test]
    fn a_plugin_gets_name_version_and_previous_result() {
        let network = Network::parse(json!({
            "cniVersion": "1.0.0", "name": "n", "plugins": [{ "type": "a", "mtu": 1400 }],
        }))
        .unwrap();
        let input = network.input(&network.plugins[0], Some(&json!({ "ips": [] })));
        assert_eq!(
            input,
            json!({ "type": "a", "mtu": 1400, "name": "n", "cniVersion": "1.0.0", "prevResult": { "ips": [] } })
        );
    }

    #[test]
    fn addresses_of_both_families_are_found() {
        let result = json!({ "ips": [{ "address": "10.42.1.2/32" }, { "address": "fd42::2/128" }] });
        let found = addresses(&result).unwrap();
        assert_eq!(found.v4, "10.42.1.2".parse().ok());
        assert_eq!(found.v6, "fd42::2".parse().ok());
    }
}
