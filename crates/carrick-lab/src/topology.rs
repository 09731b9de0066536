//! The topology file: what a person writes to describe clouds.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

use crate::address::Families;
use crate::lab::CONTROL_PLANE;

/// The label that tells a node's location.
pub const LOCATION_LABEL: &str = "topology.kubernetes.io/region";

/// Two clouds and a home, as YAML: what the demo brings up and the README shows.
pub const DEMO: &str = include_str!("../topologies/demo.yaml");

/// The longest interface name (`IFNAMSIZ` without its final zero); names of locations and nodes are
/// also names of interfaces, so that captures are easy to read.
const MAX_NAME_BYTES: usize = 15;

/// A whole lab.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topology {
    /// What answers as Kubernetes.
    #[serde(default)]
    pub kubernetes: Kubernetes,
    /// The node in whose network the control plane of a real cluster stands; outside all nodes if missing.
    #[serde(default)]
    pub control_plane: Option<String>,
    /// The families of the pod CIDRs.
    #[serde(default)]
    pub families: Families,
    /// How the agents are started.
    #[serde(default)]
    pub agent: AgentSettings,
    /// The clouds.
    pub locations: Vec<Location>,
}

/// What answers as Kubernetes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Kubernetes {
    /// The lab's own small API server, in its own process.
    #[default]
    Embedded,
    /// A real etcd and kube-apiserver.
    Apiserver,
    /// A real cluster: also controller manager and scheduler, and on each node containerd, kubelet and kube-proxy. The agent
    /// is a DaemonSet there, the pods are Kubernetes' own, and `pods` and `pod_cidrs` of nodes do not count.
    Cluster,
}

/// How the agents are started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AgentSettings {
    /// What is meshed.
    pub granularity: Granularity,
    /// How pod packets travel inside a location.
    pub encapsulation: Encapsulation,
    /// How many gateways of a location carry traffic at a time.
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

/// What is meshed: the agent's `--granularity`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Granularity {
    /// Gateways only.
    #[default]
    Location,
    /// Every node to every node of other locations.
    Cross,
    /// Every node to every node.
    Full,
}

impl Granularity {
    /// The flag's value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Location => "location",
            Self::Cross => "cross",
            Self::Full => "full",
        }
    }
}

/// How pod packets travel between nodes of one location: the agent's `--encapsulation`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Encapsulation {
    /// VXLAN everywhere.
    #[default]
    Always,
    /// Plainly inside a subnet, VXLAN between subnets.
    CrossSubnet,
    /// Plainly everywhere.
    Never,
}

impl Encapsulation {
    /// The flag's value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::CrossSubnet => "cross-subnet",
            Self::Never => "never",
        }
    }
}

/// A cloud, a data centre or a home.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Location {
    /// Its name: the value of [`LOCATION_LABEL`], and the name of its uplink in the internet namespace.
    pub name: String,
    /// How its router treats packets.
    #[serde(default)]
    pub router: RouterKind,
    /// The families of its network.
    #[serde(default)]
    pub families: Families,
    /// Its LANs; one with lab-chosen numbers by default.
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

/// How a location's router treats packets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RouterKind {
    /// Forwards everything; nodes have public addresses.
    #[default]
    Open,
    /// Network address translation whose mapping does not depend on the destination (RFC 4787).
    Nat,
    /// Network address translation with another port for every destination.
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

/// The numbers of one LAN; what is missing is chosen by the lab.
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
    /// The name of the Node object, of the host, and of the router's interface to it.
    pub name: String,
    /// The index of its LAN in the location's subnets.
    #[serde(default)]
    pub subnet: usize,
    /// Annotations of the Node object.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// Labels of the Node object, besides the host name and the location.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Sysctls set before anything else happens on the node (`net.ipv4.conf.all.rp_filter: "1"`).
    #[serde(default)]
    pub sysctls: BTreeMap<String, String>,
    /// Pods on it.
    #[serde(default = "one")]
    pub pods: u16,
    /// The pod CIDRs, instead of the lab's choice.
    #[serde(default)]
    pub pod_cidrs: Vec<IpNet>,
    /// Agent flags of this node alone.
    #[serde(default)]
    pub agent_flags: Vec<String>,
}

const fn one() -> u16 {
    1
}

/// A machine in a LAN that is not a node, such as a printer: it has no route to anything outside its
/// own subnet.
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

    /// Checks what the types cannot say: names are unique and fit, subnets exist.
    ///
    /// # Errors
    /// Names the location or the node that is wrong.
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
            ensure!(
                nodes.any(|node| node.name == *host),
                "the control plane is to stand on {host:?}, which is no node"
            );
        }
        Ok(())
    }
}

impl Location {
    /// Checks a location on its own.
    ///
    /// # Errors
    /// Names the location or the node that is wrong.
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
        "the name {name:?} must be 1 to {MAX_NAME_BYTES} lower-case letters, digits or hyphens: it is also an interface's name"
    );
    ensure!(!matches!(name, "lo" | "internet" | "wan0" | CONTROL_PLANE), "the name {name:?} is taken by the lab");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_file_gets_the_defaults() {
        let topology = Topology::parse("locations: [{name: home, router: nat, nodes: [{name: h1}]}]").unwrap();
        assert_eq!(topology.kubernetes, Kubernetes::Embedded);
        assert_eq!(topology.families, Families::Dual);
        assert_eq!(topology.locations[0].router, RouterKind::Nat);
        assert_eq!(topology.locations[0].nodes[0].pods, 1);
        assert_eq!(topology.agent, AgentSettings::default());
    }

    #[test]
    fn mistakes_are_named() {
        let cases = [
            ("locations: [{name: a, nodes: [{name: a}]}]", "used twice"),
            ("locations: [{name: a, nodes: [{name: n, subnet: 1}]}]", "subnet 1"),
            ("locations: [{name: UPPER}]", "lower-case"),
            ("locations: [{name: a-name-that-is-too-long}]", "1 to 15"),
            ("locations: [{name: a, colour: red}]", "unknown field"),
            ("{control_plane: n, locations: [{name: a}]}", "no node"),
        ];
        for (yaml, expected) in cases {
            let error = format!("{:#}", Topology::parse(yaml).unwrap_err());
            assert!(error.contains(expected), "{yaml}: {error}");
        }
    }
}
