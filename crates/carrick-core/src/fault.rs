//! What is wrong with this node, in the words of every surface that reports it.

use std::fmt;
use std::net::IpAddr;

use carrick_status::FaultKind;
use carrick_topology::constants::PROBE_PORT;
use carrick_topology::plan::MeshDevices;
use carrick_topology::{DeviceName, Family};

/// A fault that the agent can see. It stops packets of pods or of the host, or it keeps the node from learning or telling of changes.
///
/// The page `/readyz`, the log, the page `/status`, `carrickctl doctor` and the Kubernetes Event show [`Fault::to_string`] and
/// [`Fault::remedy`]; the metric `carrick_faults` and the Event's reason show [`Fault::kind`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Neither the API nor the disk has told of the cluster.
    ClusterUnknown,
    /// The cluster has no Node of this name.
    NodeMissing,
    /// The API has not accepted what other nodes need to reach this one.
    NotAccepted,
    /// The kernel has not held a plan since the agent started.
    NotApplied,
    /// The Node has no pod CIDR.
    PodCidrMissing,
    /// The WireGuard device is missing, or cannot be used; why.
    DeviceMissing(String),
    /// The process of this WireGuard device runs, and does not answer.
    DeviceSilent(DeviceName),
    /// The kernel does not forward packets of this family; why the agent cannot change that.
    ForwardingOff(Family, String),
    /// A chain of another program drops packets of pods, and refuses the rules that would accept them.
    ForwardChainDrops {
        /// The chain, as in `ip filter FORWARD`.
        chain: String,
        /// Why it cannot be changed.
        reason: String,
    },
    /// A chain of another program drops packets by default, and refuses the rules that would accept those of pods. Whether its own rules
    /// accept them is not known.
    ForwardChainLocked {
        /// The chain, as in `ip filter FORWARD`.
        chain: String,
        /// Why it cannot be changed.
        reason: String,
    },
    /// The kernel refuses a part of the plan; the first refusal.
    KernelRefuses(String),
    /// The files of the pod network cannot be written; why.
    PodFilesNotWritten(String),
    /// The host's ends of pods were changed by another program and cannot be restored: routes, neighbours, devices, kernel settings; why.
    PodRoutesNotRestored(String),
    /// The nftables table of the CNI plugin was changed by another program and cannot be restored; why.
    PodFirewallNotRestored(String),
    /// What the agent knows cannot be written to the state directory; why.
    StateNotWritten(String),
    /// Nothing is received from the API server.
    ApiLost,
    /// The API server refuses the annotations of the own Node; why.
    WriteRefused(String),
    /// Another program changes again and again what this agent writes to the own Node.
    AnnotationsOverwritten,
    /// An admission policy is not in force; what is wrong.
    PolicyMissing(String),
    /// Another program has the port of the probes at this address.
    ProbePortTaken(IpAddr),
    /// No node that this node probes answers.
    AllNodesSilent,
}

/// What a fault does to the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Consequence {
    /// A node that starts does not become ready. A node that was ready stays so.
    NotReadyAtStart,
    /// New pods stay away from the node, if the fault lasts. It is the node's own, and stops packets of its pods.
    NoNewPods,
    /// The node stays ready.
    Warning,
}

impl Fault {
    /// The kind: for metrics and for the `reason` of Kubernetes Events.
    #[must_use]
    pub const fn kind(&self) -> FaultKind {
        match self {
            Self::ClusterUnknown => FaultKind::ClusterUnknown,
            Self::NodeMissing => FaultKind::NodeMissing,
            Self::NotAccepted => FaultKind::NotAccepted,
            Self::NotApplied => FaultKind::NotApplied,
            Self::PodCidrMissing => FaultKind::PodCidrMissing,
            Self::DeviceMissing(_) => FaultKind::DeviceMissing,
            Self::DeviceSilent(_) => FaultKind::DeviceSilent,
            Self::ForwardingOff(..) => FaultKind::ForwardingOff,
            Self::ForwardChainDrops { .. } => FaultKind::ForwardChainDrops,
            Self::ForwardChainLocked { .. } => FaultKind::ForwardChainLocked,
            Self::KernelRefuses(_) => FaultKind::KernelRefuses,
            Self::PodFilesNotWritten(_) => FaultKind::PodFilesNotWritten,
            Self::PodRoutesNotRestored(_) => FaultKind::PodRoutesNotRestored,
            Self::PodFirewallNotRestored(_) => FaultKind::PodFirewallNotRestored,
            Self::StateNotWritten(_) => FaultKind::StateNotWritten,
            Self::ApiLost => FaultKind::ApiLost,
            Self::WriteRefused(_) => FaultKind::WriteRefused,
            Self::AnnotationsOverwritten => FaultKind::AnnotationsOverwritten,
            Self::PolicyMissing(_) => FaultKind::PolicyMissing,
            Self::ProbePortTaken(_) => FaultKind::ProbePortTaken,
            Self::AllNodesSilent => FaultKind::AllNodesSilent,
        }
    }

