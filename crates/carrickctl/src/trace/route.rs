//! The route of a packet in a plan.

use std::cmp::Reverse;
use std::net::IpAddr;

use carrick_topology::NodePlan;
use carrick_topology::plan::{NextHop, Route};

/// The route that the kernel chooses: the one with the longest prefix, then the one with the smallest metric.
pub(super) fn route_to(plan: &NodePlan, destination: IpAddr) -> Option<&Route> {
    let matching = plan.routes.iter().filter(|route| route.destination.contains(&destination));
    matching.max_by_key(|route| (route.destination.prefix_len(), Reverse(route.metric())))
}

/// A route for people, similar to the output of iproute2.
pub(super) fn route_text(route: &Route) -> String {
    let destination = route.destination;
    match &route.next_hop {
        NextHop::WireGuard => format!("{destination} by WireGuard"),
        NextHop::Vxlan { via } => format!("{destination} via {via} by VXLAN"),
        NextHop::Direct { via, device } => format!("{destination} via {via} dev {device}"),
        NextHop::Unreachable => format!("unreachable {destination}"),
        NextHop::Throw => format!("throw {destination}"),
    }
}
