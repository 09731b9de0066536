//! What goes into the core and what comes out of it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use carrick_kube::annotations::Published;
use carrick_kube::own_node::{Interface, OwnNode};
use carrick_kube::watch::Change;
use carrick_topology::Liveness;
use carrick_topology::Warning;
use carrick_topology::model::DnsName;
use carrick_topology::plan::Scope;
use carrick_topology::{Cluster, NodeName, NodePlan};

use super::cause::{Cause, DriftKind};

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// The cluster as last kept on disk.
    Restored(Arc<Cluster>),
    /// Nodes and peers that the API shows otherwise than before.
    Changed(Vec<Change>),
    /// All that the API has is known by now.
    Synced,
    /// The own Node object, in full.
    OwnNode(OwnNode),
    /// The host's network interfaces.
    Interfaces(Vec<Interface>),
    /// Addresses at which the API server is reached.
    ApiServers(BTreeSet<IpAddr>),
    /// What the domain names of endpoints resolve to.
    Names(BTreeMap<DnsName, BTreeSet<IpAddr>>),
    /// Which nodes answer.
    Liveness(Liveness),
    /// The largest packets that pass towards the nodes that are probed, in bytes, where that is less than devices permit.
    PathMtus(BTreeMap<NodeName, u32>),
    /// Where WireGuard sees nodes come from that have no endpoint of their own.
    Sighted(BTreeMap<NodeName, SocketAddr>),
    /// The kernel notified of a change that the agent did not make.
    Drift(DriftKind),
    /// A preshared key became known, or its Secret holds another key than before.
    PresharedKeys,
    /// One of the host's devices is up again; the routes over it are gone.
    UplinkBack,
    /// An apply has ended.
    Applied(ApplyOutcome),
    /// A publication has ended.
    Published(PublishOutcome),
    /// The watch on the API has begun to deliver, or stopped.
    Api(ApiState),
}

/// How an apply ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApplyOutcome {
    /// The kernel held the plan already.
    Unchanged,
    /// The kernel holds the plan now.
    Changed,
    /// Something outside of the agent's reach is missing, such as a userspace WireGuard device; the rest is done.
    Waiting,
    /// Some of it failed: it is tried again.
    Failed,
}

/// How a publication ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishOutcome {
    /// The API has it.
    Complete,
    /// It is tried again.
    Failed,
}

/// Whether the API is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiState {
    /// All watches are in sync.
    Synced,
    /// At least one is not.
    Lost,
}

/// What the shell must do.
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
    /// Write these annotations to the own Node, then report [`Event::Published`].
    Publish(Box<Published>),
    /// Keep the cluster's state on disk.
    Persist(Arc<Cluster>),
    /// The warnings of the plan in force have changed to these.
    Warn(Arc<BTreeSet<Warning>>),
}

/// What the agent waits for before it can program the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// Neither the API nor the disk has said anything of the cluster.
    ForCluster,
    /// The cluster has no Node of this name.
    ForNode,
    /// The Node has no pod CIDR: the mesh works, pods do not.
    ForPodCidr,
    /// Nothing.
    ForNothing,
}
