//! The topology file, which describes clouds.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use carrick_topology::{Encapsulation, Granularity};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

use crate::address::Families;
use crate::state::CONTROL_PLANE;

/// The label with a node's location.
pub const LOCATION_LABEL: &str = "topology.kubernetes.io/region";

/// The topology of the demo and of the README's picture, as YAML: two clouds and a home.
pub const DEMO: &str = include_str!("../topologies/demo.yaml");

/// The length of the longest interface name (`IFNAMSIZ` without the final zero). Names of locations and nodes are also names of
/// interfaces, so that captures are easy to read.
const MAX_NAME_BYTES: usize = 15;

/// The topology of a lab.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topology {
    /// The kind of Kubernetes.
    #[serde(default)]
    pub kubernetes: Kubernetes,
    /// The node with the control plane of a real cluster; the control plane is in the internet if this is missing.
    #[serde(default)]
    pub control_plane: Option<String>,
    /// The address families of the pod CIDRs.
    #[serde(default)]
    pub families: Families,
    /// The settings of the agents.
    #[serde(default)]
    pub agent: AgentSettings,
    /// The locations.
    pub locations: Vec<Location>,
}

/// The kind of Kubernetes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Kubernetes {
    /// The small API server, in the lab's own process.
    #[default]
    Embedded,
    /// A real etcd and kube-apiserver.
    Apiserver,
    /// A real cluster: also controller manager and scheduler, and on each node containerd, kubelet and kube-proxy. The agent is a
    /// DaemonSet, the pods are Kubernetes' own, and `pods` and `pod_cidrs` of nodes are ignored.
    Cluster,
}

/// The settings of the agents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AgentSettings {
    /// The nodes that have tunnels.
    pub granularity: Granularity,
    /// How pods' packets travel inside a location.
    pub encapsulation: Encapsulation,
    /// The number of active gateways of a location.
    pub active_gateways: u8,
    /// Further flags of `carrick agent`.
    pub flags: Vec<String>,
    /// Whether `Lab::up` starts an agent on every node.
    pub start: bool,
}

impl Default for AgentSettings {
    fn default() -> Self {
        Self {
            granularity: Granularity::default(),
            encapsulation: Encapsulation::default(),
            active_gateways: 1,
            flags: Vec::new(),
            start: true,
        }
    }
}

/// A cloud, a data centre or a home.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Location {
    /// Its name: the value of [`LOCATION_LABEL`], and the name of its uplink in the internet namespace.
    pub name: String,
    /// The kind of its router.
    #[serde(default)]
    pub router: RouterKind,
    /// The families of its network.
    #[serde(default)]
    pub families: Families,
    /// Its LANs; one LAN with addresses of the lab's choice by default.
    #[serde(default)]
    pub subnets: Vec<Subnet>,
    /// The MTU of its uplink, in bytes.
    #[serde(default)]
    pub mtu: Option<u32>,
    /// Its nodes.
    #[serde(default)]
    pub nodes: Vec<Node>,
    /// Machines in its LANs that are not nodes.
    #[serde(default)]
    pub devices: Vec<Device>,
}

/// The kind of a location's router.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RouterKind {
    /// It forwards all packets, and nodes have public addresses.
    #[default]
    Open,
    /// Network address translation with a mapping that does not depend on the destination (RFC 4787).
    Nat,
    /// Network address translation with another port for each destination.
    Symmetric,
}

impl RouterKind {
    /// Whether nodes have only private addresses.
    #[must_use]
    pub const fn translates(self) -> bool {
        match self {
            Self::Open => false,
            Self::Nat | Self::Symmetric => true,
        }
    }
}

/// The prefixes of a LAN. The lab chooses a missing one.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subnet {
    /// The IPv4 prefix.
    #[serde(default)]
    pub v4: Option<Ipv4Net>,
    /// The IPv6 prefix.
    #[serde(default)]
    pub v6: Option<Ipv6Net>,
}

/// A machine that is a Kubernetes node.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// The name of the Node object, of the host, and of the router's interface to the node.
    pub name: String,
    /// The index of its LAN in the location's subnets.
    #[serde(default)]
    pub subnet: usize,
    /// Annotations of the Node object.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// Labels of the Node object besides the host name and the location.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Sysctls that are set when the node boots (`net.ipv4.conf.all.rp_filter: "1"`).
    #[serde(default)]
    pub sysctls: BTreeMap<String, String>,
    /// The number of pods.
    #[serde(default = "one")]
    pub pods: u16,
    /// The pod CIDRs; the lab chooses them by default.
    #[serde(default)]
    pub pod_cidrs: Vec<IpNet>,
    /// Flags of this node's agent.
    #[serde(default)]
    pub agent_flags: Vec<String>,
}

