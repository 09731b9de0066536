//! What goes by a second gateway as well for the moment in which a gateway returns.
//!
//! WireGuard accepts a source from one peer only. When a gateway returns, the far gateways move the sources that it will carry from the
//! present carrier's peer to its own; until the senders have changed over too, what comes by the present carrier is lost. So the present
//! carrier sends a copy of it by the gateway that returns: of the two, the far end takes exactly one. The copy goes one hop further than
//! what it is made of, and comes behind it, so that nothing falls between.

use std::collections::BTreeMap;

use super::{inside, tunnels};
use crate::contract;
use crate::model::{DeviceName, Family, NodeName};
use crate::plan::{Copies, NextHop};
use crate::resolve::{Member, MemberIndex, Resolved};

/// What `me` copies, by the gateway that gets the copies.
pub(super) fn build(resolved: &Resolved<'_>, me: &Member<'_>) -> BTreeMap<NodeName, Copies> {
    let Some(handover) = &resolved.handover else { return BTreeMap::new() };
    let mut all: BTreeMap<NodeName, Copies> = BTreeMap::new();
    let mut copy = |successor: MemberIndex, sources: &mut dyn Iterator<Item = ipnet::IpNet>| {
        let to = resolved.at(successor);
        if to.location == me.location {
            let copies = all.entry(to.node.name.clone()).or_insert_with(|| copies_to(resolved, me, to));
            copies.sources.extend(sources);
        }
    };
    for member in &resolved.location_of(me).members {
        if let Some(successor) = handover.successor(me.index, *member) {
            copy(successor, &mut tunnels::networks_abroad(resolved.at(*member)));
        }
    }
    for (position, outside) in resolved.outside.iter().enumerate() {
        if let Some(successor) = handover.next_server(me.index, position) {
            copy(successor, &mut outside.allowed_ips.iter().copied());
        }
    }
    all.retain(|_, copies| !copies.by.is_empty() && !copies.sources.is_empty());
    all
}

/// Copies of nothing yet: the way to the gateway in each family in which there is one.
fn copies_to(resolved: &Resolved<'_>, me: &Member<'_>, to: &Member<'_>) -> Copies {
    let mut copies = Copies::default();
    for family in Family::BOTH {
        let device = inside::next_hop(resolved, me, to, family).ok().and_then(device);
        if let (Some(address), Some(device)) = (to.mesh_address(family), device) {
            copies.by.insert(address);
            copies.devices.insert(device);
        }
    }
    copies
}

fn device(next_hop: NextHop) -> Option<DeviceName> {
    match next_hop {
        NextHop::Vxlan { .. } => contract::VXLAN_DEVICE.parse().ok(),
        NextHop::Direct { device, .. } => Some(device),
        NextHop::WireGuard | NextHop::Unreachable | NextHop::Throw => None,
    }
}
