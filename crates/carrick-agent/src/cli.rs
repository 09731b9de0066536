//! The command line of `carrick`.

mod agent;
mod environment;
mod listen;

use clap::{Args, Parser, Subcommand};

pub use agent::{AgentOptions, WireGuardBackend};
pub use environment::unknown_variables;
pub use listen::{InvalidListen, Listen, PAGES_PORT};

use crate::logging::LogFormat;
use crate::page::PagePath;
use carrick_topology::DeviceName;

/// Carrick connects the nodes of one Kubernetes cluster across clouds, data centres and homes with WireGuard.
///
/// Exit status: 0 success; 1 a failure that may pass; 77 a permission or a kernel feature is missing; 78 a flag, an environment variable
/// or a file is wrong; 2 the command line cannot be parsed.
#[derive(Debug, Parser)]
#[command(name = "carrick", version, propagate_version = true)]
pub struct Cli {
    /// Log output, for all commands.
    #[command(flatten)]
    pub log: LogOptions,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// The format and level of the log.
#[derive(Debug, Args)]
pub struct LogOptions {
    /// The format of the log on standard error.
    #[arg(long, global = true, env = "CARRICK_LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,
    /// The least severe level of the log: error, warn, info, debug or trace; or a list such as
    /// `info,carrick_agent=debug`.
    #[arg(long, global = true, env = "CARRICK_LOG_LEVEL", value_name = "LEVEL", default_value = "info")]
    pub log_level: String,
}

/// A command of `carrick`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the agent, which keeps this node in the mesh.
    Agent(Box<AgentOptions>),
    /// Remove all that Carrick made in the kernel, and with --files on the disk, and nothing else.
    ///
    /// The command also stops the userspace data path of the interface.
    Cleanup(CleanupOptions),
    /// Copy the CNI plugin to the directory in which container runtimes look for plugins.
    ///
    /// Some container runtimes also need the plugin `loopback`. If the directory has none, the command links this name to the plugin.
    ///
    /// The agent then needs no permission to write to this directory. The agent writes the CNI configuration when the kernel holds the
    /// plan; only then do container runtimes use the plugin.
    InstallCni(InstallCniOptions),
    /// Wait until a DaemonSet has a ready pod on each node. `helm uninstall` runs it after the removal of Carrick.
    AwaitDaemonset(AwaitDaemonsetOptions),
    /// Answer the questions of `connectivity-client`. `carrickctl test` runs it in pods.
    ConnectivityServer(ConnectivityServerOptions),
    /// Ask servers, and print how long each answer took, as JSON. `carrickctl test` runs it in pods.
    ConnectivityClient(ConnectivityClientOptions),
    /// Do nothing until SIGTERM or SIGINT.
    Pause,
    /// Print a page of the agent on this node, such as /status.
    ///
    /// The command asks the agent through its Unix socket, which only root may use. `carrickctl` executes it in the agents' containers.
    Page(PageOptions),
    /// Run a WireGuard interface in this process, for kernels without WireGuard.
    ///
    /// The agent, or `wg`, configures the interface through the socket /run/wireguard/INTERFACE.sock.
    UserspaceWireguard(UserspaceWireguardOptions),
    /// Print the version.
    Version,
}

/// Options of `carrick cleanup`.
#[derive(Debug, Args)]
pub struct CleanupOptions {
    /// The name of the WireGuard interface.
    #[arg(long, env = "CARRICK_INTERFACE", value_name = "NAME", default_value = carrick_topology::constants::WIREGUARD_DEVICE)]
    pub interface: DeviceName,
    /// The directory of runtime files.
    #[arg(long, env = "CARRICK_RUN_DIR", value_name = "DIRECTORY", default_value = agent::DEFAULT_RUN_DIR)]
    pub run_dir: std::path::PathBuf,
    /// Also remove the CNI configuration, the CNI plugin with its firewall, and the runtime files. The command first waits for the agent to
    /// end. The plugin stays while there are pods that only the plugin can detach.
    #[arg(long)]
    pub files: bool,
    /// Also remove the state, with the node's key.
    #[arg(long, requires = "files")]
    pub state: bool,
    /// The directory of the state.
    #[arg(long, env = "CARRICK_STATE_DIR", value_name = "DIRECTORY", default_value = agent::DEFAULT_STATE_DIR)]
    pub state_dir: std::path::PathBuf,
    /// The directory of CNI configurations.
    #[arg(long, env = "CARRICK_CNI_CONF_DIR", value_name = "DIRECTORY", default_value = agent::DEFAULT_CNI_CONF_DIR)]
    pub cni_conf_dir: std::path::PathBuf,
    /// The directory of CNI plugins.
    #[arg(long, env = "CARRICK_CNI_BIN_DIR", value_name = "DIRECTORY", default_value = agent::DEFAULT_CNI_BIN_DIR)]
    pub cni_bin_dir: std::path::PathBuf,
}