const fn one() -> u16 {
    1
}

/// A machine in a LAN that is not a node, such as a printer. It has no route out of its own subnet.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// Its name.
    pub name: String,
    /// The index of its LAN in the location's subnets.
    #[serde(default)]
    pub subnet: usize,
}

impl Topology {
    /// Reads a topology file.
    ///
    /// # Errors
    /// The file cannot be read, is not YAML of this shape, or fails [`Topology::validate`].
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("topology {}", path.display()))
    }

    /// Parses a topology from YAML.
    ///
    /// # Errors
    /// The text is not YAML of this shape, or fails [`Topology::validate`].
    pub fn parse(yaml: &str) -> Result<Self> {
        let topology: Self = serde_yaml_ng::from_str(yaml)?;
        topology.validate()?;
        Ok(topology)
    }

    /// Checks that names are valid and unique, and that subnets exist.
    ///
    /// # Errors
    /// The topology is invalid; the error names the location or the node.
    pub fn validate(&self) -> Result<()> {
        let mut names = BTreeSet::new();
        for location in &self.locations {
            location.validate()?;
            let nodes = location.nodes.iter().map(|node| &node.name);
            let devices = location.devices.iter().map(|device| &device.name);
            for name in nodes.chain(devices).chain([&location.name]) {
                ensure!(names.insert(name.clone()), "the name {name:?} is used twice");
            }
        }
        let mut nodes = self.locations.iter().flat_map(|location| &location.nodes);
        if let Some(host) = &self.control_plane {
            ensure!(nodes.any(|node| node.name == *host), "the control plane's node {host:?} does not exist");
        }
        Ok(())
    }
}

impl Location {
    /// Checks a location.
    ///
    /// # Errors
    /// The location is invalid; the error names the location or the node.
    pub fn validate(&self) -> Result<()> {
        check_name(&self.name)?;
        let lans = self.subnets.len().max(1);
        let nodes = self.nodes.iter().map(|node| (&node.name, node.subnet));
        let devices = self.devices.iter().map(|device| (&device.name, device.subnet));
        for (name, subnet) in nodes.chain(devices) {
            check_name(name)?;
            ensure!(subnet < lans, "{name} is in subnet {subnet}, but {} has {lans}", self.name);
        }
        Ok(())
    }
}

fn check_name(name: &str) -> Result<()> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    ensure!(
        !name.is_empty() && name.len() <= MAX_NAME_BYTES && name.bytes().all(plain),
        "the name {name:?} must be 1 to {MAX_NAME_BYTES} lower-case letters, digits or hyphens: it is also the name of an interface"
    );
    ensure!(!matches!(name, "lo" | "internet" | "wan0" | CONTROL_PLANE), "the lab itself uses the name {name:?}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_fields_have_defaults() {
        let topology = Topology::parse("locations: [{name: home, router: nat, nodes: [{name: h1}]}]").unwrap();
        assert_eq!(topology.kubernetes, Kubernetes::Embedded);
        assert_eq!(topology.families, Families::Dual);
        assert_eq!(topology.locations[0].router, RouterKind::Nat);
        assert_eq!(topology.locations[0].nodes[0].pods, 1);
        assert_eq!(topology.agent, AgentSettings::default());
    }

    #[test]
    fn an_invalid_topology_is_rejected_with_the_reason() {
        let cases = [
            ("locations: [{name: a, nodes: [{name: a}]}]", "used twice"),
            ("locations: [{name: a, nodes: [{name: n, subnet: 1}]}]", "subnet 1"),
            ("locations: [{name: UPPER}]", "lower-case"),
            ("locations: [{name: a-name-that-is-too-long}]", "1 to 15"),
            ("locations: [{name: a, colour: red}]", "unknown field"),
            ("{control_plane: n, locations: [{name: a}]}", "does not exist"),
        ];
        for (yaml, expected) in cases {
            let error = format!("{:#}", Topology::parse(yaml).unwrap_err());
            assert!(error.contains(expected), "{yaml}: {error}");
        }
    }
}
