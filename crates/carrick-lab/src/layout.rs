//! The addresses of everything in a lab, computed from the topology.
//!
//! Numbers are easy to read in a capture. Location *n* (counted from 1) has the LANs 10.*n*0.*s*.0/24 and
//! fd00:*n*0:*s*::/64 for its subnet *s*, and the public prefixes 198.51.100.(16·(*n*-1))/28 and
//! 2001:db8:*n*0::/64 (documentation prefixes, RFC 5737 and RFC 3849). Its router ends in 1, its first
//! node in 11, in public IPv4 in the second number of the slice.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context as _, Result, bail, ensure};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

use crate::address::{Addresses, Families, Family};
use crate::topology::{self, RouterKind};

/// The addresses of the API in the internet.
pub const API_ADDRESSES: Addresses = Addresses {
    v4: Some(Ipv4Addr::new(203, 0, 113, 10)),
    v6: Some(Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 0x10)),
};

/// The internet's address on every uplink: the IPv4 gateway of the routers.
pub const INTERNET_GATEWAY: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);

/// The link-local addresses of the two ends of every uplink: internet and router.
pub const UPLINK_LINK_LOCAL: (Ipv6Addr, Ipv6Addr) =
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1), Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2));

/// The host number of a LAN's first node.
const FIRST_NODE: u16 = 11;
/// The host number of a LAN's first device.
const FIRST_DEVICE: u16 = 201;
/// The length of a location's slice of the public IPv4 prefix.
pub const PUBLIC_SLICE_LENGTH: u8 = 28;
/// The addresses in it.
const PUBLIC_SLICE: u32 = 1 << (32 - PUBLIC_SLICE_LENGTH);

/// One LAN of a location.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lan {
    /// The bridge in the router's namespace.
    pub bridge: String,
    /// The IPv4 prefix.
    pub v4: Option<Ipv4Net>,
    /// The IPv6 prefix.
    pub v6: Option<Ipv6Net>,
    /// The router's addresses in it.
    pub gateway: Addresses,
}

impl Lan {
    /// The address with a host number, in the families of this LAN.
    fn host(&self, number: u16) -> Addresses {
        Addresses {
            v4: self.v4.map(|net| Ipv4Addr::from_bits(net.network().to_bits() + u32::from(number))),
            v6: self.v6.map(|net| v6_host(net, number)),
        }
    }

    /// The prefix length of a family, for the addresses of hosts in it.
    #[must_use]
    pub fn prefix_len(&self, family: Family) -> Option<u8> {
        match family {
            Family::V4 => self.v4.map(|net| net.prefix_len()),
            Family::V6 => self.v6.map(|net| net.prefix_len()),
        }
    }
}

/// The addresses of a location.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocationLayout {
    /// Its name.
    pub name: String,
    /// How its router treats packets.
    pub router: RouterKind,
    /// The families of its network.
    pub families: Families,
    /// The MTU of its uplink, in bytes.
    pub mtu: u32,
    /// Its public IPv4 prefix.
    pub public_v4: Ipv4Net,
    /// Its public IPv6 prefix.
    pub public_v6: Ipv6Net,
    /// The router's public addresses.
    pub wan: Addresses,
    /// Its LANs.
    pub lans: Vec<Lan>,
    nodes: u16,
    devices: u16,
}

/// The addresses of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeLayout {
    /// Its name.
    pub name: String,
    /// Its location's name.
    pub location: String,
    /// Its number among all nodes, counted from 1.
    pub number: u16,
    /// The number of nodes before it in its location.
    pub place: u16,
    /// Its LAN.
    pub lan: Lan,
    /// Its addresses in the LAN.
    pub internal: Addresses,
    /// Its public addresses; none behind network address translation.
    pub public: Addresses,
    /// Its pod CIDRs.
    pub pod_cidrs: Vec<IpNet>,
}

/// The addresses of a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceLayout {
    /// Its name.
    pub name: String,
    /// Its LAN.
    pub lan: Lan,
    /// Its addresses in the LAN.
    pub internal: Addresses,
}

/// Assigns the addresses, each once.
#[derive(Debug, Clone, Default)]
pub struct Numbering {
    locations: u16,
    nodes: u16,
}

