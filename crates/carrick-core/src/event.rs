//! What goes into the core and what comes out of it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use carrick_topology::discovery::{HostFacts, OwnNode};
use carrick_topology::model::{DnsName, SecretReference};
use carrick_topology::plan::Scope;
use carrick_topology::{
    Change, Cluster, DeviceName, Liveness, NodeName, NodePlan, PeerName, PublicKey, Published, Warning,
};
use ipnet::IpNet;

use crate::cause::{Cause, DriftKind};
use crate::fault::Fault;
use crate::fault_register::FaultSource;
use crate::peers::{PeerConnection, PeerObservation};
use crate::probing::Probing;

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// The cluster as it was saved to disk last.
    Restored(Arc<Cluster>),
    /// Which nodes were down when an earlier agent saved that.
    LivenessRestored(Liveness),
    /// Nodes and peers that the API shows differently than before.
    Changed(Vec<Change>),
    /// All that the API has is known now.
    Synced,
    /// The own Node object, in full.
    OwnNode(Box<OwnNode>),
    /// The host's network interfaces and routes.
    Host(HostFacts),
    /// The internal addresses of other nodes of the location to which packets leave by a device that carries no internal address of this
    /// node, with this device.
    StrayNeighbours(BTreeMap<IpAddr, DeviceName>),
    /// The internal addresses of other nodes of the location to which packets leave by the default route of a device that has a public address
    /// too, with this device.
    InternetNeighbours(BTreeMap<IpAddr, DeviceName>),
    /// The MTU of the device by which WireGuard's packets to each endpoint leave, in bytes.
    EndpointMtus(BTreeMap<IpAddr, u32>),
    /// Addresses at which the API server is reached.
    ApiServers(BTreeSet<IpAddr>),
    /// What the domain names of endpoints resolve to.
    Names(BTreeMap<DnsName, BTreeSet<IpAddr>>),
    /// Which nodes answer probes.
    Liveness(Liveness),
    /// The largest packets that pass towards the nodes that are probed, in bytes, where that is less than the devices permit.
    PathMtus(BTreeMap<NodeName, u32>),
    /// What WireGuard shows of its peers; empty where it could not be read.
    Peers(BTreeMap<PublicKey, PeerObservation>),
    /// The kernel notified of a change that the agent did not make.
    Drift(DriftKind),
    /// A route to one of the node's own pods was removed.
    PodRouteRemoved,
    /// A preshared key became known, or its Secret holds another key than before.
    PresharedKeys,
    /// One of the host's devices is up again; the routes over it are gone.
    UplinkUp,
    /// [`Effect::Apply`] has ended.
    Applied(ApplyOutcome),
    /// [`Effect::Publish`] has ended.
    Published(WriteOutcome),
    /// [`Effect::WritePeerStatus`] has ended for this peer.
    PeerStatusWritten(PeerName, WriteOutcome),
    /// [`Effect::WritePodFiles`] has ended.
    PodFilesWritten(WriteOutcome),
    /// A file that [`Effect::WritePodFiles`] writes changed or is gone.
    PodFilesChanged,
    /// [`Effect::StartDataPath`] has ended.
    DataPathStarted(WriteOutcome),
    /// The watch on the API has begun to deliver, or stopped.
    Api(ApiState),
    /// All faults that this source knows now.
    Faults(FaultSource, BTreeSet<Fault>),
}

/// How an apply ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApplyOutcome {
    /// The kernel held the plan already.
    Unchanged,
    /// The kernel holds the plan now.
    Changed,
    /// Something that the agent cannot provide is missing, such as a userspace WireGuard device; the rest is done.
    Waiting,
    /// Some of it failed: it is tried again.
    Failed,
}

/// How a write ended, to the API or to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteOutcome {
    /// It is written.
    Complete,
    /// It is not: it is tried again.
    Failed,
    /// The API server forbids it, until people change permissions or policies: it is tried again, but seldom.
    Refused,
}

/// Whether changes arrive from the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiState {
    /// All watches are in sync.
    Synced,
    /// At least one is not.
    Lost,
}

/// What the program around the core must do.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Make the kernel hold the plan, then report [`Event::Applied`].
    Apply {
        /// The plan.
        plan: Arc<NodePlan>,
        /// How much of it to compare.
        scope: Scope,
        /// Why now.
        cause: Cause,
    },
    /// Start the userspace data path if it was there and its process is gone, then report [`Event::DataPathStarted`].
    StartDataPath,
    /// Compare the routes to the node's own pods with the CNI plugin's records, and restore what is missing.
    RestorePodRoutes,
    /// Keep these preshared keys known, and report [`Event::PresharedKeys`] when one of them is new.
    ReadPresharedKeys(BTreeSet<SecretReference>),
    /// Probe and answer according to this.
    Probe(Arc<Probing>),
    /// Probe each target this often, if there are not too many.
    ProbeInterval(Duration),
    /// Keep which nodes are down where it outlives the agent, and not the machine.
    SaveLiveness(Liveness),
    /// Tell the CNI plugin and the container runtime of the pod network, then report [`Event::PodFilesWritten`].
    WritePodFiles(PodAddressing),
    /// Keep these names resolved, and report [`Event::Names`] when an address changes.
    ResolveNames(BTreeSet<DnsName>),
    /// Resolve these of them again soon.
    RefreshNames(BTreeSet<DnsName>),
    /// Write these annotations to the own Node, then report [`Event::Published`].
    Publish(Box<Published>),
    /// Write the status of a Peer that this node serves, then report [`Event::PeerStatusWritten`].
    WritePeerStatus {
        /// The Peer.
        peer: PeerName,
        /// What its status says.
        connection: PeerConnection,
    },
    /// Save the cluster's state to disk.
    Persist(Arc<Cluster>),
    /// The warnings of the plan have changed to these.
    Warn(Arc<BTreeSet<Warning>>),
    /// The faults that last have changed to these.
    TellFaults(BTreeSet<Fault>),
}

/// The pod network of this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodAddressing {
    /// Where its pods' addresses come from; never empty.
    pub pod_cidrs: BTreeSet<IpNet>,
    /// The MTU of its pods' devices, in bytes.
    pub mtu: u32,
    /// The lasting fault that takes new pods away from the node.
    pub fault: Option<Fault>,
}

/// Whether the node carries what the cluster expects of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It does.
    Ready,
    /// It does not; the faults say why.
    NotReady,
}

/// What the agent waits for before it can program the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// Neither the API nor the disk has told of the cluster.
    ForCluster,
    /// The cluster has no Node of this name.
    ForNode,
    /// The API has not accepted yet what other nodes need to reach this one.
    ForPublication,
    /// The Node has no pod CIDR: the mesh works, pods do not.
    ForPodCidr,
    /// Nothing.
    ForNothing,
}
