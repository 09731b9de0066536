//! Which nodes are probed.
//!
//! In `location`, a gateway probes the gateways of other locations, and every node probes the gateways of its own location. In `cross` and
//! `full` every node is a gateway, and probes all others.

use std::collections::{BTreeMap, BTreeSet};

use super::destinations::Destinations;
use super::drains::duty;
use super::hops::Hop;
use super::mtu::Mtus;
use crate::Warning;
use crate::model::{Family, NodeName, host_net};
use crate::plan::{Egress, PathKind, ProbeFormat, ProbeMember, ProbePlan, ProbeTarget};
use crate::resolve::{Member, Resolved};

pub(super) fn build(
    resolved: &Resolved<'_>,
    me: &Member<'_>,
    hops: &[Hop],
    destinations: &Destinations,
    mtus: &Mtus,
    warnings: &mut BTreeSet<Warning>,
) -> ProbePlan {
    let others = resolved.members.iter().zip(hops);
    let gateways = others.filter(|(other, _)| other.carrier == Some(other.index));
    let target = |other: &Member<'_>, hop: Hop| match hop {
        Hop::Tunnel(_) | Hop::Bypass(_) => through_tunnel(resolved, me, other, destinations, mtus),
        Hop::Inside(via) if via == other.index => inside(resolved, me, other),
        Hop::Inside(_) | Hop::Nowhere => None,
    };
    let targets = gateways.filter_map(|(other, hop)| Some((other.node.name.clone(), target(other, *hop)?)));
    let targets = targets.collect();
    ProbePlan {
        duty: duty(resolved, me, &targets, warnings),
        targets,
        location_size: resolved.location_of(me).members.len(),
        members: members(resolved, me),
    }
}

fn members(resolved: &Resolved<'_>, me: &Member<'_>) -> BTreeMap<NodeName, ProbeMember> {
    let others = resolved.members.iter().filter(|other| other.index != me.index);
    let member = |other: &Member<'_>| ProbeMember {
        public_key: other.key,
        format: ProbeFormat::of(other.node.agent.as_ref()),
        mesh_addresses: Family::BOTH.into_iter().filter_map(|family| other.mesh_address(family)).collect(),
    };
    others.map(|other| (other.node.name.clone(), member(other))).collect()
}

/// Where the host has a network that contains the mesh address, probes would leave beside the tunnel. Over IPv4, a packet can name its device
/// without a route (ip(7), `IP_PKTINFO`). Over IPv6 it cannot.
fn through_tunnel(
    resolved: &Resolved<'_>,
    me: &Member<'_>,
    other: &Member<'_>,
    destinations: &Destinations,
    mtus: &Mtus,
) -> Option<ProbeTarget> {
    let addresses = |family| {
        let (from, to) = (me.mesh_address(family)?, other.mesh_address(family)?);
        match (destinations.carries(&host_net(to)), family) {
            (true, _) => Some((from, to, Egress::Route)),
            (false, Family::V4) => Some((from, to, Egress::Tunnel)),
            (false, Family::V6) => None,
        }
    };
    let (from, to, egress) = Family::BOTH.into_iter().find_map(addresses)?;
    let location = resolved.location_of(other).name.clone();
    Some(ProbeTarget { location, kind: PathKind::Tunnel, from, to, egress, device_mtu: mtus.wireguard_device() })
}

fn inside(resolved: &Resolved<'_>, me: &Member<'_>, other: &Member<'_>) -> Option<ProbeTarget> {
    let location = resolved.location_of(other);
    let family = location.underlay;
    let (from, to) = (me.internal_address(family)?, other.internal_address(family)?);
    let device_mtu = resolved.settings.local.internal_mtu(family);
    let egress = Egress::Route;
    Some(ProbeTarget { location: location.name.clone(), kind: PathKind::Inside, from, to, egress, device_mtu })
}