    /// What the fault does to the node.
    ///
    /// Only a fault of the node's own takes new pods away: a fault that many nodes can share would take all of them away at once. A plan
    /// that a kernel refuses can come from a setting or a Peer, which all nodes have.
    #[must_use]
    pub const fn consequence(&self) -> Consequence {
        match self {
            Self::ClusterUnknown
            | Self::NodeMissing
            | Self::NotAccepted
            | Self::NotApplied
            | Self::KernelRefuses(_) => Consequence::NotReadyAtStart,
            Self::DeviceMissing(_)
            | Self::DeviceSilent(_)
            | Self::ForwardingOff(..)
            | Self::ForwardChainDrops { .. } => Consequence::NoNewPods,
            Self::PodCidrMissing
            | Self::ForwardChainLocked { .. }
            | Self::PodFilesNotWritten(_)
            | Self::PodRoutesNotRestored(_)
            | Self::PodFirewallNotRestored(_)
            | Self::StateNotWritten(_)
            | Self::ApiLost
            | Self::WriteRefused(_)
            | Self::AnnotationsOverwritten
            | Self::PolicyMissing(_)
            | Self::ProbePortTaken(_)
            | Self::AllNodesSilent => Consequence::Warning,
        }
    }

    /// Whether the agent waits for something that others must provide.
    #[must_use]
    pub const fn is_waiting(&self) -> bool {
        matches!(self, Self::ClusterUnknown | Self::NodeMissing | Self::NotAccepted | Self::PodCidrMissing)
    }

    /// Whether all nodes see the same fault, so that one of them reports it for all.
    #[must_use]
    pub const fn is_of_cluster(&self) -> bool {
        matches!(self, Self::PolicyMissing(_))
    }

    /// What to do about it, for people. `devices` are the mesh's on this node.
    #[must_use]
    pub fn remedy(&self, devices: &MeshDevices) -> String {
        match self {
            Self::ClusterUnknown | Self::ApiLost => {
                "check the API server, and whether this node reaches it without the mesh (--api-server)".to_owned()
            }
            Self::NodeMissing => "register the node, or correct --node-name".to_owned(),
            Self::NotAccepted | Self::WriteRefused(_) => {
                "find the admission policy, webhook or permission that refuses the write, and apply deploy/rbac.yaml and deploy/policy.yaml".to_owned()
            }
            Self::NotApplied => "wait some seconds, then check the agent's log".to_owned(),
            Self::PodCidrMissing => {
                "let the controller manager assign pod CIDRs (--allocate-node-cidrs and --cluster-cidr)".to_owned()
            }
            Self::DeviceMissing(_) => format!(
                "start `carrick userspace-wireguard {}`, load the kernel module wireguard, or free its UDP port",
                devices.wireguard
            ),
            Self::DeviceSilent(device) => {
                format!("restart the process or the container of `carrick userspace-wireguard {device}`")
            }
            Self::ForwardingOff(family, _) => {
                format!("run `sysctl -w {}=1`, and find what turns forwarding off", forwarding_setting(*family))
            }
            Self::ForwardChainDrops { chain, .. } | Self::ForwardChainLocked { chain, .. }
                if chain.contains("firewalld") =>
            {
                let interfaces = devices.all().map(|device| format!("--add-interface={device}")).join(" ");
                format!(
                    "run `firewall-cmd --permanent --zone=trusted {interfaces} --add-interface=crk+`, then `firewall-cmd --reload`; or set NftablesTableOwner=no in /etc/firewalld/firewalld.conf"
                )
            }
            Self::ForwardChainDrops { .. } | Self::ForwardChainLocked { .. } => format!(
                "configure the program that owns the chain to accept {} and crk* in both directions",
                devices.all().map(ToString::to_string).join(", ")
            ),
            Self::KernelRefuses(_) => {
                "load the kernel module that the text names, or correct the object that it names; the agent tries again".to_owned()
            }
            Self::PodFilesNotWritten(_) => {
                "check the directories --run-dir, --cni-conf-dir and --cni-bin-dir: permissions, free space, read-only mounts".to_owned()
            }
            Self::PodRoutesNotRestored(_) => {
                "remove the route of another program that has the same destination, or delete the pod of the record that the text names; the agent tries again".to_owned()
            }
            Self::PodFirewallNotRestored(_) => {
                "remove what the text names from the table inet carrick-cni, or load the kernel module that it needs; the agent tries again".to_owned()
            }
            Self::StateNotWritten(_) => {
                "free space on the file system of --state-dir, or make it writable: `df -h` and `df -i` show what is full, `mount` what is read-only; the agent tries again".to_owned()
            }
            Self::AnnotationsOverwritten => {
                "stop the other agent, or give its machine a name and a state directory of its own: delete the copied --state-dir there, and its agent makes a new key; if no copy of this node runs, find the program or webhook that changes carrick.dev annotations in the API server's audit log".to_owned()
            }
            Self::PolicyMissing(_) => "apply deploy/policy.yaml and deploy/rbac.yaml".to_owned(),
            Self::ProbePortTaken(_) => format!(
                "find the program with `ss -lunp 'sport = {PROBE_PORT}'`, and stop it or give it another port; the agent tries again"
            ),
            Self::AllNodesSilent => {
                "check whether the node's network and firewall let UDP of WireGuard and of probes pass".to_owned()
            }
        }
    }
}

