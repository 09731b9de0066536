//! Which internal address a node has in each family.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::discovery::surroundings::{Candidate, Surroundings};
use crate::model::{Family, InternalAddresses, is_public};

/// The addresses that the agent advertises, at most one for each family.
pub(super) fn internal_addresses(surroundings: &Surroundings<'_>) -> BTreeSet<IpNet> {
    let carried: Vec<IpNet> = surroundings
        .own
        .internal_ips
        .iter()
        .filter(|address| surroundings.is_usable(**address))
        .filter_map(|address| surroundings.lasting(*address))
        .collect();
    Family::BOTH.iter().filter_map(|family| in_family(surroundings, *family, &carried)).collect()
}

fn in_family(surroundings: &Surroundings<'_>, family: Family, carried: &[IpNet]) -> Option<IpNet> {
    let wanted: Vec<&IpNet> =
        surroundings.settings.internal_cidrs.iter().filter(|cidr| Family::of_net(cidr) == family).collect();
    let is_wanted = |address: &IpAddr| wanted.is_empty() || wanted.iter().any(|cidr| cidr.contains(address));
    let reported = carried.iter().find(|net| Family::of_net(net) == family && is_wanted(&net.addr()));
    if reported.is_some() {
        return reported.copied();
    }
    let candidates = surroundings.candidates(family);
    if !wanted.is_empty() {
        return best(surroundings, candidates.filter(|candidate| is_wanted(&candidate.net().addr())));
    }
    let is_reported = surroundings.own.internal_ips.iter().any(|address| Family::of(address) == family);
    if !carried.is_empty() && !is_reported {
        return None;
    }
    best(surroundings, candidates.filter(Candidate::is_of_default_route))
}

/// A private address before a public one, then the order of candidates.
fn best<'a>(surroundings: &Surroundings<'_>, candidates: impl Iterator<Item = Candidate<'a>>) -> Option<IpNet> {
    let advertised = match &surroundings.own.node.internal_addresses {
        InternalAddresses::Advertised(addresses) => Some(addresses),
        InternalAddresses::Forced(_) | InternalAddresses::None => None,
    };
    candidates
        .min_by_key(|candidate| {
            let net = candidate.net();
            let is_advertised = advertised.is_some_and(|addresses| addresses.contains(&net));
            (is_public(&net.addr()), candidate.order(is_advertised))
        })
        .map(|candidate| candidate.net())
}
