//! Between which networks a node only forwards.
//!
//! A node that forwards packets of other nodes needs no connection tracking for them, and without it no pod of another node can fill the
//! node's connection tracking table. Both directions of a connection must be tracked, or neither: so one set holds for sources and
//! destinations, and it contains nothing for which a rule of this node translates addresses.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use super::destinations::Destinations;
use crate::model::host_net;
use crate::resolve::{Member, Resolved, order};

/// Pod CIDRs, mesh addresses and internal addresses of other nodes that the mesh carries. Internal addresses of the own location are none: packets out
/// of tunnels to them get the address of this node. A network that overlaps one of these, a network of the host or an
/// allowed-location CIDR of this node is no part of the result at all.
pub(super) fn transit(
    resolved: &Resolved<'_>,
    me: &Member<'_>,
    neighbours: &BTreeSet<IpAddr>,
    destinations: &Destinations,
) -> BTreeSet<IpNet> {
    let own = me.internal_addresses.iter().map(IpNet::addr).chain(me.mesh_addresses.iter().copied());
    let tracked: Vec<IpNet> = neighbours
        .iter()
        .copied()
        .chain(own)
        .map(host_net)
        .chain(me.pod_cidrs.iter().copied())
        .chain(me.exit_cidrs.iter().copied())
        .chain(destinations.direct.iter().copied())
        .collect();
    // All three lists are in the same order, so that each is read once, beside the others.
    let of_others = resolved.networks.iter().filter(|network| network.member != me.index).map(|network| network.net);
    let mut destinations = destinations.carried.iter().map(|destination| destination.net).peekable();
    let carried = of_others.filter(|net| {
        while destinations.next_if(|other| order(other) < order(net)).is_some() {}
        destinations.peek() == Some(net)
    });
    // Disjoint.
    let tracked = IpNet::aggregate(&tracked);
    let mut tracked = tracked.as_slice();
    carried.filter(|net| !overlaps(&mut tracked, net)).collect()
}

/// Whether a network overlaps one of the disjoint ones. Removes those that are before it.
fn overlaps(disjoint: &mut &[IpNet], net: &IpNet) -> bool {
    while let [first, later @ ..] = *disjoint
        && first.broadcast() < net.network()
    {
        *disjoint = later;
    }
    disjoint.first().is_some_and(|other| other.network() <= net.broadcast())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_overlap_if_they_share_an_address() {
        let nets = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpNet>>();
        let tracked =
            IpNet::aggregate(&nets(&["10.2.0.7/32", "10.2.0.6/32", "10.4.0.0/16", "fd04::/64", "10.4.3.0/24"]));
        for overlapping in
            nets(&["10.2.0.0/24", "10.2.0.7/32", "10.4.9.0/24", "10.0.0.0/8", "fd04::1/128", "fd04::/48"])
        {
            assert!(overlaps(&mut tracked.as_slice(), &overlapping), "{overlapping}");
        }
        for apart in nets(&[
            "10.1.0.0/24",
            "10.2.0.8/32",
            "10.3.0.0/16",
            "10.5.0.0/16",
            "fd04:0:0:1::/64",
            "fd03::/64",
            "::/128",
        ]) {
            assert!(!overlaps(&mut tracked.as_slice(), &apart), "{apart}");
        }
    }
}
