//! `carrickctl trace`: a packet's path, hop by hop, with what is known of each hop at this moment.

mod end;
mod live;
mod obstacle;

use std::net::IpAddr;

use carrick_probe::{PathKind, PathState};
use carrick_status::StatusPage;
use carrick_topology::plan::{NextHop, Role, Route};
use carrick_topology::walk::{Hop, Link, Outcome, Packet, Walk};
use carrick_topology::{Family, NodePlan};
use serde::Serialize;

use crate::cluster_plan::ClusterPlan;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::health::TunnelState;
use crate::output::{Cell, Column, Document, Style, Table, View, units};
use crate::snapshot::{Agent, Snapshot};
use crate::status::role;

pub use end::{End, NamedPods, look_up};
pub use live::{LivePath, LiveRow, send_probes};

/// The paths between two ends.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Trace {
    /// One for each address family that both ends have, and direction.
    pub paths: Vec<TracedPath>,
    /// What cannot be known.
    pub notes: Vec<String>,
}

/// A packet's path.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TracedPath {
    /// Who sends.
    pub from: String,
    /// Its address, as far as it is chosen.
    pub source: Option<IpAddr>,
    /// Who should receive.
    pub to: String,
    /// Its address.
    pub destination: IpAddr,
    /// Whether it is the answer to the packet before.
    pub answer: bool,
    /// The hops, in order.
    pub hops: Vec<HopRow>,
    /// The nodes that the packet passes, in order, the first and the last one included.
    pub nodes: Vec<String>,
    /// Whether it arrives, by the plans.
    pub arrives: bool,
    /// Where it ends, in words.
    pub end: String,
    /// The largest packet that passes, by the plans, in bytes.
    pub mtu: Option<u32>,
    /// What stands in its path: the rule or the cipher route that ends it, and tunnels and paths that are not up.
    pub obstacles: Vec<String>,
    /// What probes along it found, with `--live`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub live: Option<LivePath>,
}

/// A hop.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HopRow {
    /// The node that sends.
    pub from: String,
    /// What it is in its location.
    pub role: Option<Role>,
    /// The node or outside peer that receives.
    pub to: String,
    /// The device.
    pub device: String,
    /// How: `wireguard`, `vxlan` or `plain`.
    pub link: &'static str,
    /// The route that leads there.
    pub route: Option<String>,
    /// The largest packet, in bytes.
    pub mtu: Option<u32>,
    /// The tunnel's far end, as the device dials it.
    pub endpoint: Option<std::net::SocketAddr>,
    /// The tunnel's state.
    pub tunnel: Option<TunnelState>,
    /// The age of the tunnel's last handshake.
    pub seconds_since_handshake: Option<u64>,
    /// What the node's probes say of the hop.
    pub path: Option<PathState>,
    /// Their median round trip, in microseconds.
    pub round_trip_us: Option<u64>,
    /// The share of probes lost.
    pub loss: Option<f64>,
}

impl Trace {
    /// Follows packets between two ends, there and back, in every family that both have.
    ///
    /// # Errors
    /// The sender is not of the mesh, or the two have no family in common.
    pub fn of(snapshot: &Snapshot, cluster_plan: &ClusterPlan, from: &End, to: &End) -> Result<Self, Failure> {
        let Some(origin) = &from.origin else {
            return Err(Failure::Usage(format!(
                "{} is neither in a pod CIDR nor a node's nor a peer's address: nobody here sends from it",
                from.name
            )));
        };
        let network = cluster_plan.network();
        let mut paths = Vec::new();
        for family in Family::BOTH {
            let of_family =
                |addresses: &[IpAddr]| addresses.iter().copied().find(|address| Family::of(address) == family);
            let Some(destination) = of_family(&to.addresses) else { continue };
            let source = of_family(&from.addresses);
            if source.is_none() && !from.chooses_its_source() {
                continue;
            }
            let packet = Packet { source, destination };
            let there = network.walk(origin, packet);
            let back = network.answer(&there, packet);
            paths.push(traced_path(snapshot, cluster_plan, &there, destination, (&from.name, &to.name)));
            if let (Some(back), Some(asked)) = (back, there.source) {
                paths.push(TracedPath {
                    answer: true,
                    ..traced_path(snapshot, cluster_plan, &back, asked, (&to.name, &from.name))
                });
            }
        }
        if paths.is_empty() {
            return Err(Failure::Usage(format!("{} and {} have no address family in common", from.name, to.name)));
        }
        Ok(Self { paths, notes: cluster_plan.notes.clone() })
    }
}

