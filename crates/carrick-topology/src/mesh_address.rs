//! How a node chooses its mesh addresses, and which of two nodes has an address that both claim.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::hash::stable_hash;
use crate::model::{Cluster, CreationTime, Family, Node, NodeName, number_of};

/// The addresses that belong to a name, in each mesh CIDR. A node takes the first free one, so that this many other nodes would have to be in
/// its place before it takes another one.
const OWN_ADDRESSES: u128 = 16;

/// The mesh addresses that node `me` should publish: one in each mesh CIDR.
///
/// A published address stays as long as it is in a mesh CIDR and no other node's claim precedes it ([`precedence`]). Otherwise the node
/// starts at a position hashed from its name, and takes the first address that no other node claims. In a full CIDR there is none.
#[must_use]
pub fn choose_mesh_addresses(cluster: &Cluster, mesh_cidrs: &BTreeSet<IpNet>, me: &NodeName) -> BTreeSet<IpAddr> {
    mesh_cidrs.iter().filter_map(|cidr| choose_in(cluster, cidr, me)).collect()
}

fn choose_in(cluster: &Cluster, cidr: &IpNet, me: &NodeName) -> Option<IpAddr> {
    let own = cluster.nodes.get(me);
    let kept = own.and_then(|node| {
        node.mesh_addresses.iter().find(|address| {
            is_assignable(cidr, address)
                && !cluster.nodes.values().any(|other| {
                    other.mesh_addresses.contains(*address)
                        && precedence(cidr, **address, other) < precedence(cidr, **address, node)
                })
        })
    });
    if let Some(address) = kept {
        return Some(*address);
    }
    let taken: BTreeSet<IpAddr> = cluster
        .nodes
        .values()
        .filter(|node| node.name != *me)
        .flat_map(|node| node.mesh_addresses.iter().copied())
        .collect();
    first_free(cidr, me, &taken)
}

/// Which claim of an address in this mesh CIDR counts: the least one.
///
/// A node that claims one of the addresses that belong to its name precedes a node that does not. Otherwise the older node has it. So no
/// node takes another one's address by its age. An address that does not belong to its node's name, such as one from before a change of
/// the mesh CIDR, stays unless the address belongs to another node that claims it.
#[must_use]
fn precedence<'n>(cidr: &IpNet, address: IpAddr, node: &'n Node) -> (Belonging, CreationTime, &'n NodeName) {
    let (created, name) = node.age();
    (Belonging::of(cidr, address, name), created, name)
}

/// Whether an address belongs to the name of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Belonging {
    /// It is one of the first addresses that the node would try.
    Own,
    /// It is any other address.
    Foreign,
}

impl Belonging {
    pub(crate) fn of(cidr: &IpNet, address: IpAddr, name: &NodeName) -> Self {
        // The number of positions is a power of two, so that the bits below it are the remainder.
        let mask = positions(cidr) - 1;
        let position = number_of(address).wrapping_sub(number_of(cidr.network()));
        let steps = position.wrapping_sub(first_position(cidr, name)) & mask;
        if steps < OWN_ADDRESSES { Self::Own } else { Self::Foreign }
    }
}

/// The position in the CIDR at which a node begins to look for an address.
fn first_position(cidr: &IpNet, name: &NodeName) -> u128 {
    u128::from(stable_hash(&["mesh-address", name.as_str()])) & (positions(cidr) - 1)
}

fn first_free(cidr: &IpNet, me: &NodeName, taken: &BTreeSet<IpAddr>) -> Option<IpAddr> {
    let size = positions(cidr);
    let start = first_position(cidr, me);
    // One more step than there are taken addresses must find a free one, unless the CIDR is full.
    let steps = size.min(taken.len() as u128 + 3);
    (0..steps)
        .map(|step| address_at(cidr, (start + step) % size))
        .find(|address| is_assignable(cidr, address) && !taken.contains(address))
}

/// The number of addresses in the CIDR that are used: 2^64 at most.
fn positions(cidr: &IpNet) -> u128 {
    let bits = u32::from(cidr.max_prefix_len() - cidr.prefix_len()).min(64);
    1 << bits
}

fn address_at(cidr: &IpNet, position: u128) -> IpAddr {
    match cidr.network() {
        IpAddr::V4(network) => IpAddr::V4(Ipv4Addr::from_bits(
            network.to_bits() | u32::try_from(position).unwrap_or(u32::MAX) & cidr_host_mask_v4(cidr),
        )),
        IpAddr::V6(network) => IpAddr::V6(Ipv6Addr::from_bits(network.to_bits() | position)),
    }
}

fn cidr_host_mask_v4(cidr: &IpNet) -> u32 {
    u32::MAX.checked_shr(u32::from(cidr.prefix_len())).unwrap_or(0)
}