impl Numbering {
    /// The addresses of the next location.
    ///
    /// # Errors
    /// The public prefix has no slice left.
    pub fn location(&mut self, spec: &topology::Location) -> Result<LocationLayout> {
        let index = self.locations;
        ensure!(u32::from(index) < 256 / PUBLIC_SLICE, "{}: too many locations", spec.name);
        self.locations += 1;
        let first = Ipv4Addr::new(198, 51, 100, 0).to_bits() + u32::from(index) * PUBLIC_SLICE;
        let public_v4 = Ipv4Net::new(Ipv4Addr::from_bits(first), PUBLIC_SLICE_LENGTH)?;
        let tens = readable((index + 1) * 10);
        let public_v6 = Ipv6Net::new(Ipv6Addr::new(0x2001, 0xdb8, tens, 0, 0, 0, 0, 0), 64)?;
        let wan = Addresses { v4: Some(Ipv4Addr::from_bits(first + 1)), v6: Some(v6_host(public_v6, 1)) };
        let lans = (0..spec.subnets.len().max(1)).map(|subnet| lan(spec, index, subnet)).collect::<Result<_>>()?;
        Ok(LocationLayout {
            name: spec.name.clone(),
            router: spec.router,
            families: spec.families,
            mtu: spec.mtu.unwrap_or(1500),
            public_v4,
            public_v6,
            wan: wan.within(spec.families),
            lans,
            nodes: 0,
            devices: 0,
        })
    }

    /// The addresses of the next node of a location.
    ///
    /// # Errors
    /// The location has no address left, or the node names a LAN that does not exist.
    pub fn node(&mut self, location: &mut LocationLayout, spec: &topology::Node, pods: Families) -> Result<NodeLayout> {
        let lan = location.lan(spec.subnet, &spec.name)?;
        let place = location.nodes;
        let slice_left = u32::from(place) + 3 < PUBLIC_SLICE;
        ensure!(location.router.translates() || slice_left, "{}: too many nodes", location.name);
        ensure!(FIRST_NODE + place < FIRST_DEVICE && self.nodes < 250, "{}: too many nodes", location.name);
        location.nodes += 1;
        self.nodes += 1;
        let public = if location.router.translates() { Addresses::default() } else { location.public_host(place) };
        let pod_cidrs =
            if spec.pod_cidrs.is_empty() { default_pod_cidrs(self.nodes, pods)? } else { spec.pod_cidrs.clone() };
        Ok(NodeLayout {
            name: spec.name.clone(),
            location: location.name.clone(),
            number: self.nodes,
            place,
            internal: lan.host(host_number(&lan, FIRST_NODE + place)),
            lan,
            public,
            pod_cidrs,
        })
    }
}

/// The addresses of a topology's node and of its location.
///
/// # Errors
/// There is no such node, or no addresses are left.
pub fn of_node(topology: &topology::Topology, name: &str) -> Result<(LocationLayout, NodeLayout)> {
    let mut numbering = Numbering::default();
    for spec in &topology.locations {
        let mut location = numbering.location(spec)?;
        for node in &spec.nodes {
            let node = numbering.node(&mut location, node, topology.families)?;
            if node.name == name {
                return Ok((location, node));
            }
        }
    }
    bail!("no node named {name}")
}

impl LocationLayout {
    /// The addresses of the next device of this location.
    ///
    /// # Errors
    /// The device names a LAN that does not exist.
    pub fn device(&mut self, spec: &topology::Device) -> Result<DeviceLayout> {
        let lan = self.lan(spec.subnet, &spec.name)?;
        let number = FIRST_DEVICE + self.devices;
        ensure!(number < 255, "{}: too many devices", self.name);
        self.devices += 1;
        Ok(DeviceLayout { name: spec.name.clone(), internal: lan.host(number), lan })
    }

    fn lan(&self, index: usize, wanted_by: &str) -> Result<Lan> {
        self.lans.get(index).cloned().with_context(|| format!("{wanted_by}: {} has no subnet {index}", self.name))
    }

    fn public_host(&self, place: u16) -> Addresses {
        let first = self.public_v4.network().to_bits();
        Addresses {
            v4: Some(Ipv4Addr::from_bits(first + 2 + u32::from(place))),
            v6: Some(v6_host(self.public_v6, FIRST_NODE + place)),
        }
        .within(self.families)
    }
}

/// The private prefixes, for nftables sets. The internet drops packets from and to them.
#[must_use]
pub const fn private_prefixes(family: Family) -> &'static [&'static str] {
    match family {
        Family::V4 => &["10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16"],
        Family::V6 => &["fc00::/7"],
    }
}

fn lan(spec: &topology::Location, location: u16, subnet: usize) -> Result<Lan> {
    let given = spec.subnets.get(subnet).copied().unwrap_or_default();
    let tens = (location + 1) * 10;
    let v4 = match given.v4 {
        Some(net) => net,
        None => Ipv4Net::new(Ipv4Addr::new(10, u8::try_from(tens)?, u8::try_from(subnet)?, 0), 24)?,
    };
    let v6 = match given.v6 {
        Some(net) => net,
        None => {
            Ipv6Net::new(Ipv6Addr::new(0xfd00, readable(tens), readable(u16::try_from(subnet)?), 0, 0, 0, 0, 0), 64)?
        }
    };
    let mut lan = Lan {
        bridge: format!("lan{subnet}"),
        v4: Some(v4).filter(|_| spec.families.has(Family::V4)),
        v6: Some(v6).filter(|_| spec.families.has(Family::V6)),
        gateway: Addresses::default(),
    };
    lan.gateway = lan.host(1);
    Ok(lan)
}