fn traced_path(
    snapshot: &Snapshot,
    cluster_plan: &ClusterPlan,
    walk: &Walk,
    destination: IpAddr,
    (from, to): (&str, &str),
) -> TracedPath {
    let ends = walk.hops.iter().skip(1).map(|hop| hop.from.to_string()).chain([place(&walk.outcome).to_owned()]);
    let hops: Vec<HopRow> =
        walk.hops.iter().zip(ends).map(|(hop, next)| hop_row(snapshot, cluster_plan, hop, next, destination)).collect();
    let mut obstacles: Vec<String> = hops.iter().filter_map(HopRow::obstacle).collect();
    for hop in &hops {
        obstacles.extend(obstacle::missing_cipher_route(snapshot, cluster_plan, &hop.from, &hop.to, destination));
    }
    obstacles.extend(obstacle::of(cluster_plan, walk, destination));
    let mut nodes: Vec<String> = walk.nodes().map(ToString::to_string).collect();
    nodes.push(place(&walk.outcome).to_owned());
    TracedPath {
        from: from.to_owned(),
        source: walk.source,
        to: to.to_owned(),
        destination,
        answer: false,
        nodes,
        hops,
        arrives: walk.arrives(),
        end: end_in_words(&walk.outcome),
        mtu: (walk.mtu < u32::MAX).then_some(walk.mtu),
        obstacles,
        live: None,
    }
}

/// The node or peer at which a packet ends.
fn place(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Outside(peer) => peer.as_str(),
        Outcome::Pod(node)
        | Outcome::Host(node)
        | Outcome::LocationNetwork(node)
        | Outcome::Uplink(node)
        | Outcome::Dropped(node, _) => node.as_str(),
    }
}

fn end_in_words(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Pod(node) => format!("reaches the pod on {node}"),
        Outcome::Host(node) => format!("reaches the node {node}"),
        Outcome::Outside(peer) => format!("reaches the outside peer {peer}"),
        Outcome::LocationNetwork(node) => format!("leaves the mesh at {node} into its location's network"),
        Outcome::Uplink(node) => format!("leaves {node} by its uplink, outside the mesh"),
        Outcome::Dropped(node, _) => format!("ends at {node}"),
    }
}

fn hop_row(snapshot: &Snapshot, cluster_plan: &ClusterPlan, hop: &Hop, to: String, destination: IpAddr) -> HopRow {
    let plan = cluster_plan.plans.get(&hop.from);
    let page = snapshot.agent(hop.from.as_str()).and_then(Agent::page);
    let route = plan.and_then(|plan| route_to(plan, destination));
    let (link, device, device_mtu) = match &hop.link {
        Link::WireGuard => {
            ("wireguard", plan.map(|plan| plan.wireguard.device.to_string()), plan.map(|plan| plan.wireguard.mtu))
        }
        Link::Encapsulated => {
            let handover = plan.and_then(|plan| plan.handover.as_ref());
            (
                "encapsulated",
                handover.map(|handover| handover.device.to_string()),
                handover.map(|handover| handover.mtu),
            )
        }
        Link::Vxlan => ("vxlan", plan.map(|plan| plan.vxlan.device.to_string()), plan.map(|plan| plan.vxlan.mtu)),
        Link::Plain(device) => ("plain", device.as_ref().map(ToString::to_string), None),
    };
    let kind = match hop.link {
        Link::WireGuard | Link::Encapsulated => PathKind::Tunnel,
        Link::Vxlan | Link::Plain(_) => PathKind::Inside,
    };
    let tunnel = (kind == PathKind::Tunnel).then(|| tunnel(plan?, page?, &to)).flatten();
    let path = page.and_then(|page| page.paths.iter().find(|path| path.to.as_str() == to && path.kind == kind));
    HopRow {
        from: hop.from.to_string(),
        role: plan.map(|plan| plan.location.role),
        to,
        device: device.unwrap_or_default(),
        link,
        route: route.map(in_words),
        mtu: route.and_then(|route| route.mtu).into_iter().chain(device_mtu).min(),
        endpoint: tunnel.as_ref().and_then(|(_, held)| held.endpoint),
        tunnel: tunnel.as_ref().map(|(state, _)| *state),
        seconds_since_handshake: tunnel.and_then(|(_, held)| held.seconds_since_handshake),
        path: path.map(|path| path.state),
        round_trip_us: path.and_then(|path| Some(path.round_trip?.p50_us)),
        loss: path.and_then(|path| path.loss),
    }
}

fn tunnel(plan: &NodePlan, page: &StatusPage, to: &str) -> Option<(TunnelState, carrick_status::PeerState)> {
    let mut peers = plan.wireguard.peers.iter();
    let (key, wanted) = peers.find(|(_, wanted)| crate::health::name_of(&wanted.identity) == to)?;
    let held = page.peers.get(key);
    Some((TunnelState::of(wanted, held), held.cloned().unwrap_or_default()))
}

