//! At which endpoints other locations can dial a node.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::discovery::surroundings::Surroundings;
use crate::model::{Endpoint, Family, is_public};

/// The endpoints that the agent advertises, at most one for each family. `internal` are the node's internal addresses.
pub(super) fn endpoints(surroundings: &Surroundings<'_>, internal: &BTreeSet<IpNet>) -> BTreeSet<Endpoint> {
    if surroundings.own.node.endpoint.is_some() {
        return BTreeSet::new();
    }
    let dials_in = surroundings.own.node.keepalive().is_some();
    Family::BOTH
        .iter()
        .filter_map(|family| {
            let address = public_address(surroundings, *family);
            let fallback = || internal.iter().map(IpNet::addr).find(|address| Family::of(address) == *family);
            address.or_else(|| if dials_in { None } else { fallback() })
        })
        .map(|address| Endpoint::at(address, surroundings.settings.port))
        .collect()
}

/// `ExternalIP`, else a public address on an interface: `InternalIP` first, then in the order of candidates.
fn public_address(surroundings: &Surroundings<'_>, family: Family) -> Option<IpAddr> {
    let own = surroundings.own;
    let external = own.external_ips.iter().copied().find(|address| {
        Family::of(address) == family
            && is_public(address)
            && surroundings.is_usable(*address)
            && !surroundings.ends(*address)
    });
    let on_interface = || {
        surroundings
            .candidates(family)
            .filter(|candidate| is_public(&candidate.net().addr()))
            .min_by_key(|candidate| {
                let address = candidate.net().addr();
                let endpoint = Endpoint::at(address, surroundings.settings.port);
                let is_advertised = own.node.advertised_endpoints.contains(&endpoint);
                (!own.internal_ips.contains(&address), candidate.order(is_advertised))
            })
            .map(|candidate| candidate.net().addr())
    };
    external.or_else(on_interface)
}
