//! `carrickctl routes`: the routes of a node, with the node that each route leads to.

use carrick_topology::NodePlan;
use carrick_topology::plan::{NextHop, Route, WireGuardPeer};
use ipnet::IpNet;
use serde::Serialize;

use crate::cluster_plan::ClusterPlan;
use crate::failure::Failure;
use crate::health::name_of;
use crate::output::{Cell, Column, Document, Style, Table, View};

/// The routes of a node.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Routes {
    /// The name of the node.
    pub node: String,
    /// Whether the routes are computed, because the node's agent gave no plan.
    pub computed: bool,
    /// The routes, in the order of the plan.
    pub routes: Vec<RouteRow>,
    /// What is not known, for people.
    pub notes: Vec<String>,
}

/// A route.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RouteRow {
    /// The destination.
    pub destination: IpNet,
    /// What the destination belongs to, for example the pods of a node.
    pub owner: Option<String>,
    /// The type: `wireguard`, `vxlan`, `direct`, `unreachable` or `throw`.
    pub kind: &'static str,
    /// The outgoing device.
    pub device: Option<String>,
    /// The node or outside peer that receives the packets.
    pub next: Option<String>,
    /// The address of the next hop, if the route contains one.
    pub via: Option<std::net::IpAddr>,
    /// The source address of the host's own packets.
    pub source: Option<std::net::IpAddr>,
    /// The MTU of the route, if the route contains one, in bytes.
    pub mtu: Option<u32>,
    /// The route's metric.
    pub metric: u32,
}

impl Routes {
    /// The routes of a node.
    ///
    /// # Errors
    /// The node does not exist, or is not in the mesh.
    pub fn of(cluster_plan: &ClusterPlan, node: &str) -> Result<Self, Failure> {
        let plan = cluster_plan.plan_of(node)?;
        Ok(Self {
            node: node.to_owned(),
            computed: cluster_plan.computed.contains(&plan.node),
            routes: plan.routes.iter().map(|route| row(route, plan, cluster_plan)).collect(),
            notes: cluster_plan.notes.clone(),
        })
    }
}

fn row(route: &Route, plan: &NodePlan, cluster_plan: &ClusterPlan) -> RouteRow {
    let (kind, device, via) = match &route.next_hop {
        NextHop::WireGuard => ("wireguard", Some(plan.wireguard.device.to_string()), None),
        NextHop::Vxlan { via } => ("vxlan", Some(plan.vxlan.device.to_string()), Some(*via)),
        NextHop::Direct { via, device } => ("direct", Some(device.to_string()), Some(*via)),
        NextHop::Unreachable => ("unreachable", None, None),
        NextHop::Throw => ("throw", None, None),
    };
    RouteRow {
        destination: route.destination,
        owner: owner(&route.destination, cluster_plan),
        kind,
        device,
        next: next(route, plan, cluster_plan),
        via,
        source: route.source,
        mtu: route.mtu,
        metric: route.metric(),
    }
}

/// The node or outside peer that receives the packets of a route.
pub(crate) fn next(route: &Route, plan: &NodePlan, cluster_plan: &ClusterPlan) -> Option<String> {
    match &route.next_hop {
        NextHop::WireGuard => cipher_route(plan, &route.destination).map(ToOwned::to_owned),
        NextHop::Vxlan { via } => {
            let mut neighbours = plan.vxlan.neighbours.iter();
            neighbours.find(|(_, neighbour)| neighbour.mesh_addresses.contains(via)).map(|(name, _)| name.to_string())
        }
        NextHop::Direct { via, .. } => {
            let mut neighbours = plan.vxlan.neighbours.iter();
            let direct =
                neighbours.find(|(_, neighbour)| neighbour.internal_address == *via).map(|(name, _)| name.to_string());
            direct.or_else(|| owner(&IpNet::from(*via), cluster_plan))
        }
        NextHop::Unreachable | NextHop::Throw => None,
    }
}

/// The WireGuard peer that packets to a network are encrypted for (cryptokey routing): the one with the longest prefix among its allowed
/// IPs that contains the network.
pub(crate) fn cipher_route<'a>(plan: &'a NodePlan, net: &IpNet) -> Option<&'a str> {
    let longest_prefix = |peer: &WireGuardPeer| {
        peer.allowed_ips.iter().filter(|allowed| allowed.contains(net)).map(IpNet::prefix_len).max()
    };
    let matching = plan.wireguard.peers.values().filter_map(|peer| Some((longest_prefix(peer)?, peer)));
    matching.max_by_key(|(length, _)| *length).map(|(_, peer)| name_of(&peer.identity))
}

/// What a network belongs to.
fn owner(net: &IpNet, cluster_plan: &ClusterPlan) -> Option<String> {
    let of_node = cluster_plan.plans.values().find_map(|plan| {
        if plan.pod_cidrs.iter().any(|cidr| cidr.contains(net)) {
            Some(format!("pods of {}", plan.node))
        } else if plan.mesh_addresses.iter().any(|address| IpNet::from(*address) == *net) {
            Some(format!("mesh address of {}", plan.node))
        } else {
            None
        }
    });
    let internal = || {
        let address = (IpNet::from(net.addr()) == *net).then(|| net.addr())?;
        cluster_plan.node_at(address).map(|name| format!("internal address of {name}"))
    };
    let behind_peer = || {
        let mut peers = cluster_plan.cluster.peers.values();
        peers.find(|peer| peer.allowed_ips.contains(net)).map(|peer| format!("behind the peer {}", peer.name))
    };
    of_node.or_else(internal).or_else(behind_peer)
}

impl View for Routes {
    fn draw(&self, document: &mut Document) {
        let mut table = Table::new([
            Column::text("DESTINATION"),
            Column::text("TYPE"),
            Column::text("NEXT"),
            Column::text("DEVICE"),
            Column::text("VIA"),
            Column::numbers("MTU"),
            Column::text("SOURCE"),
            Column::text("BELONGS TO"),
        ]);
        for route in &self.routes {
            table.row([
                route.destination.into(),
                if route.kind == "unreachable" { Cell::of(route.kind, Style::Dim) } else { route.kind.into() },
                Cell::or_dash(route.next.as_ref()),
                Cell::or_dash(route.device.as_ref()),
                Cell::or_dash(route.via),
                Cell::or_dash(route.mtu),
                Cell::or_dash(route.source),
                Cell::or_dash(route.owner.as_ref()),
            ]);
        }
        document.table(&table);
        for note in &self.notes {
            document.styled(format_args!("note: {note}"), Style::Dim);
        }
    }
}
