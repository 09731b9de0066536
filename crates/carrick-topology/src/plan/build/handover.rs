//! The planner's part of a handover: what is moved, from whom and to whom. See [`crate::handover`].

mod carrier_change;
mod routes;

use std::collections::{BTreeMap, BTreeSet};

use super::destinations::Destinations;
use super::hops::{Hop, hops};
use super::mtu::Mtus;
use super::tunnels;
use crate::handover::{Decapsulation, HandoverPlan, HandoverReceiver, HandoverReport, HandoverSender};
use crate::model::{DeviceName, NodeName, PublicKey, mac_of_node};
use crate::plan::WireGuardPeer;
use crate::resolve::{Member, MemberIndex, Resolved};
use crate::{Liveness, constants};
use carrier_change::CarrierChange;
use routes::{EncapsulatedRoutes, UNDERLAY};

/// The handovers of the mesh, as one prober reports them.
#[derive(Debug)]
pub(in crate::plan) struct PlannedHandovers {
    /// `None` while no traffic moves.
    change: Option<CarrierChange>,
    /// Gateways that decapsulate what the planned node forwards to them.
    decapsulating: BTreeMap<MemberIndex, Decapsulation>,
    /// Gateways whose traffic has left because they drain.
    drained: BTreeSet<NodeName>,
}

impl PlannedHandovers {
    pub(in crate::plan) fn new(resolved: &Resolved<'_>, liveness: &Liveness) -> Self {
        let Liveness { down, drained, handover: HandoverReport { returning, draining, decapsulating }, .. } = liveness;
        let is_moving = !(returning.is_empty() && draining.is_empty());
        let before = || &(down | returning) - draining;
        let after = || &(down - returning) | draining;
        let change = is_moving.then(|| CarrierChange::between(resolved, before(), after()));
        let decapsulating = decapsulating.iter().filter_map(|(name, how)| Some((resolved.member(name)?.index, *how)));
        Self { change, decapsulating: decapsulating.collect(), drained: drained.clone() }
    }

    /// Whether the traffic of a gateway has left it because it drains.
    pub(super) fn has_drained(&self, gateway: &NodeName) -> bool {
        self.drained.contains(gateway)
    }

    /// What `me` encapsulates and decapsulates; `None` where that is nothing.
    pub(super) fn plan(
        &self,
        resolved: &Resolved<'_>,
        me: &Member<'_>,
        hops: &[Hop],
        destinations: &Destinations,
        mtus: &Mtus,
    ) -> Option<HandoverPlan> {
        me.mesh_address(UNDERLAY)?;
        let senders = self.senders(resolved, me, hops);
        let receivers: BTreeMap<NodeName, HandoverReceiver> =
            self.decapsulating.keys().filter_map(|index| receiver(resolved.at(*index))).collect();
        if senders.is_empty() && receivers.is_empty() {
            return None;
        }
        let EncapsulatedRoutes { routes, exceptions } =
            EncapsulatedRoutes::new(resolved, &self.decapsulating, destinations, mtus);
        Some(HandoverPlan {
            device: DeviceName::handover(),
            identifier: constants::HANDOVER_IDENTIFIER,
            port: constants::HANDOVER_PORT,
            mac: mac_of_node(&me.node.name),
            mtu: mtus.wireguard_device(),
            receivers,
            senders,
            routes,
            exceptions,
        })
    }

    /// The tunnels that `me` keeps although the change takes its traffic away: far gateways still send through them.
    pub(super) fn kept_tunnels(
        &self,
        resolved: &Resolved<'_>,
        me: &Member<'_>,
    ) -> Option<BTreeMap<PublicKey, WireGuardPeer>> {
        let change = self.change.as_ref().filter(|change| change.carries_itself_before(me.index))?;
        if me.carrier == Some(me.index) {
            return None;
        }
        let before = Resolved::new(resolved.cluster, resolved.settings, &change.liveness_before);
        let me = before.member(&me.node.name)?;
        // The plan that holds now has warned already.
        let mut repeated = BTreeSet::new();
        let hops = hops(&before, me, &mut repeated);
        Some(tunnels::build(&before, me, &hops, &mut repeated))
    }

    /// The new carriers of what `me` still accepts from the old ones, with all that they may send.
    fn senders(&self, resolved: &Resolved<'_>, me: &Member<'_>, hops: &[Hop]) -> BTreeMap<NodeName, HandoverSender> {
        let Some(change) = self.change.as_ref().filter(|_| me.carrier == Some(me.index)) else {
            return BTreeMap::new();
        };
        // Behind a relay the tunnel changes at both ends at once: encapsulation by one of them does not help.
        let is_direct = |carrier: &MemberIndex| {
            resolved.at(*carrier).location != me.location
                && match hops.get(carrier.0) {
                    Some(Hop::Tunnel(to)) => to == carrier,
                    Some(Hop::Bypass(_)) => true,
                    Some(Hop::Inside(_) | Hop::Nowhere) | None => false,
                }
        };
        let new_carriers = change.new_carriers().into_iter().filter(is_direct);
        new_carriers.filter_map(|carrier| sender(resolved, change, carrier)).collect()
    }
}

fn sender(resolved: &Resolved<'_>, change: &CarrierChange, carrier: MemberIndex) -> Option<(NodeName, HandoverSender)> {
    let address = resolved.at(carrier).mesh_address(UNDERLAY)?;
    let members = resolved.members.iter().filter(|member| change.carries(carrier, member.index));
    let outside = resolved.outside.iter().enumerate().filter(|(position, _)| change.serves(carrier, *position));
    let sources = members
        .flat_map(tunnels::networks_for_other_locations)
        .chain(outside.flat_map(|(_, outside)| outside.allowed_ips.iter().copied()));
    Some((resolved.at(carrier).node.name.clone(), HandoverSender { address, sources: sources.collect() }))
}

fn receiver(member: &Member<'_>) -> Option<(NodeName, HandoverReceiver)> {
    let receiver = HandoverReceiver {
        mac: mac_of_node(&member.node.name),
        address: member.mesh_address(UNDERLAY)?,
        next_hops: member.mesh_addresses.iter().copied().collect(),
    };
    Some((member.node.name.clone(), receiver))
}
