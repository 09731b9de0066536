//! A real Kubernetes cluster on the lab's nodes: containerd, kubelet and kube-proxy on each node, controller manager and scheduler
//! beside the API server, and Carrick from its manifests and its image.

mod carrick;
mod dns;
mod idle_pods;
mod images;
mod machine;
mod pods;
pub mod services;
mod workload;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::kubernetes::{Kubernetes, POD_CIDRS, SERVICE_CIDRS};
use crate::node::Node;
use crate::process::Process;
use crate::topology::Topology;
use crate::wait;

pub use carrick::Rollout;
pub use idle_pods::IdlePods;
pub use images::{CARRICK, Images};
pub use machine::Machine;
pub use pods::ClusterPod;

/// A cluster without its API server.
#[derive(Debug)]
pub struct Cluster {
    programs: PathBuf,
    directory: PathBuf,
    images: Images,
    machines: Mutex<BTreeMap<String, Machine>>,
    _managers: [Process; 2],
}

impl Cluster {
    /// Starts the controller manager and the scheduler beside the API server, and makes the images.
    ///
    /// # Errors
    /// A program or an image cannot be built, or a process cannot be started.
    pub fn start(kubernetes: &Kubernetes, directory: &Path) -> Result<Self> {
        let programs = kubernetes.programs()?;
        let images = Images::make(&programs, directory)?;
        let configuration = directory.join("manager.conf");
        std::fs::write(&configuration, kubernetes.admin_kubeconfig()?).context("write a kubeconfig")?;
        let configuration = format!("--kubeconfig={}", configuration.display());
        let pki = directory.join("pki");
        let controllers = [
            configuration.clone(),
            "--leader-elect=false".to_owned(),
            "--allocate-node-cidrs".to_owned(),
            format!("--cluster-cidr={POD_CIDRS}"),
            format!("--service-cluster-ip-range={SERVICE_CIDRS}"),
            "--node-cidr-mask-size-ipv6=64".to_owned(),
            format!("--service-account-private-key-file={}", pki.join("apiserver.key").display()),
            format!("--root-ca-file={}", pki.join("apiserver.crt").display()),
            "--use-service-account-credentials".to_owned(),
            "--secure-port=0".to_owned(),
        ];
        let scheduling = [configuration, "--leader-elect=false".to_owned(), "--secure-port=0".to_owned()];
        let start = |program: &str, arguments: &[String]| {
            let log = directory.join(format!("{program}.log"));
            let mut command = Command::new(programs.join(program));
            Process::start_with_log(kubernetes.namespaces(), command.args(arguments), &log)
        };
        let managers = [start("kube-controller-manager", &controllers)?, start("kube-scheduler", &scheduling)?];
        Ok(Self { images, directory: directory.to_owned(), machines: Mutex::default(), _managers: managers, programs })
    }

