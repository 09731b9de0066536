//! A lab, from its topology to its end.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result, ensure};

use crate::cluster::{Cluster, ClusterPod};
use crate::host_setup;
use crate::internet::Internet;
use crate::kubernetes::Kubernetes;
use crate::layout::Numbering;
use crate::matrix::{self, Endpoint, Kind, MatrixOptions, Pair};
use crate::node::Node;
use crate::pod::Pod;
use crate::site::Site;
use crate::state::{CONTROL_PLANE, StateDirectory};
use crate::topology::{self, Topology};

/// A running lab. Dropping it takes the lab down.
#[derive(Debug)]
pub struct Lab {
    topology: Topology,
    numbering: Numbering,
    // Fields are dropped in this order: inner parts end before the parts around them.
    pods: BTreeMap<String, Pod>,
    cluster: Option<Cluster>,
    kubernetes: Kubernetes,
    nodes: BTreeMap<String, Node>,
    sites: BTreeMap<String, Site>,
    internet: Internet,
    state: StateDirectory,
}

impl Lab {
    /// Brings up a lab under a name that no other lab of this machine has.
    ///
    /// # Errors
    /// The topology is invalid, the machine lacks a program, or the kernel refuses. Everything that was made is removed.
    pub fn up(topology: &Topology) -> Result<Self> {
        static LABS: AtomicU32 = AtomicU32::new(1);
        let number = LABS.fetch_add(1, Ordering::Relaxed);
        Self::up_as(&format!("{}-{number}", std::process::id()), topology)
    }

    /// Brings up a lab under a name, by which the command line finds it.
    ///
    /// # Errors
    /// As [`Lab::up`], and if a lab of this name runs.
    pub fn up_as(name: &str, topology: &Topology) -> Result<Self> {
        host_setup::check(topology.kubernetes)?;
        topology.validate()?;
        let state = StateDirectory::create(name)?;
        let internet = Internet::start()?;
        let kubernetes = Kubernetes::start(topology, internet.namespaces(), &state.directory(CONTROL_PLANE)?)?;
        let mut lab = Self {
            topology: topology.clone(),
            numbering: Numbering::default(),
            pods: BTreeMap::new(),
            cluster: None,
            kubernetes,
            nodes: BTreeMap::new(),
            sites: BTreeMap::new(),
            internet,
            state,
        };
        for location in &topology.locations {
            lab.add_location(location)?;
        }
        lab.start_control_plane()?;
        match &lab.cluster {
            Some(cluster) => lab.start_cluster(cluster)?,
            None if topology.agent.start => lab.start_all()?,
            None => {}
        }
        Ok(lab)
    }

    /// The topology of the lab.
    #[must_use]
    pub const fn topology(&self) -> &Topology {
        &self.topology
    }

    /// The internet between the locations.
    #[must_use]
    pub const fn internet(&self) -> &Internet {
        &self.internet
    }

    /// The Kubernetes API, and the proxies between it and the nodes.
    #[must_use]
    pub const fn kubernetes(&self) -> &Kubernetes {
        &self.kubernetes
    }

    /// The cluster of a lab on real Kubernetes.
    ///
    /// # Errors
    /// The lab is not on real Kubernetes.
    pub fn cluster(&self) -> Result<&Cluster> {
        self.cluster.as_ref().context("the lab is not on real Kubernetes")
    }

    /// The pods of a lab on real Kubernetes, one on each node; empty in any other lab.
    ///
    /// # Errors
    /// kubectl fails.
    pub fn cluster_pods(&self) -> Result<Vec<ClusterPod>> {
        match &self.cluster {
            Some(cluster) if self.topology.agent.start => cluster.pods(&self.kubernetes, self.nodes.values()),
            Some(_) | None => Ok(Vec::new()),
        }
    }

    /// The lab's directory on the machine.
    #[must_use]
    pub const fn state(&self) -> &StateDirectory {
        &self.state
    }

    /// A location.
    ///
    /// # Errors
    /// There is no location of this name.
    pub fn site(&self, name: &str) -> Result<&Site> {
        self.sites.get(name).with_context(|| format!("no location named {name}"))
    }

