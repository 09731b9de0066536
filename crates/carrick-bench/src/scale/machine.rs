//! The machine of the node that has an agent, and the agent's API server.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use carrick_lab::address::Family;
use carrick_lab::agent::{Agent, AgentOptions};
use carrick_lab::namespace::Namespaces;
use carrick_lab::network::{self, PrefixRoute, Role, Route};
use carrick_lab::paths::{LAB_FILES, project_file};
use carrick_lab::supervisor::{Content, NamespaceSetup, PrivateDirectory, Supervisor};
use carrick_lab::topology::AgentSettings;
use carrick_test_apiserver::control_plane::{ADMIN, Assets, ControlPlane, ExtraFlags, Options, User};
use carrick_test_apiserver::proxy::{Backend, Proxy};
use ipnet::IpNet;

use super::agent_writes::{self, AgentWrites};
use super::api::Api;
use super::kubelets::Kubelets;
use super::population::{OWN_ADDRESS, OWN_NAME};
use super::report::Counters;
use crate::process_usage::ProcessUsage;

/// The address of the API server, on the node's loopback device.
const API_SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 6443);
/// The agent's user at the API server.
const AGENT_USER: &str = "system:serviceaccount:carrick-system:carrick";
/// The directories that the agent writes to. They are in memory, so that the speed of the machine's disk does not matter.
const OWN_DIRECTORIES: [&str; 4] = ["/etc/cni", "/opt/cni", "/var/lib/carrick", "/var/lib/cni"];
/// etcd keeps every version until a compaction, and thousands of heartbeats a minute exceed its default quota.
const ETCD_FLAGS: [&str; 3] =
    ["--quota-backend-bytes=8000000000", "--auto-compaction-mode=periodic", "--auto-compaction-retention=1m"];

/// The namespaces of a node, with an uplink that is connected to nothing.
pub(super) struct Machine {
    supervisor: Supervisor,
    directory: PathBuf,
}

impl Machine {
    /// Makes the machine. `directory` is for the files that the lab gives it, for logs and for the API server's state.
    pub(super) fn start(directory: &Path) -> Result<Self> {
        let lab_files = directory.join("lab");
        std::fs::create_dir_all(&lab_files).with_context(|| format!("make {}", lab_files.display()))?;
        let fresh = |path: &str| PrivateDirectory { path: path.into(), content: Content::Empty };
        let given = PrivateDirectory { path: LAB_FILES.into(), content: Content::HostDirectory(lab_files) };
        let directories = OWN_DIRECTORIES.map(fresh).into_iter().chain([given]).collect();
        let setup = NamespaceSetup { hostname: Some(OWN_NAME.to_owned()), directories };
        let supervisor = Supervisor::start(OWN_NAME, &setup, None)?;
        network::prepare(supervisor.namespaces(), Role::Host)?;
        network::configure(supervisor.namespaces(), |kernel| {
            kernel.add_bridge("eth0", None)?;
            kernel.add_address("eth0", IpNet::new(OWN_ADDRESS.into(), 20)?, PrefixRoute::Added)?;
            kernel.add_route(&Route::default_of(Family::V4, "eth0").source(OWN_ADDRESS))
        })?;
        Ok(Self { supervisor, directory: directory.to_owned() })
    }

    /// The network namespace alone.
    pub(super) fn network(&self) -> Result<Namespaces> {
        Namespaces::network(OWN_NAME, Path::new(&format!("/proc/{}/ns/net", self.supervisor.pid())))
    }

    /// The path on this machine of a path on the node.
    pub(super) fn path(&self, inside: &str) -> PathBuf {
        self.supervisor.path(inside)
    }

    /// Starts the API server and a client, in the caller's network namespace.
    pub(super) fn start_cluster(&self) -> Result<Cluster<'_>> {
        let options = Options {
            assets: Assets::locate(&project_file("tests/kubernetes/build.sh"))?,
            namespace: None,
            address: API_SERVER,
            directory: self.directory.join("control-plane"),
            users: vec![User { name: AGENT_USER.to_owned(), groups: vec!["system:masters".to_owned()] }],
            manifests: vec![project_file("deploy/crd")],
        };
        let (writes, apiserver) = agent_writes::record(&self.directory, AGENT_USER)?;
        let flags = ExtraFlags { apiserver, etcd: ETCD_FLAGS.map(str::to_owned).to_vec() };
        let server = ControlPlane::start_with(options, flags).context("start the API server")?;
        let api = Api::connect(&server.kubeconfig(&server.url(), ADMIN)?)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listen for the agent")?;
        let proxy = Proxy::start(listener, Backend::new(API_SERVER)).context("start the proxy")?;
        let kubeconfig = server.kubeconfig(&format!("https://{}", proxy.address()), AGENT_USER)?;
        let path = self.directory.join("lab/kubeconfig");
        std::fs::write(&path, kubeconfig).with_context(|| format!("write {}", path.display()))?;
        Ok(Cluster { machine: self, api, proxy, writes, _server: server })
    }
}

/// The API server, and the connections of this program and of the agent to it.
pub(super) struct Cluster<'m> {
    machine: &'m Machine,
    pub(super) api: Api,
    proxy: Proxy,
    writes: AgentWrites,
    _server: ControlPlane,
}

impl Cluster<'_> {
    /// Starts the agent with its default settings.
    pub(super) fn start_agent(&self) -> Result<Agent> {
        let log = self.machine.directory.join("agent.log");
        let flags = ["--wireguard".to_owned(), "userspace".to_owned()].into();
        let options = AgentOptions { flags, ..AgentOptions::default() };
        Agent::start(self.machine.supervisor.namespaces(), &AgentSettings::default(), &options, &log)
    }

    /// Reads all counters.
    pub(super) fn counters(&self, agent: &Agent, kubelets: &Kubelets) -> Result<Counters> {
        agent.check()?;
        Ok(Counters {
            at: std::time::Instant::now(),
            usage: ProcessUsage::of(agent.process().pid())?,
            bytes_from_api: self.proxy.traffic().to_clients,
            writes: self.writes.so_far()?,
            heartbeats: kubelets.written(),
        })
    }
}
