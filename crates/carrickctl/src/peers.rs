//! `carrickctl peers`: the WireGuard peers of the devices, compared with the plans.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use carrick_status::{PeerState, StatusPage};
use carrick_topology::plan::{PeerIdentity, WireGuardPeer};
use carrick_topology::{Cluster, PublicKey};
use ipnet::IpNet;
use serde::Serialize;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::health::{TunnelState, name_of};
use crate::output::{Cell, Column, Document, Style, Table, View, units};
use crate::snapshot::Snapshot;

/// The WireGuard peers of nodes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Peers {
    /// The peers.
    pub peers: Vec<PeerRow>,
    /// The nodes whose agents cannot be reached, and why.
    pub unreachable: BTreeMap<String, String>,
}

/// A peer of a node.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PeerRow {
    /// The node that has the peer.
    pub node: String,
    /// The name of the peer; its key if the plan does not contain it.
    pub peer: String,
    /// The public key of the peer.
    pub public_key: PublicKey,
    /// The endpoint from the annotation or the Peer object, if the objects are known.
    pub configured_endpoint: Option<String>,
    /// The endpoints that the peer's agent discovered, if the objects are known.
    pub discovered_endpoints: Vec<String>,
    /// The endpoint in the plan.
    pub planned_endpoint: Option<SocketAddr>,
    /// The endpoint on the device.
    pub current_endpoint: Option<SocketAddr>,
    /// The age of the last handshake, in seconds.
    pub seconds_since_handshake: Option<u64>,
    /// Bytes received.
    pub received_bytes: u64,
    /// Bytes sent.
    pub sent_bytes: u64,
    /// The allowed IPs on the device.
    pub allowed_ips: BTreeSet<IpNet>,
    /// The allowed IPs in the plan that the device lacks.
    pub missing_allowed_ips: BTreeSet<IpNet>,
    /// The allowed IPs on the device that the plan does not contain.
    pub extra_allowed_ips: BTreeSet<IpNet>,
    /// The state of the tunnel; absent if the plan does not contain the peer.
    pub state: Option<TunnelState>,
    /// Whether the tunnel has no fault and the device matches the plan.
    pub healthy: bool,
}

impl Peers {
    /// The peers of one node, or of all.
    ///
    /// # Errors
    /// The node does not exist.
    pub fn of(snapshot: &Snapshot, node: Option<&str>) -> Result<Self, Failure> {
        snapshot.require(node)?;
        let cluster = snapshot.cluster();
        let is_asked_for = |name: &str| node.is_none_or(|node| name == node);
        let pages = snapshot.pages().filter(|(agent, _)| is_asked_for(&agent.name));
        let mut unreachable = snapshot.unreachable();
        unreachable.retain(|name, _| is_asked_for(name));
        Ok(Self { peers: pages.flat_map(|(agent, page)| rows(&agent.name, page, &cluster)).collect(), unreachable })
    }
}

fn rows(node: &str, page: &StatusPage, cluster: &Cluster) -> Vec<PeerRow> {
    let empty = BTreeMap::new();
    let planned = page.plan.as_ref().map_or(&empty, |plan| &plan.wireguard.peers);
    let keys: BTreeSet<&PublicKey> = planned.keys().chain(page.peers.keys()).collect();
    let mut rows: Vec<_> =
        keys.into_iter().map(|key| row(node, *key, planned.get(key), page.peers.get(key), cluster)).collect();
    rows.sort_by(|one, other| one.peer.cmp(&other.peer));
    rows
}

fn row(
    node: &str,
    key: PublicKey,
    planned: Option<&WireGuardPeer>,
    current: Option<&PeerState>,
    cluster: &Cluster,
) -> PeerRow {
    let identity = planned.map(|planned| &planned.identity);
    let none = BTreeSet::new();
    let planned_ips = planned.map_or(&none, |planned| &planned.allowed_ips);
    let allowed_ips = current.map(|current| current.allowed_ips.clone()).unwrap_or_default();
    let state = planned.map(|planned| TunnelState::of(planned, current));
    let missing_allowed_ips: BTreeSet<IpNet> = planned_ips.difference(&allowed_ips).copied().collect();
    let extra_allowed_ips: BTreeSet<IpNet> = allowed_ips.difference(planned_ips).copied().collect();
    let is_healthy = state.zip(identity).is_some_and(|(state, identity)| state.is_healthy(identity));
    let (configured_endpoint, discovered_endpoints) =
        identity.map(|identity| endpoints(identity, cluster)).unwrap_or_default();
    PeerRow {
        node: node.to_owned(),
        peer: identity.map_or_else(|| key.to_string(), |identity| name_of(identity).to_owned()),
        public_key: key,
        configured_endpoint,
        discovered_endpoints,
        planned_endpoint: planned.and_then(|planned| planned.endpoint),
        current_endpoint: current.and_then(|current| current.endpoint),
        seconds_since_handshake: current.and_then(|current| current.seconds_since_handshake),
        received_bytes: current.map_or(0, |current| current.received_bytes),
        sent_bytes: current.map_or(0, |current| current.sent_bytes),
        healthy: is_healthy && missing_allowed_ips.is_empty() && extra_allowed_ips.is_empty(),
        allowed_ips,
        missing_allowed_ips,
        extra_allowed_ips,
        state,
    }
}