/// The route that the kernel takes: the longest prefix, then the smallest metric.
fn route_to(plan: &NodePlan, destination: IpAddr) -> Option<&Route> {
    let fitting = plan.routes.iter().filter(|route| route.destination.contains(&destination));
    fitting.max_by_key(|route| (route.destination.prefix_len(), std::cmp::Reverse(route.metric())))
}

/// A route as iproute2 writes it.
fn in_words(route: &Route) -> String {
    let destination = route.destination;
    match &route.next_hop {
        NextHop::WireGuard => format!("{destination} by WireGuard"),
        NextHop::Vxlan { via } => format!("{destination} via {via} by VXLAN"),
        NextHop::Direct { via, device } => format!("{destination} via {via} dev {device}"),
        NextHop::Unreachable => format!("unreachable {destination}"),
        NextHop::Throw => format!("throw {destination}"),
    }
}

impl HopRow {
    fn obstacle(&self) -> Option<String> {
        let tunnel = self.tunnel.filter(|state| !matches!(state, TunnelState::Up | TunnelState::Idle));
        if let Some(state) = tunnel {
            return Some(format!("the tunnel from {} to {}: {}", self.from, self.to, state.word()));
        }
        (self.path == Some(PathState::Down)).then(|| {
            format!("the path from {} to {} is down: nobody answers {}'s probes", self.from, self.to, self.from)
        })
    }

    fn live_cell(&self) -> Cell {
        let mut words = Vec::new();
        words.extend(self.tunnel.map(|state| state.word().to_owned()));
        words.extend(self.seconds_since_handshake.map(|seconds| format!("handshake {} ago", units::seconds(seconds))));
        words.extend(self.path.and_then(|state| match state {
            PathState::Up | PathState::Unknown => None,
            PathState::AgentAway => Some("agent away".to_owned()),
            PathState::Down => Some("path down".to_owned()),
        }));
        words.extend(self.round_trip_us.map(units::milliseconds));
        words.extend(self.loss.filter(|loss| *loss > 0.0).map(|loss| format!("{} lost", units::percent(loss))));
        match (words.is_empty(), self.obstacle()) {
            (true, _) => Cell::of("not known", Style::Dim),
            (false, Some(_)) => Cell::of(words.join(", "), Style::Bad),
            (false, None) => Cell::of(words.join(", "), Style::Good),
        }
    }
}

impl View for Trace {
    fn draw(&self, document: &mut Document) {
        for path in &self.paths {
            document.gap();
            path.draw(document);
        }
        if !self.notes.is_empty() {
            document.gap();
        }
        for note in &self.notes {
            document.styled(format_args!("note: {note}"), Style::Dim);
        }
    }

    fn exit(&self) -> Exit {
        let is_healthy = |path: &TracedPath| path.arrives && path.obstacles.is_empty();
        if self.paths.iter().all(is_healthy) { Exit::Healthy } else { Exit::Unhealthy }
    }
}

impl TracedPath {
    fn draw(&self, document: &mut Document) {
        let source = self.source.map(|source| format!(" ({source})")).unwrap_or_default();
        let back = if self.answer { "back: " } else { "" };
        document
            .styled(format_args!("{back}{}{source} to {} ({})", self.from, self.to, self.destination), Style::Strong);
        let mut table = Table::new([
            Column::numbers("HOP"),
            Column::words("NODE"),
            Column::words("ROLE"),
            Column::words("DEVICE"),
            Column::words("LINK"),
            Column::words("TO"),
            Column::words("ENDPOINT"),
            Column::numbers("MTU"),
            Column::words("NOW"),
        ]);
        for (index, hop) in self.hops.iter().enumerate() {
            table.row([
                (index + 1).into(),
                Cell::plain(&hop.from),
                Cell::or_dash(hop.role.map(role)),
                Cell::plain(&hop.device),
                hop.link.into(),
                Cell::plain(&hop.to),
                Cell::or_dash(hop.endpoint),
                Cell::or_dash(hop.mtu),
                hop.live_cell(),
            ]);
        }
        document.table(&table);
        let mtu = self.mtu.map(|mtu| format!(", packets up to {mtu} bytes")).unwrap_or_default();
        if self.arrives {
            document.styled(
                format_args!("{}{mtu}", self.end),
                if self.obstacles.is_empty() { Style::Good } else { Style::Warn },
            );
        } else {
            document.styled(&self.end, Style::Bad);
        }
        for obstacle in &self.obstacles {
            document.styled(format_args!("  {obstacle}"), Style::Bad);
        }
        if let Some(live) = &self.live {
            live.draw(document);
        }
    }
}
