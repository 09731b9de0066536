//! The machine of the node that has an agent, with the API server that the agent talks to.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::agent_writes::{self, AgentWrites};
use super::api::Api;
use super::kubelets::Kubelets;
use super::population::{OWN_ADDRESS, OWN_NAME};
use super::report::Gauge;
use crate::agent::{Agent, AgentOptions};
use crate::footprint::Footprint;
use crate::namespace::Namespaces;
use crate::network::{self, Role};
use crate::node::LAB_FILES;
use crate::supervisor::{Content, NamespaceSetup, PrivateDirectory, Supervisor};
use crate::topology::AgentSettings;
use carrick_test_apiserver::control_plane::{ADMIN, Assets, ControlPlane, ExtraFlags, Options, User};
use carrick_test_apiserver::proxy::{Backend, Proxy};

/// Where the API server listens on the node's loopback.
const API_SERVER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 6443);
/// Who the agent is to the API server.
const AGENT_USER: &str = "system:serviceaccount:carrick-system:carrick";
/// The directories that the agent writes to; all are in memory, so that the machine's disk delays nothing.
const OWN_DIRECTORIES: [&str; 4] = ["/etc/cni", "/opt/cni", "/var/lib/carrick", "/var/lib/cni"];
/// etcd keeps every version until the API server compacts, and thousands of heartbeats a minute are more than its default holds.
const ETCD_FLAGS: [&str; 3] =
    ["--quota-backend-bytes=8000000000", "--auto-compaction-mode=periodic", "--auto-compaction-retention=1m"];

/// A node's namespaces with an uplink that leads nowhere.
pub(super) struct Machine {
    supervisor: Supervisor,
    directory: PathBuf,
}

impl Machine {
    /// Makes it; `directory` is for what the lab gives it, for logs and for the API server's state.
    pub(super) fn start(directory: &Path) -> Result<Self> {
        let lab_files = directory.join("lab");
        std::fs::create_dir_all(&lab_files).with_context(|| format!("make {}", lab_files.display()))?;
        let fresh = |path: &str| PrivateDirectory { path: path.into(), content: Content::Empty };
        let given = PrivateDirectory { path: LAB_FILES.into(), content: Content::HostDirectory(lab_files) };
        let directories = OWN_DIRECTORIES.map(fresh).into_iter().chain([given]).collect();
        let setup = NamespaceSetup { hostname: Some(OWN_NAME.to_owned()), directories };
        let supervisor = Supervisor::start(OWN_NAME, &setup, None)?;
        network::prepare(supervisor.namespaces(), Role::Host)?;
        network::ip(
            supervisor.namespaces(),
            &format!(
                "link add name eth0 type bridge\n\
                 address add {OWN_ADDRESS}/20 dev eth0\n\
                 link set dev eth0 up\n\
                 route add default dev eth0 src {OWN_ADDRESS}\n"
            ),
        )?;
        Ok(Self { supervisor, directory: directory.to_owned() })
    }

    /// Its network, without its files.
    pub(super) fn network(&self) -> Result<Namespaces> {
        Namespaces::network(OWN_NAME, Path::new(&format!("/proc/{}/ns/net", self.supervisor.pid())))
    }

    /// A path on it, as this machine sees it.
    pub(super) fn path(&self, inside: &str) -> PathBuf {
        self.supervisor.path(inside)
    }

    /// Starts the API server and a client of it, in the caller's network.
    pub(super) fn start_cluster(&self) -> Result<Cluster<'_>> {
        let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let options = Options {
            assets: Assets::locate(&project.join("tests/kubernetes/build.sh"))?,
            namespace: None,
            address: API_SERVER,
            directory: self.directory.join("control-plane"),
            users: vec![User { name: AGENT_USER.to_owned(), groups: vec!["system:masters".to_owned()] }],
            manifests: vec![project.join("deploy/crd")],
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

/// The API server, as this program and the agent see it.
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
    pub(super) fn gauge(&self, agent: &Agent, kubelets: &Kubelets) -> Result<Gauge> {
        agent.check()?;
        Ok(Gauge {
            at: std::time::Instant::now(),
            footprint: Footprint::of(agent.process().pid())?,
            bytes_from_api: self.proxy.traffic().to_clients,
            writes: self.writes.so_far()?,
            heartbeats: kubelets.written(),
        })
    }
}
