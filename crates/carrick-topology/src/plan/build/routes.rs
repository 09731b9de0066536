//! Routes in Carrick's table.

use std::collections::BTreeSet;
use std::iter;
use std::net::IpAddr;

use ipnet::IpNet;

use super::destinations::{Destination, Destinations};
use super::hops::{Hop, Through};
use super::host_sources::HostSources;
use super::inside;
use super::mtu::Mtus;
use crate::model::Family;
use crate::plan::{NextHop, Route};
use crate::resolve::{Member, MemberIndex, Resolved};
use crate::{Warning, WarningReason};

/// One route for each destination, one `unreachable` route behind it, one `throw` route for each exception.
pub(super) fn build(
    resolved: &Resolved<'_>,
    me: &Member<'_>,
    destinations: &Destinations,
    sources: &HostSources,
    mtus: &Mtus,
    warnings: &mut BTreeSet<Warning>,
) -> Vec<Route> {
    let missing = &resolved.settings.local.missing_families;
    let mut others = routes_besides_carried(resolved, destinations).into_iter().peekable();
    let mut hops = HopCache::new(resolved, me);
    let mut routes = Vec::with_capacity(destinations.carried.len() * 2 + others.len());
    // Merges what is sorted: a sort of all routes costs more.
    for destination in &destinations.carried {
        let family = Family::of_net(&destination.net);
        if missing.contains(&family) {
            continue;
        }
        routes.extend(iter::from_fn(|| others.next_if(|other| other.destination < destination.net)));
        match hops.next_hop(destination, family) {
            Ok(Some(next_hop)) => {
                let mtu = mtus.of_route(&next_hop, destination, family);
                let source = sources.towards(&destination.net).or_else(|| me.mesh_address(family));
                routes.push(Route { destination: destination.net, next_hop, source, mtu });
            }
            Ok(None) => {}
            Err((through, reason)) => {
                warnings.insert(Warning::new(through.object(), "route", family, reason));
            }
        }
        if !covered_by_mesh_cidr(resolved, &destination.net) {
            routes.push(without_source(destination.net, NextHop::Unreachable));
        }
    }
    routes.extend(others);
    routes
}

/// The routes for networks that the mesh does not carry, sorted.
fn routes_besides_carried(resolved: &Resolved<'_>, destinations: &Destinations) -> Vec<Route> {
    let mesh_cidrs = resolved.settings.mesh_cidrs.iter().map(IpNet::trunc);
    let is_closed = |net: &&IpNet| !destinations.carries(net) && !covered_by_mesh_cidr(resolved, net);
    let unreachable = mesh_cidrs.chain(destinations.closed.iter().filter(is_closed).copied());
    let unreachable = unreachable.map(|net| without_source(net, NextHop::Unreachable));
    let mut routes: Vec<Route> = unreachable
        .chain(destinations.direct.iter().map(|net| without_source(*net, NextHop::Throw)))
        .filter(|route| !resolved.settings.local.missing_families.contains(&Family::of_net(&route.destination)))
        .collect();
    routes.sort();
    routes
}

/// One `unreachable` route for the whole mesh CIDR is behind the routes of all mesh addresses.
fn covered_by_mesh_cidr(resolved: &Resolved<'_>, net: &IpNet) -> bool {
    resolved.settings.mesh_cidrs.iter().any(|cidr| cidr.contains(net))
}

const fn without_source(destination: IpNet, next_hop: NextHop) -> Route {
    Route { destination, next_hop, source: None::<IpAddr>, mtu: None }
}

/// The last next hop inside the location that was looked up.
struct HopCache<'r> {
    resolved: &'r Resolved<'r>,
    me: &'r Member<'r>,
    last: Option<(MemberIndex, Family, Result<NextHop, WarningReason>)>,
}

impl<'r> HopCache<'r> {
    const fn new(resolved: &'r Resolved<'r>, me: &'r Member<'r>) -> Self {
        Self { resolved, me, last: None }
    }

    fn next_hop(
        &mut self,
        destination: &Destination,
        family: Family,
    ) -> Result<Option<NextHop>, (&'r Member<'r>, WarningReason)> {
        match destination.hop {
            Hop::Nowhere => Ok(None),
            Hop::Tunnel(_) | Hop::Bypass(Through::Tunnel(_)) => Ok(Some(NextHop::WireGuard)),
            Hop::Inside(index) | Hop::Bypass(Through::Inside(index)) => {
                let through = self.resolved.at(index);
                self.inside(through, family).map(Some).map_err(|reason| (through, reason))
            }
        }
    }

    fn inside(&mut self, through: &Member<'_>, family: Family) -> Result<NextHop, WarningReason> {
        match &self.last {
            Some((index, known, hop)) if *index == through.index && *known == family => hop.clone(),
            _ => {
                let hop = inside::next_hop(self.resolved, self.me, through, family);
                self.last = Some((through.index, family, hop.clone()));
                hop
            }
        }
    }
}
