//! Which internal address a node has in each family.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::discovery::surroundings::{Interface, Surroundings};
use crate::model::{Family, InternalAddresses, is_public};

/// The addresses that the agent advertises, at most one for each family.
pub(super) fn internal_addresses(surroundings: &Surroundings<'_>) -> BTreeSet<IpNet> {
    let carried: Vec<IpNet> = surroundings
        .own
        .internal_ips
        .iter()
        .filter(|address| surroundings.is_usable(**address))
        .filter_map(|address| surroundings.with_length(*address))
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
        return best(surroundings, candidates.filter(|(_, net)| is_wanted(&net.addr())));
    }
    if !carried.is_empty() {
        return None;
    }
    best(surroundings, candidates.filter(|(interface, _)| interface.default_route.contains(&family)))
}

/// A private address before a public one, the default route's interface before others, a subnet before a lone address (a virtual one
/// that moves between hosts), what is advertised already before what is new.
fn best<'a>(
    surroundings: &Surroundings<'_>,
    candidates: impl Iterator<Item = (&'a Interface, IpNet)>,
) -> Option<IpNet> {
    let advertised = match &surroundings.own.node.internal_addresses {
        InternalAddresses::Advertised(addresses) => Some(addresses),
        InternalAddresses::Forced(_) | InternalAddresses::None => None,
    };
    candidates
        .min_by_key(|(interface, net)| {
            (
                is_public(&net.addr()),
                interface.default_route.is_empty(),
                net.prefix_len() == net.max_prefix_len(),
                !advertised.is_some_and(|addresses| addresses.contains(net)),
                *net,
            )
        })
        .map(|(_, net)| net)
}
