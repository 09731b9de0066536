//! A node: a machine in namespaces of its own, with a disk that survives reboots.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;

use crate::agent::{self, Agent, AgentOptions, Answer};
use crate::internet::Internet;
use crate::layout::NodeLayout;
use crate::namespace::Namespaces;
use crate::network::{self, Role};
use crate::paths::LAB_FILES;
use crate::site::Site;
use crate::supervisor::{Content, NamespaceSetup, PrivateDirectory, Supervisor};
use crate::topology::{self, AgentSettings, Kubernetes, Topology};
use crate::wait;

/// The private directories of a node, and whether they are on its disk.
const OWN_DIRECTORIES: &[(&str, Storage)] = &[
    ("/etc/cni", Storage::Memory),
    ("/opt/cni", Storage::Memory),
    ("/var/lib/carrick", Storage::Disk("carrick")),
    ("/var/lib/cni", Storage::Disk("cni")),
    (LAB_FILES, Storage::Disk("lab")),
];

/// The additional private directories of a node with a kubelet.
const KUBELET_DIRECTORIES: &[(&str, Storage)] =
    &[("/var/lib/containerd", Storage::Disk("containerd")), ("/var/lib/kubelet", Storage::Disk("kubelet"))];

#[derive(Debug, Clone, Copy)]
enum Storage {
    Memory,
    Disk(&'static str),
}

/// A node, on or off.
#[derive(Debug)]
pub struct Node {
    layout: NodeLayout,
    spec: topology::Node,
    disk: PathBuf,
    settings: AgentSettings,
    kind: Kubernetes,
    machine: Mutex<Option<Supervisor>>,
    agent: Mutex<Option<Agent>>,
}

impl Node {
    /// A node that is off. Its disk is a directory of the machine. [`Node::boot`] switches it on.
    #[must_use]
    pub fn new(layout: NodeLayout, spec: topology::Node, topology: &Topology, disk: PathBuf) -> Self {
        let (settings, kind) = (topology.agent.clone(), topology.kubernetes);
        Self { layout, spec, disk, settings, kind, machine: Mutex::new(None), agent: Mutex::new(None) }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.layout.name
    }

    /// Its addresses.
    #[must_use]
    pub const fn layout(&self) -> &NodeLayout {
        &self.layout
    }

    /// Its specification in the topology.
    #[must_use]
    pub const fn spec(&self) -> &topology::Node {
        &self.spec
    }

    /// Writes a file that the node sees in [`LAB_FILES`].
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn give_file(&self, name: &str, content: &str) -> Result<()> {
        let path = self.disk_directory("lab")?.join(name);
        std::fs::write(&path, content).with_context(|| format!("write {}", path.display()))
    }

    /// Switches the node on and connects it to its router.
    ///
    /// # Errors
    /// The node is on, or the kernel refuses.
    pub fn boot(&self, internet: &Internet, site: &Site) -> Result<()> {
        let mut machine = self.machine();
        ensure!(machine.is_none(), "{} is running", self.name());
        let supervisor = Supervisor::start(self.name(), &self.setup()?, Some(internet.namespaces()))?;
        let namespaces = supervisor.namespaces();
        network::prepare(namespaces, Role::Host)?;
        let sysctls: Vec<_> = self.spec.sysctls.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        network::sysctl(namespaces, &sysctls)?;
        site.connect(&self.layout, namespaces)?;
        *machine = Some(supervisor);
        drop(machine);
        tracing::info!(event = "node_booted", node = self.name());
        Ok(())
    }

    /// Ends every process on the node at once. The disk stays.
    ///
    /// # Errors
    /// The node is off.
    pub fn crash(&self) -> Result<()> {
        drop(self.agent().take());
        let supervisor = self.machine().take();
        supervisor.with_context(|| self.is_off())?.cut_power();
        tracing::info!(event = "node_crashed", node = self.name());
        Ok(())
    }

    /// Empties the disk, as a new installation does. The files from the lab stay.
    ///
    /// # Errors
    /// The node is on, or a directory cannot be removed.
    pub fn reinstall(&self) -> Result<()> {
        ensure!(self.machine().is_none(), "{} is running", self.name());
        for (path, storage) in OWN_DIRECTORIES.iter().chain(KUBELET_DIRECTORIES) {
            if let Storage::Disk(name) = storage
                && *path != LAB_FILES
            {
                let directory = self.disk_directory(name)?;
                std::fs::remove_dir_all(&directory).with_context(|| format!("empty {}", directory.display()))?;
            }
        }
        Ok(())
    }

    /// Its namespaces.
    ///
    /// # Errors
    /// The node is off.
    pub fn namespaces(&self) -> Result<Namespaces> {
        let machine = self.machine();
        let supervisor = machine.as_ref().with_context(|| self.is_off())?;
        Ok(supervisor.namespaces().clone())
    }

    /// The PID of its supervisor on this machine.
    ///
    /// # Errors
    /// The node is off.
    pub fn pid(&self) -> Result<u32> {
        let machine = self.machine();
        Ok(machine.as_ref().with_context(|| self.is_off())?.pid())
    }

