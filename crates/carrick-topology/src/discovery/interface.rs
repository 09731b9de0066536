//! The network interfaces of the host.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use crate::model::{DeviceName, Family, PrecedingRule, RoutedNetwork, host_net};

/// What an agent finds on its host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostFacts {
    /// Its network interfaces, in the kernel's order.
    pub interfaces: Vec<Interface>,
    /// The networks that its routes reach through gateways, in all tables that its rules use, without the routes of Carrick.
    pub routed: BTreeMap<IpNet, RoutedNetwork>,
    /// The source addresses that its default routes name, at most one for each device and family.
    pub default_sources: BTreeMap<DeviceName, BTreeSet<IpAddr>>,
    /// The routing rules of other programs that its kernel asks before those of Carrick.
    pub preceding_rules: BTreeSet<PrecedingRule>,
    /// The address families that its kernel does not have.
    pub missing_families: BTreeSet<Family>,
}

impl From<Vec<Interface>> for HostFacts {
    /// A host without routes through gateways, whose kernel has both families.
    fn from(interfaces: Vec<Interface>) -> Self {
        Self { interfaces, ..Self::default() }
    }
}

/// Whether a device leads to other hosts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Attachment {
    /// It leads to a network.
    #[default]
    Network,
    /// It is a bridge that leads to containers or virtual machines of this host alone.
    Containers,
    /// It leads to no other host, such as the loopback device and dummy devices. Routers have addresses on such devices that are theirs on
    /// every link: other hosts reach these addresses by the uplinks.
    None,
}

/// A network interface of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: DeviceName,
    /// Whether it leads to other hosts.
    pub attachment: Attachment,
    /// Its MTU in bytes.
    pub mtu: u32,
    /// Its addresses, in each family the one that was added first before others. Tentative and duplicate addresses are not among them.
    pub addresses: Vec<InterfaceAddress>,
    /// The networks that routes reach by it without a gateway, beside the subnets of its addresses.
    pub on_link: BTreeSet<IpNet>,
    /// The families in which a next hop of the default route in the main table, if there are several the route of least metric, leaves by it.
    pub default_route: BTreeSet<Family>,
}

/// An address of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterfaceAddress {
    /// The address with the length of its subnet.
    pub net: IpNet,
    /// Which of several addresses of one interface stands for the host.
    pub rank: AddressRank,
}

/// Which of several addresses stands for the host: the least one that is [lasting](AddressRank::is_lasting).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AddressRank {
    /// The source address of packets that take the default route.
    DefaultSource,
    /// No flag of the kernel says otherwise.
    Primary,
    /// Another address of the same subnet was added before it (`IFA_F_SECONDARY`), for example before that of a virtual router (VRRP).
    Secondary,
    /// The kernel replaces it by another one after a time (RFC 8981).
    Temporary,
    /// Its preferred lifetime is over: new connections must not use it (RFC 4862).
    Deprecated,
}

impl AddressRank {
    /// Whether other nodes may be told of an address of this rank.
    #[must_use]
    pub const fn is_lasting(self) -> bool {
        matches!(self, Self::DefaultSource | Self::Primary | Self::Secondary)
    }
}

impl InterfaceAddress {
    /// An address without flags.
    #[must_use]
    pub const fn primary(net: IpNet) -> Self {
        Self { net, rank: AddressRank::Primary }
    }
}

impl Interface {
    /// Whether it has this very address.
    #[must_use]
    pub fn carries(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|own| own.net.addr() == address)
    }

    /// An address of the interface with the length of the subnet that the interface leads to: a lone address, if it leads to none.
    #[must_use]
    pub fn in_subnet(&self, address: &InterfaceAddress) -> IpNet {
        match self.attachment {
            Attachment::Network | Attachment::Containers => address.net,
            Attachment::None => host_net(address.net.addr()),
        }
    }
}
