//! How packets that come out of tunnels reach the other nodes of the location.
//!
//! Clouds drop packets with a source that they did not assign, so that a packet of a node of another location cannot keep its source on the
//! location's network. It can inside VXLAN, and on a network that takes packets of pods without encapsulation.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use super::destinations::{Destination, Destinations, Holds};
use super::hops::Hop;
use super::inside;
use super::mtu::Mtus;
use crate::model::{Family, Granularity, host_net};
use crate::plan::{NextHop, Route};
use crate::resolve::{Member, Resolved};

/// What a gateway does with packets out of tunnels for other nodes of its location.
#[derive(Debug, Default)]
pub(super) struct IntoLocation {
    /// To those that it reaches in VXLAN, sorted.
    pub(super) routes: Vec<Route>,
    /// Internal addresses of those that it reaches without encapsulation.
    pub(super) plain: BTreeSet<IpAddr>,
    /// Mesh addresses and internal addresses of nodes of other locations, to which the mesh carries the answers.
    pub(super) senders: BTreeSet<IpAddr>,
}

impl IntoLocation {
    pub(super) fn new(resolved: &Resolved<'_>, me: &Member<'_>, destinations: &Destinations, mtus: &Mtus) -> Self {
        let mut into = Self::default();
        if resolved.settings.granularity != Granularity::Location || me.carrier != Some(me.index) {
            return into;
        }
        let others = resolved.location_of(me).members.iter().map(|index| resolved.at(*index));
        for other in others.filter(|other| other.index != me.index) {
            for address in other.internal_addresses.iter().map(IpNet::addr) {
                into.add(resolved, me, other, address, mtus);
            }
        }
        into.routes.sort();
        let is_far_node = |destination: &&Destination| destination.is_remote && destination.holds != Holds::Others;
        into.senders =
            destinations.carried.iter().filter(is_far_node).map(|destination| destination.net.addr()).collect();
        into
    }

    fn add(&mut self, resolved: &Resolved<'_>, me: &Member<'_>, other: &Member<'_>, address: IpAddr, mtus: &Mtus) {
        let family = Family::of(&address);
        if resolved.settings.local.missing_families.contains(&family) {
            return;
        }
        match inside::next_hop(resolved, me, other, family) {
            Ok(next_hop @ NextHop::Vxlan { .. }) => {
                let net = host_net(address);
                let destination = Destination {
                    net,
                    hop: Hop::Inside(other.index),
                    is_remote: false,
                    holds: Holds::InternalAddress(other.index),
                };
                let mtu = mtus.of_route(&next_hop, &destination, family);
                self.routes.push(Route { destination: net, next_hop, source: None, mtu });
            }
            Ok(NextHop::Direct { .. }) => drop(self.plain.insert(address)),
            // Such packets get this node's address, and need no encapsulation.
            Ok(NextHop::WireGuard | NextHop::Unreachable | NextHop::Throw) | Err(_) => {}
        }
    }
}
