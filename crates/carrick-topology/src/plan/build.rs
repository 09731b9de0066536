//! From a resolved cluster to one node's plan.

mod cluster_networks;
mod destinations;
mod drains;
mod exceptions;
mod firewall;
mod former_networks;
mod handover;
mod hops;
mod host_networks;
mod host_sources;
mod inside;
mod into_location;
mod mtu;
mod preceding_rules;
mod probes;
mod routes;
mod transit;
mod tunnels;

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::constants;
use crate::model::{DeviceName, Family, Granularity, mac_of_node};
use crate::plan::{LocationSummary, NodePlan, Role, VxlanPlan};
use crate::resolve::{Member, MemberIndex, Resolved, warn_of_own};
use crate::{Warning, WarningReason};
use destinations::Destinations;
use firewall::Carried;
pub(super) use handover::PlannedHandovers;
use hops::hops;
use host_sources::HostSources;
use into_location::IntoLocation;

/// Builds the plan of member `me`.
pub(super) fn build(resolved: &Resolved<'_>, handovers: &PlannedHandovers, me: &Member<'_>) -> NodePlan {
    let mut warnings = resolved.warnings.clone();
    warn_of_other_settings(resolved, me, &mut warnings);
    warn_of_overridden_flags(resolved, me, &mut warnings);
    warn_of_missing_families(resolved, me, &mut warnings);
    warn_of_unknown_variables(resolved, me, &mut warnings);
    let missing = &resolved.settings.local.missing_families;
    inside::warn_of_stray_neighbours(resolved, me, &mut warnings);
    let is_dialled = |other: &&Member<'_>| other.location != me.location && other.carrier == Some(other.index);
    if me.carrier == Some(me.index) {
        warn_of_own(me, resolved.members.iter().filter(is_dialled), &mut warnings);
    }
    let hops = hops(resolved, me, &mut warnings);
    let destinations = Destinations::new(resolved, me, &hops, &mut warnings);
    let tunnels = tunnels::build(resolved, me, &hops, &mut warnings);
    let mtus = mtu::Mtus::new(resolved, me, &tunnels);
    let tunnels = handovers.kept_tunnels(resolved, me).unwrap_or(tunnels);
    let sources = HostSources::new(resolved, me, &destinations, &mut warnings);
    let routes = routes::build(resolved, me, &destinations, &sources, &mtus, &mut warnings);
    preceding_rules::warn(resolved, me, &routes, &mut warnings);
    let into_location = IntoLocation::new(resolved, me, &destinations, &mtus);
    let probes = probes::build(resolved, me, &hops, &destinations, &mtus, &mut warnings);
    let handover = handovers.plan(resolved, me, &hops, &destinations, &mtus);
    NodePlan {
        node: me.node.name.clone(),
        location: summary(resolved, handovers, me),
        mesh_addresses: me.mesh_addresses.iter().copied().collect(),
        pod_cidrs: me.pod_cidrs.iter().copied().collect(),
        pod_mtu: mtus.pods,
        wireguard: tunnels::plan(resolved.settings, tunnels, mtus.wireguard_device()),
        vxlan: vxlan(resolved, me, mtus.vxlan_device()),
        firewall: firewall::build(
            resolved,
            me,
            &Carried {
                destinations: &destinations,
                sources: &sources,
                into_location: &into_location,
                routes: &routes,
                handover: handover.as_ref(),
                mtus: &mtus,
            },
        ),
        handover,
        rules: Family::BOTH.into_iter().filter(|family| !missing.contains(family)).collect(),
        probes,
        routes,
        location_routes: into_location.routes,
        outside_mesh: destinations.outside_mesh,
        warnings,
    }
}

fn warn_of_overridden_flags(resolved: &Resolved<'_>, me: &Member<'_>, warnings: &mut BTreeSet<Warning>) {
    if let Some(mesh) = &resolved.cluster.mesh {
        warnings.extend(resolved.settings.flags.overridden_by(&mesh.shared, &me.node.name));
    }
}

/// The mesh has no addresses of a family that the kernel does not have.
fn warn_of_missing_families(resolved: &Resolved<'_>, me: &Member<'_>, warnings: &mut BTreeSet<Warning>) {
    let missing = &resolved.settings.local.missing_families;
    for cidr in resolved.settings.mesh_cidrs.iter().filter(|cidr| missing.contains(&Family::of_net(cidr))) {
        let reason = WarningReason::FamilyMissing(Family::of_net(cidr).to_string());
        warnings.insert(Warning::new(me.object(), "mesh-cidr", cidr, reason));
    }
}

fn warn_of_unknown_variables(resolved: &Resolved<'_>, me: &Member<'_>, warnings: &mut BTreeSet<Warning>) {
    for (variable, nearest) in &resolved.settings.local.unknown_variables {
        let reason = WarningReason::UnknownVariable(nearest.clone());
        warnings.insert(Warning::new(me.object(), "environment", variable, reason));
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

fn summary(resolved: &Resolved<'_>, handovers: &PlannedHandovers, me: &Member<'_>) -> LocationSummary {
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
        down: location.down.iter().copied().map(name_of).filter(|name| !handovers.has_drained(name)).collect(),
        drained: location.down.iter().copied().map(name_of).filter(|name| handovers.has_drained(name)).collect(),
    }
}

fn vxlan(resolved: &Resolved<'_>, me: &Member<'_>, mtu: u32) -> VxlanPlan {
    let underlay = resolved.location_of(me).underlay;
    let is_held = |address: &IpAddr| resolved.settings.local.internal_devices.contains_key(address);
    VxlanPlan {
        device: DeviceName::vxlan(),
        identifier: constants::VXLAN_IDENTIFIER,
        port: constants::VXLAN_PORT,
        underlay,
        local: me.internal_address(underlay).filter(is_held),
        mac: mac_of_node(&me.node.name),
        mtu,
        neighbours: inside::neighbours(resolved, me),
    }
}