/// The kernel's setting that turns forwarding on.
const fn forwarding_setting(family: Family) -> &'static str {
    match family {
        Family::V4 => "net.ipv4.ip_forward",
        Family::V6 => "net.ipv6.conf.all.forwarding",
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClusterUnknown => {
                formatter.write_str("waiting for the API server: nothing is known of the cluster yet")
            }
            Self::NodeMissing => {
                formatter.write_str("waiting for the Node object of this node (is --node-name right?)")
            }
            Self::NotAccepted => {
                formatter.write_str("waiting for the API server to accept the annotations of this node's Node object")
            }
            Self::NotApplied => formatter.write_str("the kernel does not hold the plan yet"),
            Self::PodCidrMissing => formatter.write_str(
                "waiting for a pod CIDR (spec.podCIDRs of the Node; does the controller manager allocate them?)",
            ),
            Self::DeviceMissing(reason) => {
                write!(formatter, "the WireGuard device cannot be used: {reason}: no packets pass through the tunnels of this node")
            }
            Self::DeviceSilent(device) => write!(
                formatter,
                "the data path of the WireGuard device {device} does not answer: if it hangs, no packets pass through the tunnels of this node"
            ),
            Self::ForwardingOff(family, reason) => write!(
                formatter,
                "the kernel does not forward {family}, and {} cannot be set: {reason}: packets from and to pods of this node are lost",
                forwarding_setting(*family)
            ),
            Self::ForwardChainDrops { chain, reason } => write!(
                formatter,
                "the chain {chain} of another program drops packets of pods, and the rules that accept them cannot be added: {reason}"
            ),
            Self::ForwardChainLocked { chain, reason } => write!(
                formatter,
                "the chain {chain} of another program drops packets by default, and the rules that accept those of pods cannot be added: {reason}: unless a rule of that program accepts them, packets from and to pods are lost"
            ),
            Self::KernelRefuses(first) => write!(formatter, "the kernel refuses a part of the plan: {first}"),
            Self::PodFilesNotWritten(reason) => {
                write!(formatter, "the files of the pod network cannot be written: {reason}")
            }
            Self::PodRoutesNotRestored(reason) => write!(
                formatter,
                "routes or devices of pods on this node cannot be restored: {reason}: packets from and to these pods are lost"
            ),
            Self::PodFirewallNotRestored(reason) => write!(
                formatter,
                "the nftables table of the CNI plugin cannot be restored: {reason}: host ports do not work, and pods can send with forged source addresses"
            ),
            Self::StateNotWritten(reason) => write!(
                formatter,
                "the state of the cluster cannot be saved: {reason}: packets still flow, but after a reboot without the API server this node starts from an older state"
            ),
            Self::ApiLost => formatter.write_str("no changes arrive from the API server; the kernel keeps the plan in force"),
            Self::WriteRefused(reason) => write!(
                formatter,
                "the API server refuses the annotations of this node, so other nodes do not learn what has changed: {reason}"
            ),
            Self::AnnotationsOverwritten => formatter.write_str(
                "another program writes the annotations of this node again and again, perhaps an agent on a copy of its disk: both speak as this node, and the node's packets are lost while both run",
            ),
            Self::PolicyMissing(what) => {
                write!(formatter, "{what}: a node can write annotations that speak for other nodes")
            }
            Self::ProbePortTaken(address) => write!(
                formatter,
                "another program has UDP port {PROBE_PORT} at {address}: this node probes no node from there and answers none, so other nodes find it down, and it does not notice when a gateway fails that it would probe from there"
            ),
            Self::AllNodesSilent => formatter.write_str("no node that this node probes answers"),
        }
    }
}
