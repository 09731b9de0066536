//! `carrickctl trace`: the path of a packet, hop by hop, with the current state of each hop.

mod end;
mod live;
mod live_path;
mod obstacle;
mod route;
mod verdict;

use std::net::IpAddr;

use carrick_probe::{PathKind, PathState};
use carrick_status::StatusPage;
use carrick_topology::plan::Role;
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

pub use end::{End, NamedPods, look_up_pods};
pub use live::send_probes;
use live_path::PlannedRoute;
pub use live_path::{LivePath, LiveRow};
use route::{route_text, route_to};
use verdict::Ends;

/// The paths of packets between two ends.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Trace {
    /// One path for each direction and each address family that both ends have.
    pub paths: Vec<TracedPath>,
    /// What is not known, for people.
    pub notes: Vec<String>,
}

/// The path of a packet.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TracedPath {
    /// The sender.
    pub from: String,
    /// The source address; absent if the sender has not chosen one.
    pub source: Option<IpAddr>,
    /// The source address that the receiver sees, if a node on the path replaces it.
    pub masqueraded_source: Option<IpAddr>,
    /// The receiver.
    pub to: String,
    /// The destination address.
    pub destination: IpAddr,
    /// Whether the packet is the answer to the packet of the path before.
    pub answer: bool,
    /// The hops, in order.
    pub hops: Vec<HopRow>,
    /// The nodes on the path, in order, including the first and the last one.
    pub nodes: Vec<String>,
    /// Whether the packet arrives, according to the plans.
    pub arrives: bool,
    /// Whether the packet leaves the mesh towards an address that is not in the mesh. This is no fault.
    pub leaves_mesh: bool,
    /// Where the path ends according to the plans, for people.
    pub end: String,
    /// The size of the largest packet that passes according to the plans, in bytes.
    pub mtu: Option<u32>,
    /// What stops the packet: routes, firewall rules and allowed IPs that drop it, and tunnels and probed paths that are down.
    pub obstacles: Vec<String>,
    /// The result of the probes, with `--live`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub live: Option<LivePath>,
}

/// A hop of a path.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HopRow {
    /// The node that sends.
    pub from: String,
    /// The role of the node in its location.
    pub role: Option<Role>,
    /// The node or outside peer that receives.
    pub to: String,
    /// The outgoing device.
    pub device: String,
    /// The encapsulation: `wireguard`, `encapsulated`, `vxlan` or `plain`.
    pub link: &'static str,
    /// The route to the destination.
    pub route: Option<String>,
    /// The size of the largest packet on this hop, in bytes.
    pub mtu: Option<u32>,
    /// The endpoint of the tunnel on the device.
    pub endpoint: Option<std::net::SocketAddr>,
    /// The state of the tunnel.
    pub tunnel: Option<TunnelState>,
    /// The age of the tunnel's last handshake, in seconds.
    pub seconds_since_handshake: Option<u64>,
    /// The state of the hop according to the node's probes.
    pub probed: Option<PathState>,
    /// The median round trip of the probes, in microseconds.
    pub round_trip_us: Option<u64>,
    /// The loss of the probes, from 0 to 1.
    pub loss: Option<f64>,
}