    /// All nodes, by name.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values()
    }

    /// A node.
    ///
    /// # Errors
    /// There is no node of this name.
    pub fn node(&self, name: &str) -> Result<&Node> {
        self.nodes.get(name).with_context(|| format!("no node named {name}"))
    }

    /// All pods, by name.
    pub fn pods(&self) -> impl Iterator<Item = &Pod> {
        self.pods.values()
    }

    /// A pod. The first pod of the node `a1` is named `a1-pod1`.
    ///
    /// # Errors
    /// There is no pod of this name.
    pub fn pod(&self, name: &str) -> Result<&Pod> {
        self.pods.get(name).with_context(|| format!("no pod named {name}"))
    }

    /// All pods and nodes, as endpoints of a matrix.
    ///
    /// # Errors
    /// A node is off.
    pub fn endpoints(&self) -> Result<Vec<Endpoint>> {
        let mut endpoints = Vec::new();
        for pod in self.pods.values() {
            endpoints.push(Endpoint {
                name: pod.name().to_owned(),
                location: self.node(pod.node())?.layout().location.clone(),
                kind: Kind::Pod,
                namespaces: pod.namespaces().clone(),
                addresses: pod.addresses(),
            });
        }
        for pod in self.cluster_pods()? {
            let node = self.node(&pod.node)?;
            endpoints.push(Endpoint {
                name: pod_name(&pod.node, 1),
                location: node.layout().location.clone(),
                kind: Kind::Pod,
                namespaces: pod.namespaces(node)?,
                addresses: pod.addresses,
            });
        }
        for node in self.nodes.values() {
            endpoints.push(Endpoint {
                name: node.name().to_owned(),
                location: node.layout().location.clone(),
                kind: Kind::Node,
                namespaces: node.namespaces()?,
                addresses: node.layout().internal,
            });
        }
        Ok(endpoints)
    }

    /// Tests whether all pods and nodes reach every pod: with a ping and with bytes over TCP, in each family.
    ///
    /// # Errors
    /// A node is off.
    pub fn ping_matrix(&self, options: MatrixOptions) -> Result<Vec<Pair>> {
        matrix::measure(&self.endpoints()?, options)
    }

    /// Adds a location with its devices and nodes, and switches them on. [`Lab::start`] starts agents and pods.
    ///
    /// # Errors
    /// The specification is invalid, or the kernel refuses.
    pub fn add_location(&mut self, spec: &topology::Location) -> Result<()> {
        spec.validate()?;
        ensure!(!self.sites.contains_key(&spec.name), "there is a location named {}", spec.name);
        let mut site = Site::start(&self.internet, self.numbering.location(spec)?)?;
        for device in &spec.devices {
            site.add_device(&self.internet, device)?;
        }
        self.sites.insert(spec.name.clone(), site);
        for node in &spec.nodes {
            self.add_node(&spec.name, node)?;
        }
        Ok(())
    }

    /// Adds a node to a location, switches it on and registers it in Kubernetes.
    ///
    /// # Errors
    /// The specification is invalid, or the kernel refuses.
    pub fn add_node(&mut self, location: &str, spec: &topology::Node) -> Result<&Node> {
        ensure!(!self.nodes.contains_key(&spec.name), "there is a node named {}", spec.name);
        let site = self.sites.get_mut(location).with_context(|| format!("no location named {location}"))?;
        let layout = self.numbering.node(site.layout_mut(), spec, self.topology.families)?;
        let kubeconfig = self.kubernetes.register(&layout, spec)?;
        let disk = self.state.directory(&spec.name)?;
        let node = Node::new(layout, spec.clone(), &self.topology, disk);
        node.give_file("kubeconfig", &kubeconfig)?;
        node.boot(&self.internet, site)?;
        Ok(self.nodes.entry(spec.name.clone()).or_insert(node))
    }

    /// Starts the agent of a node, and the node's pods.
    ///
    /// # Errors
    /// The agent ends, or a plugin fails.
    pub fn start(&mut self, node: &str) -> Result<()> {
        let node = self.node(node)?;
        node.start_agent()?;
        let pods = start_pods(node)?;
        self.pods.extend(pods);
        Ok(())
    }

    /// Adds a pod to a node.
    ///
    /// # Errors
    /// The node is off, or a plugin fails.
    pub fn add_pod(&mut self, node: &str) -> Result<&Pod> {
        let number = (1..).find(|number| !self.pods.contains_key(&pod_name(node, *number)));
        let name = pod_name(node, number.context("no number left")?);
        let pod = Pod::start(self.node(node)?, &name)?;
        Ok(self.pods.entry(name).or_insert(pod))
    }

    /// Removes a pod.
    ///
    /// # Errors
    /// There is no pod of this name, or a plugin fails.
    pub fn remove_pod(&mut self, name: &str) -> Result<()> {
        let pod = self.pods.remove(name).with_context(|| format!("no pod named {name}"))?;
        let node = self.nodes.get(pod.node()).context("the pod's node does not exist any more")?;
        pod.stop(node)
    }

    /// Cuts a node's power. Its processes and pods end; its disk and its Node object stay.
    ///
    /// # Errors
    /// There is no node of this name, or the node is off.
    pub fn crash(&mut self, name: &str) -> Result<()> {
        self.pods.retain(|_, pod| pod.node() != name);
        self.node(name)?.crash()
    }

    /// Switches on a node that crashed. [`Lab::start`] starts its agent and pods.
    ///
    /// # Errors
    /// There is no node of this name, the node is on, or the kernel refuses.
    pub fn boot(&self, name: &str) -> Result<()> {
        let node = self.node(name)?;
        node.boot(&self.internet, self.site(&node.layout().location)?)
    }

    /// Removes a node: its machine, its Node object and its pods.
    ///
    /// # Errors
    /// There is no node of this name.
    pub fn remove_node(&mut self, name: &str) -> Result<()> {
        self.crash(name)?;
        self.nodes.remove(name);
        self.kubernetes.delete_node(name)
    }

    /// Starts the control plane on a node, and the other parts of a real cluster.
    fn start_control_plane(&mut self) -> Result<()> {
        if let Some(host) = self.topology.control_plane.as_ref().and_then(|host| self.nodes.get(host)) {
            let site = self.sites.get(&host.layout().location).context("the control plane's node has no location")?;
            self.kubernetes.start_on_node(&self.topology, &host.namespaces()?, site)?;
        }
        if self.topology.kubernetes == topology::Kubernetes::Cluster {
            self.cluster = Some(Cluster::start(&self.kubernetes, &self.state.directory(CONTROL_PLANE)?)?);
        }
        Ok(())
    }

    /// Starts the nodes of a real cluster and, if the topology has agents, Carrick and the workload.
    fn start_cluster(&self, cluster: &Cluster) -> Result<()> {
        let nodes: Vec<_> = self.nodes.values().collect();
        cluster.join(&nodes, &self.kubernetes)?;
        if self.topology.agent.start {
            cluster.install_carrick(&self.kubernetes, &self.topology)?;
            cluster.run_workload(&self.kubernetes, &self.topology)?;
        }
        Ok(())
    }

    /// Starts all agents and pods at the same time, as in a cluster that boots.
    fn start_all(&mut self) -> Result<()> {
        for node in self.nodes.values() {
            node.start_agent()?;
        }
        let nodes = &self.nodes;
        let started: Vec<Result<Vec<(String, Pod)>>> = std::thread::scope(|scope| {
            let threads: Vec<_> = nodes.values().map(|node| scope.spawn(|| start_pods(node))).collect();
            let join = |thread: std::thread::ScopedJoinHandle<'_, _>| {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            threads.into_iter().map(join).collect()
        });
        for pods in started {
            self.pods.extend(pods?);
        }
        Ok(())
    }
}

fn start_pods(node: &Node) -> Result<Vec<(String, Pod)>> {
    let start = |number| {
        let name = pod_name(node.name(), number);
        Ok((name.clone(), Pod::start(node, &name)?))
    };
    (1..=node.spec().pods).map(start).collect()
}

/// The name of a node's pod with a number, counted from 1.
pub(crate) fn pod_name(node: &str, number: u16) -> String {
    format!("{node}-pod{number}")
}