/// The host number of a node. A small prefix has no room for the usual number, so its nodes follow the gateway.
fn host_number(lan: &Lan, usual: u16) -> u16 {
    let small = lan.v4.is_some_and(|net| net.prefix_len() > 24);
    if small { usual - FIRST_NODE + 2 } else { usual }
}

fn default_pod_cidrs(number: u16, families: Families) -> Result<Vec<IpNet>> {
    families
        .list()
        .iter()
        .map(|family| {
            let (address, length) = match family {
                Family::V4 => (IpAddr::from([10, 42, u8::try_from(number)?, 0]), 24),
                Family::V6 => (IpAddr::from([0xfd42, 0, 0, readable(number), 0, 0, 0, 0]), 64),
            };
            Ok(IpNet::new(address, length)?)
        })
        .collect()
}

fn v6_host(net: Ipv6Net, number: u16) -> Ipv6Addr {
    Ipv6Addr::from_bits(net.network().to_bits() + u128::from(readable(number)))
}

/// The number whose hexadecimal digits look like the decimal ones of `number`: 11 becomes 0x11.
const fn readable(number: u16) -> u16 {
    let mut rest = number;
    let mut shift = 0;
    let mut digits = 0;
    while rest > 0 {
        digits |= (rest % 10) << shift;
        shift += 4;
        rest /= 10;
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::Topology;

    fn layout(yaml: &str) -> (Vec<LocationLayout>, Vec<NodeLayout>) {
        let topology = Topology::parse(yaml).unwrap();
        let mut numbering = Numbering::default();
        let mut locations = Vec::new();
        let mut nodes = Vec::new();
        for spec in &topology.locations {
            let mut location = numbering.location(spec).unwrap();
            for node in &spec.nodes {
                nodes.push(numbering.node(&mut location, node, topology.families).unwrap());
            }
            locations.push(location);
        }
        (locations, nodes)
    }

    #[test]
    fn addresses_are_easy_to_read() {
        let (locations, nodes) = layout(
            "locations: [{name: a, nodes: [{name: a1}, {name: a2}]}, {name: home, router: nat, nodes: [{name: h1}]}]",
        );
        assert_eq!(nodes[1].internal.v4, "10.10.0.12".parse().ok());
        assert_eq!(nodes[1].internal.v6, "fd00:10::12".parse().ok());
        assert_eq!(nodes[1].public.v4, "198.51.100.3".parse().ok());
        assert_eq!(nodes[1].public.v6, "2001:db8:10::12".parse().ok());
        assert_eq!(nodes[2].internal.v4, "10.20.0.11".parse().ok());
        assert_eq!(nodes[2].public, Addresses::default());
        assert_eq!(nodes[2].pod_cidrs, ["10.42.3.0/24".parse().unwrap(), "fd42:0:0:3::/64".parse().unwrap()]);
        assert_eq!(locations[1].wan.v4, "198.51.100.17".parse().ok());
        assert_eq!(locations[1].wan.v6, "2001:db8:20::1".parse().ok());
    }

    #[test]
    fn the_addresses_of_a_node_are_known_beforehand() {
        let topology = Topology::parse(
            "locations: [{name: a, nodes: [{name: a1}]}, {name: home, router: nat, nodes: [{name: h1}, {name: h2}]}]",
        )
        .unwrap();
        let (location, node) = of_node(&topology, "h1").unwrap();
        assert_eq!((location.name.as_str(), node.number), ("home", 2));
        assert_eq!(node.internal.v4, "10.20.0.11".parse().ok());
        assert!(of_node(&topology, "b1").is_err());
    }

    #[test]
    fn two_locations_can_have_the_same_lan() {
        let (_, nodes) = layout(
            "locations:
              - {name: x, router: nat, families: v4, subnets: [{v4: 192.168.1.0/24}], nodes: [{name: x1}]}
              - {name: y, router: nat, families: v4, subnets: [{v4: 192.168.1.0/24}], nodes: [{name: y1}]}",
        );
        assert_eq!(nodes[0].internal, nodes[1].internal);
        assert_eq!(nodes[0].internal.v6, None);
    }

    #[test]
    fn a_public_slice_has_room_for_thirteen_nodes() {
        let nodes: Vec<_> = (0..14).map(|n| format!("{{name: n{n}}}")).collect();
        let topology = Topology::parse(&format!("locations: [{{name: a, nodes: [{}]}}]", nodes.join(", "))).unwrap();
        let mut numbering = Numbering::default();
        let mut location = numbering.location(&topology.locations[0]).unwrap();
        let given: Vec<_> = topology.locations[0]
            .nodes
            .iter()
            .map(|node| numbering.node(&mut location, node, Families::Dual))
            .collect();
        assert_eq!(given[12].as_ref().unwrap().public.v4, "198.51.100.14".parse().ok());
        assert!(given[13].is_err());
    }
}
