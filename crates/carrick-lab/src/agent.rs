//! The agent on a node: a process `carrick agent`.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::Signal;

use crate::binaries;
use crate::log_tail::log_tail;
use crate::namespace::Namespaces;
use crate::paths::lab_file;
use crate::process::Process;
use crate::topology::AgentSettings;

/// The address at which the kubelet asks an agent for its health and readiness.
pub const PROBE_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1107);
/// The agent's Unix socket on its node.
pub const SOCKET: &str = "/run/carrick/agent.sock";

/// How long an agent may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Options of one agent, besides the lab's settings.
#[derive(Debug, Clone, Default)]
pub struct AgentOptions {
    /// Further flags.
    pub flags: Vec<String>,
    /// Further environment variables.
    pub environment: Vec<(String, String)>,
}

/// A running agent.
#[derive(Debug)]
pub struct Agent {
    process: Process,
    namespaces: Namespaces,
    log: PathBuf,
}

impl Agent {
    /// Starts an agent on a node. Its output is appended to `log`.
    ///
    /// # Errors
    /// `carrick` is not built, or the node is off.
    pub fn start(node: &Namespaces, settings: &AgentSettings, options: &AgentOptions, log: &Path) -> Result<Self> {
        let mut command = Command::new(binaries::find("carrick")?);
        command
            .arg("agent")
            .args(["--node-name", node.name()])
            .args(["--kubeconfig", &lab_file("kubeconfig")])
            .args(["--granularity", &settings.granularity.to_string()])
            .args(["--encapsulation", &settings.encapsulation.to_string()])
            .args(["--active-gateways", &settings.active_gateways.to_string()])
            .args(&settings.flags)
            .args(&options.flags);
        // Variables of the tests mean nothing to an agent, which would report them.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CARRICK_")) {
            command.env_remove(name);
        }
        command.envs(options.environment.iter().map(|(name, value)| (name, value)));
        let process = Process::start_with_log(node, &mut command, log)?;
        Ok(Self { process, namespaces: node.clone(), log: log.to_path_buf() })
    }

    /// The agent's process.
    #[must_use]
    pub const fn process(&self) -> &Process {
        &self.process
    }

    /// Checks that the agent runs.
    ///
    /// # Errors
    /// The agent has ended; the error shows the end of its log.
    pub fn check(&self) -> Result<()> {
        match self.process.status() {
            None => Ok(()),
            Some(status) => {
                let name = self.namespaces.name();
                bail!("{name}: the agent ended ({status}); its log ends with:\n{}", log_tail(&self.log))
            }
        }
    }

    /// Sends a signal and waits until the agent has ended.
    ///
    /// # Errors
    /// The signal cannot be sent.
    pub fn end(self, signal: Signal) -> Result<ExitStatus> {
        self.process.signal(signal)?;
        Ok(self.process.wait())
    }

    /// Whether the agent's `/readyz` answers with 200.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        get(&self.namespaces, "/readyz").is_ok_and(|answer| answer.status == 200)
    }
}

/// An answer of the agent's HTTP server.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: String,
}

/// Gets a page of the agent on a node (`/status`, `/metrics`, `/readyz`) through its Unix socket.
///
/// # Errors
/// No agent answers, or the answer is not HTTP.
pub fn get(node: &Namespaces, path: &str) -> Result<Answer> {
    node.enter(|| {
        let stream = UnixStream::connect(SOCKET).context("connect to the agent")?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        ask(stream, path)
    })
}

/// Gets a page of an agent over TCP, from a node or a pod.
///
/// # Errors
/// No agent answers, or the answer is not HTTP.
pub fn get_over_tcp(from: &Namespaces, address: SocketAddr, path: &str) -> Result<Answer> {
    from.enter(|| {
        let stream = TcpStream::connect_timeout(&address, TIMEOUT).context("connect to the agent")?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        ask(stream, path)
    })
}

fn ask(mut stream: impl Read + Write, path: &str) -> Result<Answer> {
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text).context("read the agent's answer")?;
    let (head, body) = text.split_once("\r\n\r\n").context("the agent's answer has no end of its head")?;
    let status = head.split_whitespace().nth(1).context("the agent's answer has no status")?;
    Ok(Answer { status: status.parse().context("the agent's status code")?, body: body.to_owned() })
}
