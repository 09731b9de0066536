//! The flags of `carrick agent`. Each has an environment variable of the same name with the prefix `CARRICK_`.

use std::path::PathBuf;

use clap::{ArgAction, Args, ValueEnum};
use ipnet::IpNet;

use carrick_topology::model::MtuSetting;
use carrick_topology::{DeviceName, Encapsulation, Granularity, constants};

use super::Listen;

/// The largest MTU that leaves room for WireGuard over IPv6 in an IP packet, in bytes.
const LARGEST_MTU: u32 = 65535 - constants::WIREGUARD_OVERHEAD_V6;

/// The default of `--run-dir`.
pub const DEFAULT_RUN_DIR: &str = "/run/carrick";
/// The default of `--state-dir`.
pub const DEFAULT_STATE_DIR: &str = "/var/lib/carrick";
/// The default of `--cni-conf-dir`.
pub const DEFAULT_CNI_CONF_DIR: &str = "/etc/cni/net.d";
/// The default of `--cni-bin-dir`.
pub const DEFAULT_CNI_BIN_DIR: &str = "/opt/cni/bin";

/// Options of `carrick agent`.
#[derive(Debug, Clone, Args)]
pub struct AgentOptions {
    /// The name of this node's Node object [default: the host's name].
    #[arg(long, env = "CARRICK_NODE_NAME", value_name = "NAME")]
    pub node_name: Option<String>,
    /// The kubeconfig file [default: the service account in a pod, otherwise $KUBECONFIG].
    #[arg(long, env = "CARRICK_KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The URL of the API server [default: the in-cluster address, or that of the kubeconfig]. It must be reachable without the mesh,
    /// or a new node cannot join.
    #[arg(long, env = "CARRICK_API_SERVER", value_name = "URL")]
    pub api_server: Option<String>,
    /// Which nodes have tunnels: gateways of different locations (`location`), all nodes of different locations (`cross`), or all nodes
    /// (`full`) [default: location].
    #[arg(long, env = "CARRICK_GRANULARITY", value_name = "GRANULARITY")]
    pub granularity: Option<Granularity>,
    /// The Node label that names the location if the annotation carrick.dev/location is absent
    /// [default: topology.kubernetes.io/region].
    #[arg(long, env = "CARRICK_TOPOLOGY_LABEL", value_name = "LABEL")]
    pub topology_label: Option<String>,
    /// The name of the WireGuard interface, 15 bytes at most.
    #[arg(long, env = "CARRICK_INTERFACE", value_name = "NAME", default_value = constants::WIREGUARD_DEVICE)]
    pub interface: DeviceName,
    /// The UDP port that WireGuard listens on.
    #[arg(long, env = "CARRICK_PORT", value_name = "PORT", default_value_t = constants::WIREGUARD_PORT, value_parser = clap::value_parser!(u16).range(1..))]
    pub port: u16,
    /// A CIDR of mesh addresses, one for each address family. May be repeated
    /// [default: 10.4.0.0/16,fdca:7272:6963:6b00::/64].
    #[arg(long = "mesh-cidr", env = "CARRICK_MESH_CIDR", value_name = "CIDR", value_parser = cidr, value_delimiter = ',', action = ArgAction::Append)]
    pub mesh_cidrs: Vec<IpNet>,
    /// Use only addresses in this CIDR as internal addresses. May be repeated [default: any private address].
    #[arg(long = "internal-cidr", env = "CARRICK_INTERNAL_CIDR", value_name = "CIDR", value_parser = cidr, value_delimiter = ',', action = ArgAction::Append)]
    pub internal_cidrs: Vec<IpNet>,
    /// A CIDR of Kubernetes Services, which the mesh does not use. May be repeated.
    #[arg(long = "service-cidr", env = "CARRICK_SERVICE_CIDR", value_name = "CIDR", value_parser = cidr, value_delimiter = ',', action = ArgAction::Append)]
    pub service_cidrs: Vec<IpNet>,
    /// The number of gateways of a location that carry its traffic [default: 1].
    #[arg(long, env = "CARRICK_ACTIVE_GATEWAYS", value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..))]
    pub active_gateways: Option<u16>,
    /// The number of further gateways of a location that keep their tunnels up, to take over [default: 1].
    #[arg(long, env = "CARRICK_STANDBY_GATEWAYS", value_name = "COUNT")]
    pub standby_gateways: Option<u16>,
    /// The time between two probes of a gateway, in milliseconds, 50 to 60000. A gateway that answers none of three probes is down, and
    /// another gateway takes over. With many probe targets the time is longer [default: 250].
    #[arg(long, env = "CARRICK_FAILOVER_INTERVAL", value_name = "MILLISECONDS", value_parser = clap::value_parser!(u16).range(50..=60_000))]
    pub failover_interval: Option<u16>,
    /// When packets between nodes of one location travel in VXLAN: always, between subnets only, or never
    /// [default: always].
    #[arg(long, env = "CARRICK_ENCAPSULATION", value_name = "WHEN")]
    pub encapsulation: Option<Encapsulation>,
    /// The MTU of the WireGuard interface in bytes, 1280 to 65455. `auto`: the MTU of the default route's device, less what WireGuard
    /// adds to a packet.
    #[arg(
        long,
        env = "CARRICK_MTU",
        value_name = "auto|BYTES",
        default_value = "auto",
        value_parser = parse_mtu
    )]
    pub mtu: MtuSetting,
    /// Which WireGuard runs the interface: that of the kernel, that of `carrick userspace-wireguard`, or the first of both that there is.
    #[arg(long, env = "CARRICK_WIREGUARD", value_name = "BACKEND", default_value = "auto")]
    pub wireguard: WireGuardBackend,
    /// Whether the agent installs the CNI plugin and its configuration on this node.
    #[arg(long, env = "CARRICK_CNI", value_name = "true|false", default_value_t = true, action = ArgAction::Set)]
    pub cni: bool,
    /// The directory of CNI configurations.
    #[arg(long, env = "CARRICK_CNI_CONF_DIR", value_name = "DIRECTORY", default_value = DEFAULT_CNI_CONF_DIR)]
    pub cni_conf_dir: PathBuf,
    /// The directory of CNI plugins.
    #[arg(long, env = "CARRICK_CNI_BIN_DIR", value_name = "DIRECTORY", default_value = DEFAULT_CNI_BIN_DIR)]
    pub cni_bin_dir: PathBuf,
    /// Whether packets to allowed-location CIDRs take the address of the node where they leave the mesh
    /// [default: true].
    #[arg(long, env = "CARRICK_MASQUERADE_ALLOWED_LOCATION", value_name = "true|false", action = ArgAction::Set)]
    pub masquerade_allowed_location: Option<bool>,
    /// The directory of the state that survives a reboot: the private key and the last good state of the cluster.
    #[arg(long, env = "CARRICK_STATE_DIR", value_name = "DIRECTORY", default_value = DEFAULT_STATE_DIR)]
    pub state_dir: PathBuf,
    /// The directory of runtime files.
    #[arg(long, env = "CARRICK_RUN_DIR", value_name = "DIRECTORY", default_value = DEFAULT_RUN_DIR)]
    pub run_dir: PathBuf,
    /// Where to serve /healthz, /readyz and /metrics over TCP: `loopback` (127.0.0.1, port 1107), `internal` (this node's internal
    /// address, port 1107, if it is not public), or an address with a port; may be repeated.
    #[arg(long, env = "CARRICK_LISTEN", value_name = "loopback|internal|ADDRESS:PORT", value_delimiter = ',', action = ArgAction::Append, default_value = "loopback")]
    pub listen: Vec<Listen>,
}

/// Which WireGuard runs the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum WireGuardBackend {
    /// The kernel's WireGuard if there is one, otherwise `carrick userspace-wireguard`.
    Auto,
    /// The kernel's WireGuard.
    Kernel,
    /// `carrick userspace-wireguard`.
    Userspace,
}

/// A text that is not an MTU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected `auto` or a number of bytes from 1280 (the least that IPv6 accepts) to 65455")]
pub struct NotAnMtu;

fn cidr(text: &str) -> Result<IpNet, String> {
    text.parse().map_err(|_| "it is not a CIDR such as 10.4.0.0/16 or fd00::/64".to_owned())
}

fn parse_mtu(text: &str) -> Result<MtuSetting, NotAnMtu> {
    if text == "auto" {
        return Ok(MtuSetting::Auto);
    }
    match text.parse() {
        Ok(bytes @ constants::LEAST_DEVICE_MTU..=LARGEST_MTU) => Ok(MtuSetting::Bytes(bytes)),
        Ok(_) | Err(_) => Err(NotAnMtu),
    }
}