    /// Starts the programs of each node, waits for the Node objects, and adds the topology's annotations to them.
    ///
    /// # Errors
    /// A program ends, or the API server rejects a request.
    pub fn join(&self, nodes: &[&Node], kubernetes: &Kubernetes) -> Result<()> {
        let proxy = kubernetes.kube_proxy_kubeconfig()?;
        std::thread::scope(|scope| {
            let start = |node: &&Node| -> Result<()> {
                let machine = Machine::start(node, &self.programs, &self.images, &proxy)?;
                self.machines().insert(node.name().to_owned(), machine);
                Ok(())
            };
            let threads: Vec<_> = nodes.iter().map(|node| scope.spawn(move || start(node))).collect();
            threads
                .into_iter()
                .try_for_each(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        })?;
        for node in nodes {
            wait::until(&format!("the Node {}", node.name()), || {
                self.check(node.name())?;
                Ok(kubernetes.node(node.name()).ok())
            })?;
            for (key, value) in &node.spec().annotations {
                kubernetes.annotate(node.name(), key, Some(value))?;
            }
        }
        tracing::info!(event = "nodes_registered", nodes = nodes.len());
        Ok(())
    }

    /// Forgets the programs of a node that is off. [`Cluster::join`] starts new ones.
    pub fn leave(&self, node: &str) {
        self.machines().remove(node);
    }

    /// Installs Carrick and waits until every Node is ready.
    ///
    /// # Errors
    /// kubectl fails, or a kubelet ends.
    pub fn install_carrick(&self, kubernetes: &Kubernetes, topology: &Topology) -> Result<()> {
        let rollout = Rollout::of(topology);
        carrick::install(kubernetes, &self.directory.join("carrick"), &rollout)?;
        wait::until("every Node to be ready", || {
            self.machines().values().try_for_each(Machine::check)?;
            Ok(self.unready(kubernetes)?.is_empty().then_some(()))
        })?;
        tracing::info!(event = "nodes_ready");
        Ok(())
    }

    /// Rolls out Carrick with other settings or another image, and waits until every agent is new.
    ///
    /// # Errors
    /// kubectl fails.
    pub fn roll_out(&self, kubernetes: &Kubernetes, rollout: &Rollout) -> Result<()> {
        carrick::install(kubernetes, &self.directory.join("carrick"), rollout)?;
        kubernetes.kubectl(&["rollout", "status", "daemonset/carrick", "--namespace=carrick-system"])?;
        Ok(())
    }

    /// Deletes Carrick's objects, and waits until its pods have ended. What Carrick made on the nodes stays.
    ///
    /// # Errors
    /// kubectl fails.
    pub fn delete_carrick(&self, kubernetes: &Kubernetes) -> Result<()> {
        carrick::remove(kubernetes, &self.directory.join("carrick"))
    }

    /// Runs one of the cluster's programs on a node, such as `ctr`.
    ///
    /// # Errors
    /// The program fails, or the node is off.
    pub fn exec(&self, node: &Node, program: &str, arguments: &[&str]) -> Result<String> {
        let program = self.programs.join(program);
        node.exec(&[&[&*program.to_string_lossy()], arguments].concat())
    }

    /// The names of the Nodes whose condition `Ready` is not true.
    ///
    /// # Errors
    /// kubectl fails.
    pub fn unready(&self, kubernetes: &Kubernetes) -> Result<Vec<String>> {
        let nodes: Value = serde_json::from_str(&kubernetes.kubectl(&["get", "nodes", "--output=json"])?)?;
        Ok(unready(&nodes))
    }

    /// Runs CoreDNS, and a DaemonSet with a Service in each location, and waits until they are ready.
    ///
    /// # Errors
    /// kubectl fails.
    pub fn run_workload(&self, kubernetes: &Kubernetes, topology: &Topology) -> Result<()> {
        workload::run(kubernetes, topology, &self.directory)
    }

    /// The pods of the workload, one on each node.
    ///
    /// # Errors
    /// kubectl fails, or a pod has no network.
    pub fn pods<'a>(&self, kubernetes: &Kubernetes, nodes: impl Iterator<Item = &'a Node>) -> Result<Vec<ClusterPod>> {
        nodes.map(|node| pods::of_node(kubernetes, node, workload::SELECTOR)).collect()
    }

    /// Waits for the network of the pod that a label selector matches on a node.
    ///
    /// # Errors
    /// kubectl fails, or the pod gets no network.
    pub fn pod(&self, kubernetes: &Kubernetes, node: &Node, selector: &str) -> Result<ClusterPod> {
        pods::of_node(kubernetes, node, selector)
    }

    /// Checks that the programs of a node run.
    ///
    /// # Errors
    /// A program has ended; the error shows the end of its log.
    pub fn check(&self, node: &str) -> Result<()> {
        self.machines().get(node).with_context(|| format!("{node} has no kubelet"))?.check()
    }

    fn machines(&self) -> MutexGuard<'_, BTreeMap<String, Machine>> {
        self.machines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The names of the Nodes of a NodeList whose condition `Ready` is not true.
#[must_use]
pub fn unready(nodes: &Value) -> Vec<String> {
    let is_ready = |node: &Value| {
        let conditions = node["status"]["conditions"].as_array().into_iter().flatten();
        conditions.into_iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
    };
    let items = nodes["items"].as_array().into_iter().flatten();
    let unready = items.filter(|node| !is_ready(node));
    unready.filter_map(|node| node["metadata"]["name"].as_str()).map(str::to_owned).collect()
}