    /// The path on this machine of a path on the node.
    ///
    /// # Errors
    /// The node is off.
    pub fn path(&self, on_node: &str) -> Result<PathBuf> {
        let machine = self.machine();
        Ok(machine.as_ref().with_context(|| self.is_off())?.path(on_node))
    }

    /// Runs a command line on the node, and returns its standard output.
    ///
    /// # Errors
    /// The node is off, or the command fails; the error shows the command's output.
    pub fn exec(&self, command_line: &[&str]) -> Result<String> {
        self.namespaces()?.exec(command_line)
    }

    /// Starts the agent with the lab's settings and the node's own flags.
    ///
    /// # Errors
    /// The agent runs, `carrick` is not built, or the node is off.
    pub fn start_agent(&self) -> Result<()> {
        self.start_agent_with(AgentOptions::default())
    }

    /// Starts the agent with further options.
    ///
    /// # Errors
    /// The agent runs, `carrick` is not built, or the node is off.
    pub fn start_agent_with(&self, options: AgentOptions) -> Result<()> {
        let mut agent = self.agent();
        ensure!(agent.is_none(), "{}: the agent runs", self.name());
        let log = self.agent_log();
        let options = AgentOptions { flags: [&self.spec.agent_flags[..], &options.flags].concat(), ..options };
        *agent = Some(Agent::start(&self.namespaces()?, &self.settings, &options, &log)?);
        drop(agent);
        tracing::info!(event = "agent_started", node = self.name());
        Ok(())
    }

    /// Kills the agent with SIGKILL.
    ///
    /// # Errors
    /// No agent runs.
    pub fn kill_agent(&self) -> Result<()> {
        self.end_agent(Signal::SIGKILL)
    }

    /// Ends the agent with SIGTERM.
    ///
    /// # Errors
    /// No agent runs.
    pub fn stop_agent(&self) -> Result<()> {
        self.end_agent(Signal::SIGTERM)
    }

    /// Checks that the agent runs, if it was started.
    ///
    /// # Errors
    /// The agent has ended; the error shows the end of its log.
    pub fn check_agent(&self) -> Result<()> {
        self.agent().as_ref().map_or(Ok(()), Agent::check)
    }

    /// Waits until the agent is ready.
    ///
    /// # Errors
    /// No agent runs, or the agent ends.
    pub fn await_agent(&self) -> Result<()> {
        wait::until(&format!("the agent on {}", self.name()), || {
            let agent = self.agent();
            let agent = agent.as_ref().with_context(|| format!("{}: no agent runs", self.name()))?;
            agent.check()?;
            Ok(agent.is_ready().then_some(()))
        })
    }

    /// The agent's PID on this machine.
    #[must_use]
    pub fn agent_pid(&self) -> Option<u32> {
        self.agent().as_ref().map(|agent| agent.process().pid())
    }

    /// The path of the agent's log on this machine.
    #[must_use]
    pub fn agent_log(&self) -> PathBuf {
        self.disk.join("agent.log")
    }

    /// Gets a page of the agent (`/status`, `/metrics`, `/readyz`).
    ///
    /// # Errors
    /// No agent answers, or the node is off.
    pub fn agent_page(&self, path: &str) -> Result<Answer> {
        agent::get(&self.namespaces()?, path)
    }

    fn end_agent(&self, signal: Signal) -> Result<()> {
        let agent = self.agent().take().with_context(|| format!("{}: no agent runs", self.name()))?;
        let status = agent.end(signal)?;
        tracing::info!(event = "agent_ended", node = self.name(), %status);
        Ok(())
    }

    fn agent(&self) -> MutexGuard<'_, Option<Agent>> {
        self.agent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn machine(&self) -> MutexGuard<'_, Option<Supervisor>> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_off(&self) -> String {
        format!("{} is off", self.name())
    }

    fn setup(&self) -> Result<NamespaceSetup> {
        let directory = |(path, storage): &(&str, Storage)| {
            let content = match storage {
                Storage::Memory => Content::Empty,
                Storage::Disk(name) => Content::HostDirectory(self.disk_directory(name)?),
            };
            Ok(PrivateDirectory { path: Path::new(path).to_path_buf(), content })
        };
        let of_kubelet: &[_] = match self.kind {
            Kubernetes::Embedded | Kubernetes::Apiserver => &[],
            Kubernetes::Cluster => KUBELET_DIRECTORIES,
        };
        Ok(NamespaceSetup {
            hostname: Some(self.name().to_owned()),
            directories: OWN_DIRECTORIES.iter().chain(of_kubelet).map(directory).collect::<Result<_>>()?,
        })
    }

    fn disk_directory(&self, name: &str) -> Result<PathBuf> {
        let path = self.disk.join(name);
        std::fs::create_dir_all(&path).with_context(|| format!("make {}", path.display()))?;
        Ok(path)
    }
}
