//! `carrickctl routes`: what a node's table holds, with the node that each route leads to.

use carrick_topology::NodePlan;
use carrick_topology::plan::{NextHop, Route};
use ipnet::IpNet;
use serde::Serialize;

use crate::cluster_plan::ClusterPlan;
use crate::failure::Failure;
use crate::health::name_of;
use crate::output::{Cell, Column, Document, Style, Table, View};

/// The routes of a node.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Routes {
    /// The node.
    pub node: String,
    /// Whether they are computed, because its agent gave no plan.
    pub computed: bool,
    /// The routes, in the order of the plan.
    pub routes: Vec<RouteRow>,
    /// What cannot be known.
    pub notes: Vec<String>,
}

/// A route.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RouteRow {
    /// Where to.
    pub destination: IpNet,
    /// What stands there: whose pods, or what else.
    pub owner: Option<String>,
    /// How.
    pub kind: &'static str,
    /// The device.
    pub device: Option<String>,
    /// The node that takes the packet next.
    pub next: Option<String>,
    /// The address of the next hop, where the route names one.
    pub via: Option<std::net::IpAddr>,
    /// The source that the host's own packets take.
    pub source: Option<std::net::IpAddr>,
    /// The largest packet, where the route says so, in bytes.
    pub mtu: Option<u32>,
    /// The route's metric.
    pub metric: u32,
}

impl Routes {
    /// The routes of a node.
    ///
    /// # Errors
    /// There is no such node.
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

/// The node or outside peer that a route hands packets to.
pub(crate) fn next(route: &Route, plan: &NodePlan, cluster_plan: &ClusterPlan) -> Option<String> {
    match &route.next_hop {
        NextHop::WireGuard => {
            let holds = |net: &&IpNet| net.contains(&route.destination);
            let peers = plan.wireguard.peers.values();
            let best = peers
                .filter_map(|peer| Some((peer.allowed_ips.iter().filter(holds).map(IpNet::prefix_len).max()?, peer)));
            best.max_by_key(|(length, _)| *length).map(|(_, peer)| name_of(&peer.identity).to_owned())
        }
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

/// What stands behind a network.
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
            Column::words("DESTINATION"),
            Column::words("TYPE"),
            Column::words("NEXT"),
            Column::words("DEVICE"),
            Column::words("VIA"),
            Column::numbers("MTU"),
            Column::words("SOURCE"),
            Column::words("WHAT IS THERE"),
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
