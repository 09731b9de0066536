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

/// `ExternalIP`, else a public address on an interface: `InternalIP` first, then the default route's interface, then a subnet before a
/// lone address, then what is advertised already.
fn public_address(surroundings: &Surroundings<'_>, family: Family) -> Option<IpAddr> {
    let own = surroundings.own;
    let external = own
        .external_ips
        .iter()
        .copied()
        .find(|address| Family::of(address) == family && is_public(address) && surroundings.is_usable(*address));
    let on_interface = || {
        surroundings
            .candidates(family)
            .filter(|(_, net)| is_public(&net.addr()))
            .min_by_key(|(interface, net)| {
                let endpoint = Endpoint::at(net.addr(), surroundings.settings.port);
                (
                    !own.internal_ips.contains(&net.addr()),
                    !interface.default_route.contains(&family),
                    net.prefix_len() == net.max_prefix_len(),
                    !surroundings.own.node.advertised_endpoints.contains(&endpoint),
                    *net,
                )
            })
            .map(|(_, net)| net.addr())
    };
    external.or_else(on_interface)
}
