//! The objects of the cluster, as a stream of changes.
//!
//! Followed are all Nodes as metadata only, the own Node in full, the Peers, and the Mesh. Each object is reduced to a fingerprint,
//! so that what others write into it (a kubelet's heartbeat) is no event, and one changed Node is parsed alone.
//!
//! The API server can be away, slow, wrong or another one: nothing of that removes a node. Only a Node's deletion does, be it seen as such
//! or missing from a later list, and such a list counts only if it names the own Node and comes from the same cluster.

mod event;
pub(crate) mod follow;
mod identity;
mod mirror;
pub(crate) mod object;
mod status;
pub(crate) mod view;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use carrick_backoff::Backoff;
use carrick_topology::{Change, Cluster, NodeName};
use kube::Api;
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::causes::certificate_advice;
use crate::client::ApiClient;
use crate::mesh::MESH_NAME;
pub use event::{ApiState, ClusterEvent, ClusterUid};
pub use follow::Limits;
use follow::{FollowError, Signal, follow};
pub(crate) use object::{MeshObject, NodeObject, PeerObject};
pub use status::{ApiSnapshot, ApiStatus};
use view::View;

/// Signals that may wait to be taken, of each resource.
const QUEUE: usize = 16;

/// The configuration of the watch.
#[derive(Clone, Debug)]
pub struct WatchConfig {
    /// The own node.
    pub me: NodeName,
    /// The label that names a node's location where no annotation does, unless the Mesh gives another one.
    pub topology_label: String,
    /// The cluster that this node belongs to, from the disk; `None` takes the first that answers.
    pub cluster: Option<ClusterUid>,
    /// Limits on what the server may take.
    pub limits: Limits,
}

/// Watches until the receiver of `events` is dropped.
///
/// `known` is what the consumer knows already, from the disk or [`Cluster::default`]: only what differs from it becomes a
/// [`ClusterEvent::Changed`]. A consumer that applies each [`Change`] to its copy has what the API has.
pub async fn watch(
    api: ApiClient,
    config: WatchConfig,
    known: &Cluster,
    status: Arc<ApiStatus>,
    events: mpsc::Sender<ClusterEvent>,
) {
    let view = View::new(config.me.clone(), config.topology_label.clone(), known);
    let cluster = config.cluster.clone();
    let mut watch = Watch {
        api,
        config,
        view,
        status,
        events,
        cluster,
        is_verified: false,
        failing: BTreeSet::new(),
        optional: BTreeMap::new(),
    };
    loop {
        match watch.session().await {
            Err(Ended::ForeignCluster) => sleep(watch.config.limits.most_delay).await,
            Err(Ended::Relabelled) => {}
            Err(Ended::NoReceiver) | Ok(()) => return,
        }
    }
}

struct Watch {
    api: ApiClient,
    config: WatchConfig,
    view: View,
    status: Arc<ApiStatus>,
    events: mpsc::Sender<ClusterEvent>,
    /// The cluster that this node belongs to, once it is known.
    cluster: Option<ClusterUid>,
    /// Whether the server that answers now is known to be of that cluster.
    is_verified: bool,
    failing: BTreeSet<Source>,
    optional: BTreeMap<Optional, Presence>,
}

/// A resource that is followed and cannot be done without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    Nodes,
    OwnNode,
}

/// A resource that is followed and that a cluster may lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Optional {
    Peers,
    Meshes,
}

impl Optional {
    const fn resource(self) -> &'static str {
        match self {
            Self::Peers => "peers.carrick.dev",
            Self::Meshes => "meshes.carrick.dev",
        }
    }

    /// What a missing CRD means, as text.
    const fn without(self) -> &'static str {
        match self {
            Self::Peers => "there are no peers",
            Self::Meshes => "flags and defaults are the settings of the mesh",
        }
    }
}

/// Whether the API server offers an optional resource; said once in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    Followed,
    Refused(u16),
}

