//! Which nodes are probed.
//!
//! In `location`, a gateway probes the gateways of other locations, and every node probes the gateways of its own location. In `cross` and
//! `full` every node is a gateway, and probes all others.

use super::hops::Hop;
use super::mtu::Mtus;
use crate::model::Family;
use crate::plan::{PathKind, ProbePlan, ProbeTarget};
use crate::resolve::{Member, Resolved};

pub(super) fn build(resolved: &Resolved<'_>, me: &Member<'_>, hops: &[Hop], mtus: &Mtus) -> ProbePlan {
    let others = resolved.members.iter().zip(hops);
    let gateways = others.filter(|(other, _)| other.carrier == Some(other.index));
    let targets =
        gateways.filter_map(|(other, hop)| Some((other.node.name.clone(), target(resolved, me, other, *hop, mtus)?)));
    ProbePlan { targets: targets.collect(), location_size: resolved.location_of(me).members.len() }
}

fn target(resolved: &Resolved<'_>, me: &Member<'_>, other: &Member<'_>, hop: Hop, mtus: &Mtus) -> Option<ProbeTarget> {
    let location = resolved.location_of(other);
    let (kind, (from, to), device_mtu) = match hop {
        Hop::Tunnel(_) => {
            let addresses = |family| Some((me.mesh_address(family)?, other.mesh_address(family)?));
            (PathKind::Tunnel, Family::BOTH.into_iter().find_map(addresses)?, mtus.wireguard_device())
        }
        Hop::Inside(via) if via == other.index => {
            let family = location.underlay;
            let addresses = (me.internal_address(family)?, other.internal_address(family)?);
            (PathKind::Inside, addresses, resolved.settings.local.uplink_mtu)
        }
        Hop::Inside(_) | Hop::Nowhere => return None,
    };
    Some(ProbeTarget { location: location.name.clone(), kind, from, to, device_mtu })
}