/// Every address but the network's own (in IPv6 the anycast address of RFC 4291 §2.6.1) and the IPv4 broadcast address.
fn is_assignable(cidr: &IpNet, address: &IpAddr) -> bool {
    cidr.contains(address)
        && *address != cidr.network()
        && (Family::of(address) == Family::V6 || *address != cidr.broadcast())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::constants::default_mesh_cidrs;
    use crate::model::Node;

    fn cluster(nodes: &[(&str, i64, &[&str])]) -> Cluster {
        let mut cluster = Cluster::default();
        for (name, created, addresses) in nodes {
            let mut node = Node::new(name.parse().unwrap(), *created);
            node.mesh_addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
            cluster.insert_node(node);
        }
        cluster
    }

    fn choose(cluster: &Cluster, cidrs: &[&str], me: &str) -> Vec<String> {
        let cidrs = cidrs.iter().map(|cidr| cidr.parse().unwrap()).collect();
        choose_mesh_addresses(cluster, &cidrs, &me.parse().unwrap()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn one_address_in_each_cidr() {
        let cidrs = default_mesh_cidrs().into_iter().collect();
        let addresses = choose_mesh_addresses(&Cluster::default(), &cidrs, &"a".parse().unwrap());
        assert_eq!(addresses.len(), 2);
        assert!(cidrs.iter().zip(&addresses).all(|(cidr, address)| cidr.contains(address)), "{addresses:?}");
    }

    #[test]
    fn a_published_address_is_kept() {
        let cluster = cluster(&[("a", 5, &["10.4.0.9"]), ("b", 1, &["10.4.0.8"])]);
        assert_eq!(choose(&cluster, &["10.4.0.0/16"], "a"), ["10.4.0.9"]);
    }

    #[test]
    fn of_two_claims_of_one_address_the_younger_node_chooses_another() {
        let cluster = cluster(&[("a", 5, &["10.4.0.9"]), ("b", 6, &["10.4.0.9"])]);
        assert_eq!(choose(&cluster, &["10.4.0.0/16"], "a"), ["10.4.0.9"]);
        let moved = choose(&cluster, &["10.4.0.0/16"], "b");
        assert!(moved.len() == 1 && moved != ["10.4.0.9"], "{moved:?}");
    }

    #[test]
    fn an_older_node_does_not_take_an_address_that_belongs_to_the_name_of_a_younger_one() {
        let cidrs = ["10.4.0.0/16"];
        let own = choose(&Cluster::default(), &cidrs, "victim");
        let both = cluster(&[("attacker", 1, &[&own[0]]), ("victim", 9, &[&own[0]])]);
        assert_eq!(choose(&both, &cidrs, "victim"), own);
        assert_ne!(choose(&both, &cidrs, "attacker"), own);
        let foreign = cluster(&[("attacker", 1, &["10.4.0.9"]), ("victim", 9, &["10.4.0.9"])]);
        assert_ne!(choose(&foreign, &cidrs, "victim"), ["10.4.0.9"], "of two foreign claims, the older one counts");
    }

    #[test]
    fn sixteen_addresses_belong_to_a_name_also_around_the_end_of_the_cidr() {
        for cidr in ["10.4.0.0/16", "10.4.0.0/26", "fd00::/64", "fd00::/120"] {
            let cidr: IpNet = cidr.parse().unwrap();
            for name in ["a", "b", "victim", "node-with-a-long-name"] {
                let name = name.parse().unwrap();
                let start = first_position(&cidr, &name);
                let belonging =
                    |step| Belonging::of(&cidr, address_at(&cidr, (start + step) % positions(&cidr)), &name);
                assert!((0..16).all(|step| belonging(step) == Belonging::Own), "{cidr}");
                assert!((16..40).all(|step| belonging(step) == Belonging::Foreign), "{cidr}");
            }
        }
    }

    #[test]
    fn a_full_cidr_gives_no_address() {
        let cluster = cluster(&[("a", 1, &["10.4.0.1"]), ("b", 2, &[]), ("c", 3, &[])]);
        assert_eq!(choose(&cluster, &["10.4.0.0/30"], "b"), ["10.4.0.2"]);
        let full = self::cluster(&[("a", 1, &["10.4.0.1"]), ("b", 2, &["10.4.0.2"]), ("c", 3, &[])]);
        assert_eq!(choose(&full, &["10.4.0.0/30"], "c"), Vec::<String>::new());
    }

    #[test]
    fn an_address_outside_the_cidr_is_replaced() {
        let cluster = cluster(&[("a", 1, &["10.9.0.1"])]);
        let chosen = choose(&cluster, &["10.4.0.0/16"], "a");
        assert!(chosen[0].starts_with("10.4."), "{chosen:?}");
    }
}
