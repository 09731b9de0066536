//! The description of a running lab, for other processes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use crate::address::Addresses;
use crate::agent;
use crate::lab::{Lab, pod_name};
use crate::matrix::{Endpoint, Kind};
use crate::namespace::Namespaces;
use crate::node::Node;
use crate::pod::Pod;
use crate::state::{self, CONTROL_PLANE};
use crate::topology::{Kubernetes, Topology};

/// The name of the internet's namespaces.
pub const INTERNET: &str = "internet";

/// A running lab.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Description {
    /// The topology of the lab.
    pub topology: Topology,
    /// The PID of the internet's supervisor. The lab ends with this process.
    pub supervisor: u32,
    /// The nodes by name.
    pub nodes: BTreeMap<String, NodeDescription>,
    /// The pods by name.
    pub pods: BTreeMap<String, PodDescription>,
    /// How to run kubectl; only on real Kubernetes.
    pub kubectl: Option<KubectlDescription>,
}

/// How to run kubectl in the control plane's namespaces.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KubectlDescription {
    /// The node of the control plane, or the internet.
    pub inside: String,
    /// The program.
    pub program: PathBuf,
    /// The administrator's kubeconfig.
    pub kubeconfig: PathBuf,
}

/// A running node.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NodeDescription {
    /// Its location.
    pub location: String,
    /// The PID of its supervisor.
    pub supervisor: u32,
    /// Its addresses inside the location.
    pub internal: Addresses,
    /// Its public addresses.
    pub public: Addresses,
    /// The path of its agent's log on this machine.
    pub agent_log: PathBuf,
}

/// A running pod.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PodDescription {
    /// Its node.
    pub node: String,
    /// Its addresses.
    pub addresses: Addresses,
    /// The path of its network namespace on its node.
    pub namespace: PathBuf,
}

impl Description {
    /// Describes a lab that this process holds.
    ///
    /// # Errors
    /// A node is off.
    pub fn of(lab: &Lab) -> Result<Self> {
        let node = |node: &Node| -> Result<_> {
            let description = NodeDescription {
                location: node.layout().location.clone(),
                supervisor: node.pid()?,
                internal: node.layout().internal,
                public: node.layout().public,
                agent_log: node.agent_log(),
            };
            Ok((node.name().to_owned(), description))
        };
        let pod = |pod: &Pod| {
            let description = PodDescription {
                node: pod.node().to_owned(),
                addresses: pod.addresses(),
                namespace: pod.container().namespace.clone(),
            };
            (pod.name().to_owned(), description)
        };
        let mut pods: BTreeMap<String, PodDescription> = lab.pods().map(pod).collect();
        for pod in lab.cluster_pods()? {
            let name = pod_name(&pod.node, 1);
            let description = PodDescription { node: pod.node, addresses: pod.addresses, namespace: pod.namespace };
            pods.insert(name, description);
        }
        let kubectl = match lab.topology().kubernetes {
            Kubernetes::Embedded | Kubernetes::Apiserver => None,
            Kubernetes::Cluster => Some(KubectlDescription {
                inside: lab.topology().control_plane.clone().unwrap_or_else(|| INTERNET.to_owned()),
                program: lab.kubernetes().programs()?.join("kubectl"),
                kubeconfig: lab.state().directory(CONTROL_PLANE)?.join("admin.conf"),
            }),
        };
        Ok(Self {
            topology: lab.topology().clone(),
            supervisor: lab.internet().supervisor().pid(),
            nodes: lab.nodes().map(node).collect::<Result<_>>()?,
            pods,
            kubectl,
        })
    }

    /// Writes the description to the file that [`Description::read`] reads.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, lab: &Lab) -> Result<()> {
        let path = file(lab.state().path());
        std::fs::write(&path, serde_json::to_string_pretty(self)?).with_context(|| format!("write {}", path.display()))
    }

    /// Reads the description of a running lab.
    ///
    /// # Errors
    /// No lab of this name runs, or the lab is not up yet.
    pub fn read(lab: &str) -> Result<Self> {
        state::holder(lab)?;
        let path = file(&state::path_of(lab)?);
        let text = std::fs::read_to_string(path).with_context(|| format!("the lab {lab:?} is not up yet"))?;
        serde_json::from_str(&text).context("parse the lab's description")
    }

    /// The namespaces of a node, a pod, a location's router, a device, or the internet.
    ///
    /// # Errors
    /// The lab has nothing of this name.
    pub fn namespaces(&self, name: &str) -> Result<Namespaces> {
        if let Some(node) = self.nodes.get(name) {
            return Namespaces::of_process(name, node.supervisor);
        }
        if let Some(pod) = self.pods.get(name) {
            return self.pod_namespaces(name, pod);
        }
        let internet = Namespaces::of_process(INTERNET, self.supervisor)?;
        if name == INTERNET {
            return Ok(internet);
        }
        let path = format!("/proc/{}/root/run/netns/{name}", self.supervisor);
        match Namespaces::network(name, Path::new(&path)) {
            Ok(network) => internet.with_network_of(&network),
            Err(_missing) => bail!("there is no node, pod, location or device named {name:?}"),
        }
    }

    /// The agents' Unix sockets as `carrickctl --socket` takes them: `NODE=PATH`, with the path on this machine.
    pub fn agent_sockets(&self) -> impl Iterator<Item = String> {
        self.nodes.iter().map(|(name, node)| format!("{name}=/proc/{}/root{}", node.supervisor, agent::SOCKET))
    }

    /// Runs kubectl as the administrator and returns its standard output.
    ///
    /// # Errors
    /// kubectl fails, or the lab is not on real Kubernetes.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        let kubectl = self.kubectl.as_ref().context("the lab is not on real Kubernetes")?;
        let (program, configuration) = (kubectl.program.to_string_lossy(), kubectl.kubeconfig.to_string_lossy());
        let command = [&[&*program, "--kubeconfig", &*configuration], arguments].concat();
        self.namespaces(&kubectl.inside)?.exec(&command)
    }

    /// All pods and nodes, as endpoints of a matrix.
    ///
    /// # Errors
    /// A pod or a node does not exist any more.
    pub fn endpoints(&self) -> Result<Vec<Endpoint>> {
        let mut endpoints = Vec::new();
        for (name, pod) in &self.pods {
            endpoints.push(Endpoint {
                name: name.clone(),
                location: self.node(&pod.node)?.location.clone(),
                kind: Kind::Pod,
                namespaces: self.pod_namespaces(name, pod)?,
                addresses: pod.addresses,
            });
        }
        for (name, node) in &self.nodes {
            endpoints.push(Endpoint {
                name: name.clone(),
                location: node.location.clone(),
                kind: Kind::Node,
                namespaces: self.namespaces(name)?,
                addresses: node.internal,
            });
        }
        Ok(endpoints)
    }

    fn node(&self, name: &str) -> Result<&NodeDescription> {
        self.nodes.get(name).with_context(|| format!("there is no node named {name:?}"))
    }

    fn pod_namespaces(&self, name: &str, pod: &PodDescription) -> Result<Namespaces> {
        let supervisor = self.node(&pod.node)?.supervisor;
        let path = format!("/proc/{supervisor}/root{}", pod.namespace.display());
        let network = Namespaces::network(name, Path::new(&path))?;
        Namespaces::of_process(&pod.node, supervisor)?.with_network_of(&network)
    }
}

fn file(state: &Path) -> PathBuf {
    state.join("lab.json")
}
