//! Which forwarded packets go encapsulated.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use crate::handover::{Decapsulation, HandoverRoute};
use crate::model::Family;
use crate::plan::NextHop;
use crate::plan::build::destinations::{Destination, Destinations};
use crate::plan::build::hops::Hop;
use crate::plan::build::mtu::Mtus;
use crate::resolve::{MemberIndex, Resolved};

/// The family of outer packets. Routers do not fragment IPv6 packets (RFC 8200 §5).
pub(super) const UNDERLAY: Family = Family::V4;

/// The routes for forwarded packets out of the handover device.
#[derive(Debug, Default)]
pub(super) struct EncapsulatedRoutes {
    /// Every destination behind the tunnel to a gateway that proved to decapsulate.
    pub(super) routes: Vec<HandoverRoute>,
    /// Networks inside these destinations that do not go encapsulated.
    pub(super) exceptions: BTreeSet<IpNet>,
}

impl EncapsulatedRoutes {
    pub(super) fn new(
        resolved: &Resolved<'_>,
        decapsulating: &BTreeMap<MemberIndex, Decapsulation>,
        destinations: &Destinations,
        mtus: &Mtus,
    ) -> Self {
        let mut encapsulated = Self::default();
        if decapsulating.is_empty() {
            return encapsulated;
        }
        let all = &destinations.carried;
        let route_to = |destination| route(resolved, decapsulating, destination, mtus);
        for (position, destination) in all.iter().enumerate() {
            let Some(route) = route_to(destination) else { continue };
            // Networks inside a network follow it in the order.
            let inside = all[position + 1..].iter().take_while(|other| destination.net.contains(&other.net));
            let elsewhere = inside.filter(|other| route_to(other).is_none()).map(|other| other.net);
            let direct = destinations.direct.iter().filter(|net| destination.net.contains(*net)).copied();
            encapsulated.exceptions.extend(elsewhere.chain(direct));
            encapsulated.routes.push(route);
        }
        encapsulated
    }
}

fn route(
    resolved: &Resolved<'_>,
    decapsulating: &BTreeMap<MemberIndex, Decapsulation>,
    destination: &Destination,
    mtus: &Mtus,
) -> Option<HandoverRoute> {
    let Hop::Tunnel(to) = destination.hop else { return None };
    let receiver = (decapsulating.get(&to) == Some(&Decapsulation::Proven)).then(|| resolved.at(to))?;
    receiver.mesh_address(UNDERLAY)?;
    let family = Family::of_net(&destination.net);
    let mtu = mtus.of_route(&NextHop::WireGuard, destination, family).unwrap_or(mtus.wireguard_device());
    Some(HandoverRoute { destination: destination.net, via: receiver.mesh_address(family)?, mtu })
}