/// Options of `carrick install-cni`.
#[derive(Debug, Args)]
pub struct InstallCniOptions {
    /// The directory of CNI plugins.
    #[arg(long, env = "CARRICK_CNI_BIN_DIR", value_name = "DIRECTORY", default_value = agent::DEFAULT_CNI_BIN_DIR)]
    pub cni_bin_dir: std::path::PathBuf,
}

/// Options of `carrick await-daemonset`.
#[derive(Debug, Args)]
pub struct AwaitDaemonsetOptions {
    /// The name of the DaemonSet.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// The namespace of the DaemonSet.
    #[arg(long, value_name = "NAMESPACE")]
    pub namespace: String,
    /// How many seconds to wait.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub timeout: u64,
    /// The URL of the API server [default: the in-cluster address, or that of the kubeconfig].
    #[arg(long, env = "CARRICK_API_SERVER", value_name = "URL")]
    pub api_server: Option<String>,
}

/// Options of `carrick connectivity-server`.
#[derive(Debug, Args)]
pub struct ConnectivityServerOptions {
    /// The port, of TCP and UDP.
    #[arg(long, value_name = "PORT", default_value_t = crate::connectivity::PORT)]
    pub port: u16,
}

/// Options of `carrick connectivity-client`.
#[derive(Debug, Args)]
pub struct ConnectivityClientOptions {
    /// What to ask for: NAME=tcp4://HOST:PORT/BYTES for so many bytes, NAME=udp6://HOST:PORT for the largest datagram. May be repeated.
    #[arg(required = true, value_name = "TARGET")]
    pub targets: Vec<crate::connectivity::Target>,
}

/// Options of `carrick page`.
#[derive(Debug, Args)]
pub struct PageOptions {
    /// The page: /healthz, /readyz, /metrics, /status, /checks, or /trace?to=ADDRESS&hops=NUMBER.
    #[arg(value_name = "PAGE")]
    pub page: PagePath,
    /// Print the answer with its status line and headers, and exit with status 0 whatever the status code is.
    #[arg(long)]
    pub include: bool,
    /// The directory of runtime files.
    #[arg(long, env = "CARRICK_RUN_DIR", value_name = "DIRECTORY", default_value = agent::DEFAULT_RUN_DIR)]
    pub run_dir: std::path::PathBuf,
}

/// Options of `carrick userspace-wireguard`.
#[derive(Debug, Args)]
pub struct UserspaceWireguardOptions {
    /// The name of the interface. If there is no such interface, the command creates it as a persistent TUN device.
    #[arg(env = "CARRICK_INTERFACE", value_name = "INTERFACE")]
    pub interface: DeviceName,
    /// Run no interface if the kernel has WireGuard: wait for the end of the pod. A DaemonSet can then have this command on all nodes.
    #[arg(long)]
    pub only_without_kernel: bool,
    /// Start a new session, so that the end of the parent's session does not end this process.
    #[arg(long, hide = true)]
    pub new_session: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_has_its_environment_variable_and_a_help() {
        let cli = Cli::command();
        let agent = cli.find_subcommand("agent").unwrap();
        let mut seen = 0;
        for argument in agent.get_arguments().filter(|argument| argument.get_long().is_some_and(|long| long != "help"))
        {
            let long = argument.get_long().unwrap();
            let expected = format!("CARRICK_{}", long.replace('-', "_").to_uppercase());
            assert_eq!(argument.get_env().and_then(|name| name.to_str()), Some(expected.as_str()), "--{long}");
            assert!(argument.get_help().is_some(), "--{long}");
            seen += 1;
        }
        assert!(seen >= 20, "{seen}");
    }

    #[test]
    fn defaults_are_those_of_the_documentation() {
        let cli = Cli::try_parse_from(["carrick", "agent"]).unwrap();
        let Command::Agent(options) = cli.command else { panic!("another command") };
        assert_eq!(options.interface.as_str(), "carrick0");
        assert_eq!(options.port, 51820);
        assert!(options.mesh_cidrs.is_empty() && options.granularity.is_none(), "the default is a setting of the mesh");
        assert_eq!(options.listen, [Listen::Loopback]);
        assert_eq!(Listen::LOOPBACK_ADDRESS.to_string(), "127.0.0.1:1107");
        assert_eq!(options.state_dir.to_str(), Some("/var/lib/carrick"));
    }

    #[test]
    fn wrong_values_are_refused_with_what_would_be_right() {
        for (flag, value, expected) in [
            ("--mtu", "1279", "1280"),
            ("--port", "0", "1.."),
            ("--granularity", "everything", "location, cross, full"),
            ("--encapsulation", "sometimes", "always, cross-subnet, never"),
            ("--listen", "here", "`internal`"),
            ("--listen", "loopback,0.0.0.0:1107", "spell out each address"),
            ("--interface", "a-name-of-sixteen", "15 bytes"),
        ] {
            let error = Cli::try_parse_from(["carrick", "agent", flag, value]).unwrap_err().to_string();
            assert!(error.contains(expected), "{flag} {value}: {error}");
        }
    }
}
