//! From a resolved cluster to one node's plan.

mod destinations;
mod firewall;
mod handover;
mod inside;
mod mtu;
mod probes;
mod routes;
mod tunnels;

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::contract;
use crate::model::{Family, Granularity, MacAddress};
use crate::plan::{LocationSummary, NodePlan, Role, VxlanPlan, Warning, WarningReason};
use crate::resolve::{Member, MemberIndex, Path, Resolved};
use destinations::Destinations;

/// How node `me` sends towards another member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Through the tunnel to this gateway.
    Tunnel(MemberIndex),
    /// Through this node of the own location.
    Inside(MemberIndex),
    /// Not at all.
    Nowhere,
}

/// Builds the plan of member `me`.
pub(super) fn build(resolved: &Resolved<'_>, me: &Member<'_>) -> NodePlan {
    let mut warnings = resolved.warnings.clone();
    warn_of_other_settings(resolved, me, &mut warnings);
    let ways = ways(resolved, me, &mut warnings);
    let destinations = Destinations::new(resolved, me, &ways, &mut warnings);
    let tunnels = tunnels::build(resolved, me, &ways, &mut warnings);
    let mtus = mtu::Mtus::new(resolved, me, &tunnels);
    let tunnels = handover::tunnels_of_before(resolved, me).unwrap_or(tunnels);
    let routes = routes::build(resolved, me, &destinations, &mtus, &mut warnings);
    let handover = handover::build(resolved, me, &ways, &destinations, &mtus);
    NodePlan {
        node: me.node.name.clone(),
        location: summary(resolved, me),
        mesh_addresses: me.mesh_addresses.iter().copied().collect(),
        pod_cidrs: me.pod_cidrs.iter().copied().collect(),
        pod_mtu: mtus.pods,
        wireguard: tunnels::plan(resolved.settings, tunnels, mtus.wireguard_device()),
        vxlan: vxlan(resolved, me, mtus.vxlan_device()),
        firewall: firewall::build(resolved, me, &destinations, &routes, handover.as_ref(), &mtus),
        handover,
        rules: BTreeSet::from(Family::BOTH),
        probes: probes::build(resolved, me, &ways, &mtus),
        routes,
        warnings,
    }
}

/// How `me` sends towards each member, in the members' order.
fn ways(resolved: &Resolved<'_>, me: &Member<'_>, warnings: &mut BTreeSet<Warning>) -> Vec<Way> {
    let mut path_to = PathCache::new(resolved, me);
    resolved.members.iter().map(|other| way(resolved, me, other, &mut path_to, warnings)).collect()
}

fn way(
    resolved: &Resolved<'_>,
    me: &Member<'_>,
    other: &Member<'_>,
    path_to: &mut PathCache<'_>,
    warnings: &mut BTreeSet<Warning>,
) -> Way {
    if other.index == me.index {
        return Way::Nowhere;
    }
    if other.location == me.location {
        return match resolved.settings.granularity {
            Granularity::Full => Way::Tunnel(other.index),
            Granularity::Location | Granularity::Cross => Way::Inside(other.index),
        };
    }
    let (Some(gateway), Some(carrier)) = (me.carrier, other.carrier) else {
        return Way::Nowhere;
    };
    if gateway != me.index {
        return Way::Inside(gateway);
    }
    match path_to.path(carrier) {
        Path::Direct => Way::Tunnel(carrier),
        Path::Relay(relay) => Way::Tunnel(relay),
        Path::None => {
            let far = resolved.at(carrier).node.name.clone();
            warnings.insert(Warning::new(me.object(), "endpoint", "none", WarningReason::NoPath(far)));
            Way::Nowhere
        }
    }
}

/// The paths from `me`, each looked for once.
struct PathCache<'r> {
    resolved: &'r Resolved<'r>,
    me: MemberIndex,
    known: Vec<Option<Path>>,
}

impl<'r> PathCache<'r> {
    fn new(resolved: &'r Resolved<'_>, me: &Member<'_>) -> Self {
        Self { resolved, me: me.index, known: vec![None; resolved.members.len()] }
    }

    fn path(&mut self, to: MemberIndex) -> Path {
        *self.known[to.0].get_or_insert_with(|| self.resolved.path(self.me, to))
    }
}

fn warn_of_other_settings(resolved: &Resolved<'_>, me: &Member<'_>, warnings: &mut BTreeSet<Warning>) {
    let Some(own) = &me.node.agent else { return };
    for other in &resolved.members {
        if let Some(agent) = other.node.agent.as_ref().filter(|agent| agent.settings != own.settings) {
            let reason = WarningReason::SettingsDiffer(me.node.name.clone());
            warnings.insert(Warning::new(other.object(), "agent", &agent.settings, reason));
        }
    }
}

fn summary(resolved: &Resolved<'_>, me: &Member<'_>) -> LocationSummary {
    let location = resolved.location_of(me);
    let name_of = |index: MemberIndex| resolved.at(index).node.name.clone();
    let role = if resolved.settings.granularity != Granularity::Location || location.is_active(me.index) {
        Role::Active
    } else if location.is_gateway(me.index) {
        Role::Standby
    } else {
        Role::Inner
    };
    LocationSummary {
        name: location.name.clone(),
        alone: location.alone,
        role,
        gateway: me.carrier.map(name_of),
        active: location.active.iter().map(|gateway| name_of(gateway.holder)).collect(),
        standby: location.standby.iter().copied().map(name_of).collect(),
        down: location.down.iter().copied().map(name_of).collect(),
    }
}

fn vxlan(resolved: &Resolved<'_>, me: &Member<'_>, mtu: u32) -> VxlanPlan {
    let underlay = resolved.location_of(me).underlay;
    let is_held = |address: &IpAddr| resolved.settings.local.internal_devices.contains_key(address);
    VxlanPlan {
        device: contract::vxlan_device(),
        identifier: contract::VXLAN_IDENTIFIER,
        port: contract::VXLAN_PORT,
        underlay,
        local: me.internal_address(underlay).filter(is_held),
        mac: MacAddress::of_node(&me.node.name),
        mtu,
        neighbours: inside::neighbours(resolved, me),
    }
}