impl Trace {
    /// Follows packets between two ends in both directions, in every address family that both ends have.
    ///
    /// # Errors
    /// The sender is not in the mesh, or the ends have no address family in common.
    pub fn of(snapshot: &Snapshot, cluster_plan: &ClusterPlan, from: &End, to: &End) -> Result<Self, Failure> {
        let Some(origin) = &from.origin else {
            return Err(Failure::Usage(format!(
                "{} is neither in a pod CIDR nor the address of a node or peer, so no packets come from it",
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
            if source.is_none() && !from.has_source_by_route() {
                continue;
            }
            let packet = Packet { source, destination };
            let there = network.walk(origin, packet);
            let back = network.answer(&there, packet);
            let ends = Ends { from, to, receiver: destination };
            paths.push(traced_path(snapshot, cluster_plan, &there, destination, ends));
            if let (Some(back), Some(answered)) = (back, there.source) {
                let ends = Ends { from: to, to: from, receiver: source.unwrap_or(answered) };
                paths.push(TracedPath { answer: true, ..traced_path(snapshot, cluster_plan, &back, answered, ends) });
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
    ends: Ends<'_>,
) -> TracedPath {
    let next_nodes =
        walk.hops.iter().skip(1).map(|hop| hop.from.to_string()).chain([last_node(&walk.outcome).to_owned()]);
    let hops: Vec<HopRow> = walk
        .hops
        .iter()
        .zip(next_nodes)
        .map(|(hop, next)| hop_row(snapshot, cluster_plan, hop, next, destination))
        .collect();
    let mut obstacles: Vec<String> = hops.iter().filter_map(HopRow::obstacle).collect();
    for hop in &hops {
        obstacles.extend(obstacle::missing_allowed_ip(snapshot, cluster_plan, &hop.from, &hop.to, destination));
    }
    obstacles.extend(obstacle::of(cluster_plan, walk, destination));
    let mut nodes: Vec<String> = walk.nodes().map(ToString::to_string).collect();
    nodes.push(last_node(&walk.outcome).to_owned());
    let source = walk.translations.first().map(|translation| translation.before).or(walk.source);
    TracedPath {
        from: ends.from.name.clone(),
        source,
        masqueraded_source: walk.source.filter(|seen| source != Some(*seen)),
        to: ends.to.name.clone(),
        destination,
        answer: false,
        nodes,
        hops,
        arrives: walk.arrives(),
        leaves_mesh: verdict::leaves_mesh(cluster_plan, walk, ends),
        end: verdict::end_text(cluster_plan, walk, ends),
        mtu: (walk.mtu < u32::MAX).then_some(walk.mtu),
        obstacles,
        live: None,
    }
}

/// The node or peer where a packet ends.
fn last_node(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Outside(peer) => peer.as_str(),
        Outcome::Pod(node)
        | Outcome::Host(node)
        | Outcome::LocationNetwork(node)
        | Outcome::Uplink(node)
        | Outcome::Dropped(node, _) => node.as_str(),
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
        route: route.map(route_text),
        mtu: route.and_then(|route| route.mtu).into_iter().chain(device_mtu).min(),
        endpoint: tunnel.as_ref().and_then(|(_, current)| current.endpoint),
        tunnel: tunnel.as_ref().map(|(state, _)| *state),
        seconds_since_handshake: tunnel.and_then(|(_, current)| current.seconds_since_handshake),
        probed: path.map(|path| path.state),
        round_trip_us: path.and_then(|path| Some(path.round_trip?.p50_us)),
        loss: path.and_then(|path| path.loss),
    }
}

fn tunnel(plan: &NodePlan, page: &StatusPage, to: &str) -> Option<(TunnelState, carrick_status::PeerState)> {
    let mut peers = plan.wireguard.peers.iter();
    let (key, planned) = peers.find(|(_, planned)| crate::health::name_of(&planned.identity) == to)?;
    let current = page.peers.get(key);
    Some((TunnelState::of(planned, current), current.cloned().unwrap_or_default()))
}

impl HopRow {
    fn obstacle(&self) -> Option<String> {
        let tunnel = self.tunnel.filter(|state| !matches!(state, TunnelState::Up | TunnelState::Idle));
        if let Some(state) = tunnel {
            return Some(format!("the tunnel from {} to {}: {}", self.from, self.to, state.text()));
        }
        (self.probed == Some(PathState::Down)).then(|| {
            format!("the path from {} to {} is down: the probes of {} are not answered", self.from, self.to, self.from)
        })
    }

    fn live_cell(&self) -> Cell {
        let mut parts = Vec::new();
        parts.extend(self.tunnel.map(|state| state.text().to_owned()));
        parts.extend(self.seconds_since_handshake.map(|seconds| format!("handshake {} ago", units::seconds(seconds))));
        parts.extend(self.probed.and_then(|state| match state {
            PathState::Up | PathState::Unknown => None,
            PathState::AgentAway => Some("agent down".to_owned()),
            PathState::Down => Some("path down".to_owned()),
        }));
        parts.extend(self.round_trip_us.map(units::milliseconds));
        parts.extend(self.loss.filter(|loss| *loss > 0.0).map(|loss| format!("{} lost", units::percent(loss))));
        match (parts.is_empty(), self.obstacle()) {
            (true, _) => Cell::of("not known", Style::Dim),
            (false, Some(_)) => Cell::of(parts.join(", "), Style::Bad),
            (false, None) => Cell::of(parts.join(", "), Style::Good),
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
        if self.paths.iter().all(TracedPath::is_healthy) { Exit::Healthy } else { Exit::Unhealthy }
    }
}

impl TracedPath {
    pub(crate) fn route(&self) -> PlannedRoute<'_> {
        PlannedRoute { nodes: &self.nodes, to: &self.to, destination: self.destination }
    }

    fn is_healthy(&self) -> bool {
        (self.arrives || self.leaves_mesh) && self.obstacles.is_empty()
    }

    /// Lines are not cut, so that obstacles are complete.
    fn draw_verdict(&self, document: &mut Document) {
        let mtu = self.mtu.filter(|_| self.arrives);
        let mtu = mtu.map(|mtu| format!(", packets up to {mtu} bytes")).unwrap_or_default();
        let end = format!("{}{mtu}", self.end);
        let is_good = self.arrives || self.leaves_mesh;
        let others = match self.obstacles.as_slice() {
            [first, others @ ..] if is_good => {
                document.uncut(format_args!("by the plans, the packet {end}, but: {first}"), Style::Bad);
                others
            }
            obstacles => {
                document.uncut(end, if is_good { Style::Good } else { Style::Bad });
                obstacles
            }
        };
        for obstacle in others {
            document.uncut(format_args!("  {obstacle}"), Style::Bad);
        }
    }

    fn draw(&self, document: &mut Document) {
        let masqueraded = self.masqueraded_source.map(|seen| format!(", masqueraded as {seen}")).unwrap_or_default();
        let source = self.source.map(|source| format!(" ({source}{masqueraded})")).unwrap_or_default();
        let back = if self.answer { "back: " } else { "" };
        let destination = self.destination.to_string();
        let destination = if self.to == destination { destination } else { format!("{} ({destination})", self.to) };
        document.styled(format_args!("{back}{}{source} to {destination}", self.from), Style::Strong);
        let mut table = Table::new([
            Column::numbers("HOP"),
            Column::text("NODE"),
            Column::text("ROLE"),
            Column::text("DEVICE"),
            Column::text("LINK"),
            Column::text("TO"),
            Column::text("ENDPOINT"),
            Column::numbers("MTU"),
            Column::text("NOW"),
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
        self.draw_verdict(document);
        if let Some(live) = &self.live {
            live.draw(document);
        }
    }
}