/// The configured endpoint, and the endpoints that the peer's agent discovered.
fn endpoints(identity: &PeerIdentity, cluster: &Cluster) -> (Option<String>, Vec<String>) {
    match identity {
        PeerIdentity::Node(name) => cluster.nodes.get(name).map_or((None, Vec::new()), |node| {
            let discovered = node.advertised_endpoints.iter().map(ToString::to_string).collect();
            (node.endpoint.as_ref().map(ToString::to_string), discovered)
        }),
        PeerIdentity::Outside(name) => {
            let peer = cluster.peers.get(name);
            (peer.and_then(|peer| peer.endpoint.as_ref()).map(ToString::to_string), Vec::new())
        }
    }
}

impl View for Peers {
    fn draw(&self, document: &mut Document) {
        let mut table = Table::new([
            Column::text("NODE"),
            Column::text("PEER"),
            Column::text("STATE"),
            Column::numbers("HANDSHAKE"),
            Column::text("PLANNED ENDPOINT"),
            Column::text("CURRENT ENDPOINT"),
            Column::numbers("RECEIVED"),
            Column::numbers("SENT"),
            Column::text("ALLOWED IPS"),
        ]);
        for row in &self.peers {
            table.row([
                Cell::plain(&row.node),
                Cell::plain(&row.peer),
                row.state_cell(),
                Cell::or_dash(row.seconds_since_handshake.map(units::seconds)),
                Cell::or_dash(row.planned_in_words()),
                row.current_cell(),
                units::bytes(row.received_bytes as f64).into(),
                units::bytes(row.sent_bytes as f64).into(),
                row.allowed_cell(),
            ]);
        }
        document.table(&table);
        if self.peers.is_empty() && self.unreachable.is_empty() {
            document.line("no peers");
        }
        for (node, reason) in &self.unreachable {
            document.styled(format_args!("{node}: {reason}"), Style::Bad);
        }
    }

    fn exit(&self) -> Exit {
        if self.peers.is_empty() && !self.unreachable.is_empty() {
            Exit::Unreachable
        } else if self.unreachable.is_empty() && self.peers.iter().all(|row| row.healthy) {
            Exit::Healthy
        } else {
            Exit::Unhealthy
        }
    }
}

impl PeerRow {
    fn state_cell(&self) -> Cell {
        match self.state {
            None => Cell::of("not in the plan", Style::Bad),
            Some(state) if state == TunnelState::Up => Cell::of(state.text(), Style::Good),
            Some(state) if self.healthy => Cell::plain(state.text()),
            Some(state) => Cell::of(state.text(), Style::Bad),
        }
    }

    fn planned_in_words(&self) -> Option<String> {
        let planned = self.planned_endpoint?.to_string();
        Some(match &self.configured_endpoint {
            Some(configured) if *configured == planned => format!("{planned} (configured)"),
            Some(configured) => format!("{planned} (configured: {configured})"),
            None if self.discovered_endpoints.contains(&planned) => format!("{planned} (discovered)"),
            None => planned,
        })
    }

    fn current_cell(&self) -> Cell {
        match self.current_endpoint {
            Some(current) if self.planned_endpoint.is_some_and(|planned| planned != current) => {
                Cell::of(format_args!("{current} (roamed)"), Style::Warn)
            }
            current => Cell::or_dash(current),
        }
    }

    fn allowed_cell(&self) -> Cell {
        let kept = self.allowed_ips.difference(&self.extra_allowed_ips).map(ToString::to_string);
        let missing = self.missing_allowed_ips.iter().map(|net| format!("missing: {net}"));
        let extra = self.extra_allowed_ips.iter().map(|net| format!("not in the plan: {net}"));
        let is_as_planned = self.missing_allowed_ips.is_empty() && self.extra_allowed_ips.is_empty();
        let all: Vec<_> = missing.chain(extra).chain(kept).collect();
        Cell::of(all.join(", "), if is_as_planned { Style::Plain } else { Style::Bad })
    }
}