/// Why a session ends.
enum Ended {
    NoReceiver,
    ForeignCluster,
    /// Another label names the nodes' locations: all nodes have to be read again.
    Relabelled,
}

impl<T> From<mpsc::error::SendError<T>> for Ended {
    fn from(_: mpsc::error::SendError<T>) -> Self {
        Self::NoReceiver
    }
}

impl Watch {
    /// Lists and follows everything from the start.
    async fn session(&mut self) -> Result<(), Ended> {
        self.is_verified = false;
        let (client, limits) = (self.api.client(), self.config.limits.clone());
        let own = Some(format!("metadata.name={}", self.config.me));
        let (to_nodes, mut nodes) = mpsc::channel(QUEUE);
        let (to_own, mut own_node) = mpsc::channel(QUEUE);
        let (to_peers, mut peers) = mpsc::channel(QUEUE);
        let (to_meshes, mut meshes) = mpsc::channel(QUEUE);
        let the_mesh = Some(format!("metadata.name={MESH_NAME}"));
        let api = || self.api.clone();
        let followers = futures::future::join4(
            follow(Api::all(client.clone()), None, limits.clone(), api(), to_nodes),
            follow(Api::all(client.clone()), own, limits.clone(), api(), to_own),
            follow(Api::all(client.clone()), None, limits.clone(), api(), to_peers),
            follow(Api::all(client), the_mesh, limits, api(), to_meshes),
        );
        let take = async {
            loop {
                tokio::select! {
                    Some(signal) = nodes.recv() => {
                        self.check(Some(Source::Nodes), &signal).await?;
                        let changes = self.view.take_node(signal);
                        self.tell(changes).await?;
                    }
                    Some(signal) = own_node.recv() => {
                        self.check(Some(Source::OwnNode), &signal).await?;
                        if let Some(event) = self.view.take_own(signal) {
                            self.events.send(event).await?;
                        }
                    }
                    Some(signal) = peers.recv() => {
                        self.note_optional(Optional::Peers, &signal);
                        self.check(None, &signal).await?;
                        let changes = self.view.take_peer(signal);
                        self.tell(changes).await?;
                    }
                    Some(signal) = meshes.recv() => {
                        self.note_optional(Optional::Meshes, &signal);
                        self.check(None, &signal).await?;
                        let changes = self.view.take_mesh(signal);
                        let is_relabelled = self.view.relabel(&changes);
                        self.tell(changes).await?;
                        if is_relabelled {
                            return Err(Ended::Relabelled);
                        }
                    }
                    () = self.events.closed() => return Err(Ended::NoReceiver),
                }
                self.tell_if_synced().await?;
            }
        };
        tokio::select! {
            _ = followers => Ok(()),
            ended = take => ended,
        }
    }

    /// Notes what a signal says of the server, and before anything of its content counts, makes sure that it is of this cluster.
    async fn check<K>(&mut self, source: Option<Source>, signal: &Signal<K>) -> Result<(), Ended> {
        match signal {
            Signal::Failed(error) => {
                self.is_verified &= error.code().is_some();
                if let Some(source) = source {
                    self.lose(source, error).await?;
                }
                return Ok(());
            }
            Signal::ListBegins | Signal::Listed(_) => {}
            Signal::ListEnds | Signal::Connected | Signal::Alive | Signal::Applied(_) | Signal::Deleted(_) => {
                if !self.is_verified {
                    self.verify().await?;
                }
                if let Some(source) = source {
                    self.failing.remove(&source);
                }
            }
        }
        self.status.heard(Instant::now());
        Ok(())
    }

    async fn lose(&mut self, source: Source, error: &FollowError) -> Result<(), Ended> {
        self.status.failed();
        if self.failing.is_empty() {
            let is_certificate_fault = certificate_advice(&error.to_string()).is_some();
            if error.is_refusal() || error.code() == Some(401) || is_certificate_fault {
                tracing::warn!(event = "api_refused", ?source, %error);
            } else {
                tracing::info!(event = "api_lost", ?source, %error);
            }
            self.set_state(ApiState::Lost { since: Instant::now(), error: error.to_string() }).await?;
        } else {
            tracing::debug!(event = "api_still_lost", ?source, %error);
        }
        self.failing.insert(source);
        Ok(())
    }

