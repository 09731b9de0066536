//! The networks of all members, in order.

use ipnet::IpNet;

use super::index::MemberIndex;
use super::member::{ClusterClaims, Member, RangeOwner};
use crate::model::{Family, host_net, number_of};

/// A network of a member. Each one has one member alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MemberNetwork {
    pub(crate) net: IpNet,
    pub(crate) member: MemberIndex,
    pub(crate) kind: NetworkKind,
}

/// What a network of a member holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NetworkKind {
    Pods,
    MeshAddress,
    InternalAddress,
}

/// The pod CIDRs, mesh addresses and internal addresses of all members, sorted. Sets of networks that are built in this order need no sort.
pub(super) fn sorted(members: &[Member<'_>], claims: &ClusterClaims<'_>) -> Vec<MemberNetwork> {
    let pods = claims.ranges.owners().filter_map(|owner| match owner {
        RangeOwner::Pods(owner, net) => Some(MemberNetwork { net: *net, member: owner.index, kind: NetworkKind::Pods }),
        RangeOwner::Mesh(_) | RangeOwner::Service(_) => None,
    });
    let addresses = claims.addresses.all().map(|(address, owner)| {
        let is_mesh_address = members[owner.index.0].mesh_addresses.contains(&address);
        let kind = if is_mesh_address { NetworkKind::MeshAddress } else { NetworkKind::InternalAddress };
        MemberNetwork { net: host_net(address), member: owner.index, kind }
    });
    let mut networks = Vec::with_capacity(members.len() * 6);
    networks.extend(pods.chain(addresses));
    // The stable sort merges the two sorted runs.
    networks.sort_by_key(|network| order(&network.net));
    networks
}

/// A key that sorts networks as their type does, in numbers.
pub(crate) fn order(net: &IpNet) -> (Family, u128, u8) {
    (Family::of_net(net), number_of(net.addr()), net.prefix_len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Liveness;
    use crate::model::{Cluster, InternalAddresses, Node, PublicKey, Settings};
    use crate::resolve::Resolved;

    #[test]
    fn the_networks_of_all_members_are_sorted() {
        let mut cluster = Cluster::default();
        for (number, name) in [(9, "a"), (1, "b"), (5, "c")] {
            let mut node = Node::new(name.parse().unwrap(), 0);
            node.public_key = Some(PublicKey::from_bytes([number; 32]));
            node.pod_cidrs = [format!("10.42.{number}.0/24"), format!("fd42:{number}::/64")].map(parse).into();
            node.mesh_addresses = [format!("10.4.0.{number}").parse().unwrap()].into();
            let internal = [format!("192.168.1.{number}/24"), format!("fc00::{number}/64")].map(parse);
            node.internal_addresses = InternalAddresses::Advertised(internal.into());
            cluster.insert_node(node);
        }
        let (settings, liveness) = (Settings::default(), Liveness::default());
        let networks = Resolved::new(&cluster, &settings, &liveness).networks;
        assert_eq!(networks.len(), 15);
        assert!(networks.is_sorted_by_key(|network| network.net), "{networks:#?}");
    }

    fn parse(text: String) -> IpNet {
        text.parse().unwrap()
    }

    #[test]
    fn the_sort_key_orders_networks_as_their_type_does() {
        let nets = [
            "0.0.0.0/0",
            "9.255.0.0/16",
            "10.0.0.0/8",
            "10.0.0.0/24",
            "10.0.0.1/32",
            "255.0.0.0/8",
            "::/0",
            "fd00::/8",
            "fd00::/64",
        ];
        let nets = nets.map(|net| net.parse::<IpNet>().unwrap());
        assert!(nets.is_sorted());
        assert!(nets.is_sorted_by_key(order));
    }
}