    /// Waits until the server's cluster is known.
    async fn verify(&mut self) -> Result<(), Ended> {
        let limits = &self.config.limits;
        let (mut backoff, began) = (Backoff::new(limits.least_delay, limits.most_delay), Instant::now());
        let found = loop {
            let error = match identity::cluster_uid(&self.api, &self.config.limits).await {
                Ok(found) => break found,
                Err(error) => error,
            };
            let state = ApiState::Lost { since: Instant::now(), error: error.to_string() };
            let is_lost = matches!(self.status.snapshot().state, ApiState::Lost { .. });
            if !is_lost && self.status.set(&state) {
                if error.is_refusal() {
                    tracing::warn!(event = "cluster_identity_refused", %error);
                }
                self.events.send(ClusterEvent::Api(state)).await?;
            }
            let delay = backoff.delay(began.elapsed(), rand::random());
            tokio::select! {
                () = self.api.pause(delay) => {}
                () = self.events.closed() => return Err(Ended::NoReceiver),
            }
        };
        let expected = self.cluster.get_or_insert_with(|| found.clone()).clone();
        if expected != found {
            tracing::error!(
                event = "foreign_cluster", %expected, %found,
                "the API server belongs to another cluster; nothing that it says counts. \
                 If this node was moved on purpose, empty its state directory"
            );
            self.set_state(ApiState::ForeignCluster { expected, found }).await?;
            return Err(Ended::ForeignCluster);
        }
        self.is_verified = true;
        Ok(())
    }

    /// The agent does not wait for a resource that the API server does not offer; what was known of it stays.
    fn note_optional<K>(&mut self, resource: Optional, signal: &Signal<K>) {
        let now = match signal {
            Signal::ListEnds | Signal::Connected => Presence::Followed,
            Signal::Failed(error) => match error.code() {
                Some(code) => {
                    match resource {
                        Optional::Peers => self.view.go_on_without_peers(),
                        Optional::Meshes => self.view.go_on_without_mesh(),
                    }
                    Presence::Refused(code)
                }
                None => return,
            },
            Signal::ListBegins | Signal::Listed(_) | Signal::Alive | Signal::Applied(_) | Signal::Deleted(_) => return,
        };
        if self.optional.insert(resource, now) == Some(now) {
            return;
        }
        let (name, without) = (resource.resource(), resource.without());
        match now {
            Presence::Refused(404) => {
                tracing::info!(
                    event = "resource_absent",
                    resource = name,
                    "the CRD {name} is not installed: {without}"
                );
            }
            Presence::Refused(code) => {
                tracing::warn!(
                    event = "resource_refused",
                    resource = name,
                    code,
                    "{name} cannot be read; what was known of it stays"
                );
            }
            Presence::Followed => tracing::debug!(event = "resource_followed", resource = name),
        }
    }

    async fn tell(&mut self, changes: Vec<Change>) -> Result<(), Ended> {
        if !changes.is_empty() {
            self.events.send(ClusterEvent::Changed(changes)).await?;
        }
        Ok(())
    }

    async fn tell_if_synced(&mut self) -> Result<(), Ended> {
        let Some(cluster) = self.cluster.clone().filter(|_| self.is_verified && self.failing.is_empty()) else {
            return Ok(());
        };
        let state = if self.view.is_synced() { ApiState::Synced } else { ApiState::Syncing };
        if let Some(event) = self.view.synced(&cluster) {
            tracing::info!(event = "cluster_synced", %cluster);
            self.events.send(event).await?;
        }
        self.set_state(state).await
    }

    async fn set_state(&mut self, state: ApiState) -> Result<(), Ended> {
        if self.status.set(&state) {
            self.events.send(ClusterEvent::Api(state)).await?;
        }
        Ok(())
    }
}
