//! The network of a location: its router, its LANs and the devices in them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result};
use carrick_types::MacAddress;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::address::{Addresses, Family};
use crate::internet::Internet;
use crate::layout::{
    DeviceLayout, INTERNET_GATEWAY, Lan, LocationLayout, NodeLayout, PUBLIC_SLICE_LENGTH, UPLINK_LINK_LOCAL,
};
use crate::namespace::Namespaces;
use crate::network::{self, Netlink, PrefixRoute, Role, Route, VethEnd};
use crate::topology::{self, RouterKind};

/// The UDP port of WireGuard on the nodes.
const WIREGUARD_PORT: u16 = 51820;

/// A location's router and devices.
#[derive(Debug)]
pub struct Site {
    layout: LocationLayout,
    router: Namespaces,
    devices: BTreeMap<String, (DeviceLayout, Namespaces)>,
}

impl Site {
    /// Makes the router with its LANs, and connects it to the internet.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn start(internet: &Internet, layout: LocationLayout) -> Result<Self> {
        let router = internet.make_network(&layout.name)?;
        network::prepare(&router, Role::Router)?;
        internet.connect(&layout, &router)?;
        network::configure(&router, |kernel| {
            connect_uplink(kernel, &layout)?;
            layout.lans.iter().try_for_each(|lan| add_bridge(kernel, lan))
        })?;
        network::nft(&router, &firewall(layout.router))?;
        Ok(Self { layout, router, devices: BTreeMap::new() })
    }

    /// Its addresses.
    #[must_use]
    pub const fn layout(&self) -> &LocationLayout {
        &self.layout
    }

    /// Its addresses, to assign further ones.
    pub const fn layout_mut(&mut self) -> &mut LocationLayout {
        &mut self.layout
    }

    /// The router's network namespace. `wan0` is the uplink, `lanN` are the LANs, and the interface to each node has the node's name.
    #[must_use]
    pub const fn router(&self) -> &Namespaces {
        &self.router
    }

    /// A device of this location.
    #[must_use]
    pub fn device(&self, name: &str) -> Option<(&DeviceLayout, &Namespaces)> {
        self.devices.get(name).map(|(layout, namespaces)| (layout, namespaces))
    }

    /// Adds a device, which has a route to its own subnet only.
    ///
    /// # Errors
    /// The device names a LAN that does not exist, or the kernel refuses.
    pub fn add_device(&mut self, internet: &Internet, spec: &topology::Device) -> Result<()> {
        let device = self.layout.device(spec)?;
        let namespaces = internet.make_network(&device.name)?;
        network::prepare(&namespaces, Role::Host)?;
        network::configure(&self.router, |kernel| {
            connect_to_lan(kernel, &device.name, &device.lan, device.internal, &namespaces)
        })?;
        network::configure(&namespaces, |kernel| join_lan(kernel, &device.lan, device.internal))?;
        self.devices.insert(device.name.clone(), (device, namespaces));
        Ok(())
    }

    /// Connects a node's `eth0` to an interface of the router that has the node's name, and routes the node's public addresses to it.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn connect(&self, node: &NodeLayout, namespaces: &Namespaces) -> Result<()> {
        network::configure(&self.router, |kernel| {
            // The kernel removes an ended namespace, and its end of the link, with a delay.
            kernel.delete_link(&node.name)?;
            connect_to_lan(kernel, &node.name, &node.lan, node.internal, namespaces)
        })?;
        network::configure(namespaces, |kernel| {
            join_lan(kernel, &node.lan, node.internal)?;
            add_default_routes(kernel, node)
        })?;
        network::configure(&self.router, |kernel| add_public_routes(kernel, node))?;
        self.map_wireguard(node)
    }

    /// Publishes a TCP port of an inner address at the same port of the router's public address.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn publish(&self, inside: SocketAddr) -> Result<()> {
        let family = Family::from(inside.ip());
        let word = match family {
            Family::V4 => "ip",
            Family::V6 => "ip6",
        };
        let public = self.layout.wan.of(family).with_context(|| format!("{} has no {family}", self.layout.name))?;
        let port = inside.port();
        network::nft(
            &self.router,
            &format!(
                "table inet published {{
                    chain arriving {{
                        type nat hook prerouting priority dstnat;
                        iifname wan0 {word} daddr {public} tcp dport {port} dnat {word} to {inside}
                    }}
                }}"
            ),
        )
        .with_context(|| format!("publish {inside} as {public}"))
    }

    /// Gives a node behind NAT a mapping of WireGuard's port that does not depend on the destination. Two nodes behind a router both send
    /// from WireGuard's port. Without this rule the kernel keeps the port for both, and changes it only if they have the same destination.
    fn map_wireguard(&self, node: &NodeLayout) -> Result<()> {
        match self.layout.router {
            RouterKind::Open | RouterKind::Symmetric => Ok(()),
            RouterKind::Nat => {
                let port = WIREGUARD_PORT + node.place;
                let mut elements = String::new();
                for (family, map) in [(Family::V4, "wireguard4"), (Family::V6, "wireguard6")] {
                    if let (Some(inside), Some(outside)) = (node.internal.of(family), self.layout.wan.of(family)) {
                        elements += &format!("add element inet router {map} {{ {inside} : {outside} . {port} }}\n");
                    }
                }
                network::nft(&self.router, &elements).context("map WireGuard's port")
            }
        }
    }
}

fn connect_uplink(kernel: &Netlink, location: &LocationLayout) -> Result<()> {
    let (internet, own) = UPLINK_LINK_LOCAL;
    if network::kernel_has_ipv6() {
        kernel.add_address("wan0", Ipv6Net::new(own, 64)?.into(), PrefixRoute::Added)?;
    }
    kernel.set_up("wan0")?;
    if let Some(v4) = location.wan.v4 {
        kernel.add_address("wan0", IpAddr::from(v4).into(), PrefixRoute::Added)?;
        kernel.add_route(&Route::default_of(Family::V4, "wan0").via_on_link(INTERNET_GATEWAY).source(v4))?;
    }
    if let Some(v6) = location.wan.v6 {
        kernel.add_address("wan0", IpAddr::from(v6).into(), PrefixRoute::Added)?;
        kernel.add_route(&Route::default_of(Family::V6, "wan0").via(internet).source(v6))?;
    }
    Ok(())
}

fn add_bridge(kernel: &Netlink, lan: &Lan) -> Result<()> {
    kernel.add_bridge(&lan.bridge, mac_address(lan.gateway))?;
    add_addresses(kernel, &lan.bridge, lan, lan.gateway)
}

/// Connects `eth0` in a network namespace to a port of the router's bridge.
fn connect_to_lan(router: &Netlink, port: &str, lan: &Lan, of: Addresses, namespaces: &Namespaces) -> Result<()> {
    let eth0 = VethEnd { mac: mac_address(of), ..VethEnd::new("eth0") };
    router.add_veth(VethEnd::new(port), eth0, namespaces)?;
    router.attach(port, &lan.bridge)
}

/// A locally administered MAC address (IEEE 802-2014, 8.4.4) with the number of the host in its LAN. Without it, the kernel takes
/// a random address at each boot, and for a bridge the address of one of its ports.
fn mac_address(of: Addresses) -> Option<MacAddress> {
    let octets = match *of.list().first()? {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    };
    match *octets {
        [.., high, low] => Some(MacAddress([2, 0, 0, 0, high, low])),
        _ => None,
    }
}

fn join_lan(kernel: &Netlink, lan: &Lan, internal: Addresses) -> Result<()> {
    add_addresses(kernel, "eth0", lan, internal)?;
    kernel.set_up("eth0")
}

fn add_addresses(kernel: &Netlink, interface: &str, lan: &Lan, of: Addresses) -> Result<()> {
    for address in of.list() {
        if let Some(length) = lan.prefix_len(Family::from(address)) {
            kernel.add_address(interface, IpNet::new(address, length)?, PrefixRoute::Added)?;
        }
    }
    Ok(())
}

/// Adds the default routes of a node. The preferred source is the public address, if there is one, because the internet drops packets from
/// any other. The IPv4 gateway is the router's public address, because masquerading takes the address whose subnet has the gateway, and
/// not the preferred source of the route.
fn add_default_routes(kernel: &Netlink, node: &NodeLayout) -> Result<()> {
    for family in Family::BOTH {
        let Some(gateway) = node.lan.gateway.of(family) else {
            continue;
        };
        let default = Route::default_of(family, "eth0");
        match node.public.of(family) {
            None => kernel.add_route(&default.via(gateway))?,
            Some(IpAddr::V4(public)) => {
                let slice = Ipv4Net::new(public, PUBLIC_SLICE_LENGTH)?;
                kernel.add_address("eth0", slice.into(), PrefixRoute::None)?;
                kernel.add_route(&default.via_on_link(public_gateway(public)).source(public))?;
            }
            Some(public @ IpAddr::V6(_)) => {
                kernel.add_address("eth0", public.into(), PrefixRoute::Added)?;
                kernel.add_route(&default.via(gateway).source(public))?;
            }
        }
    }
    Ok(())
}

/// The router's address in the slice of the public prefix that contains an address.
fn public_gateway(public: Ipv4Addr) -> Ipv4Addr {
    let slice = !((1 << (32 - PUBLIC_SLICE_LENGTH)) - 1);
    Ipv4Addr::from_bits((public.to_bits() & slice) + 1)
}

fn add_public_routes(kernel: &Netlink, node: &NodeLayout) -> Result<()> {
    for family in Family::BOTH {
        if let (Some(public), Some(internal)) = (node.public.of(family), node.internal.of(family)) {
            kernel.replace_route(&Route::new(public, &node.lan.bridge).via(internal))?;
        }
    }
    Ok(())
}

/// The firewall of a router. It also drops packets to the router itself: an answer to an unsolicited packet would occupy the mapping that a
/// later flow from inside needs.
fn firewall(kind: RouterKind) -> String {
    let masquerade = match kind {
        RouterKind::Open => return String::new(),
        RouterKind::Nat => "masquerade",
        RouterKind::Symmetric => "masquerade fully-random",
    };
    format!(
        "table inet router {{
            chain input {{
                type filter hook input priority filter; policy accept;
                iifname != wan0 accept
                ct state established,related accept
                meta l4proto {{ icmp, icmpv6 }} accept
                drop
            }}
            chain forward {{
                type filter hook forward priority filter; policy drop;
                ct state established,related accept
                iifname \"lan*\" accept
                ct status dnat accept
            }}
            map wireguard4 {{ type ipv4_addr : ipv4_addr . inet_service; }}
            map wireguard6 {{ type ipv6_addr : ipv6_addr . inet_service; }}
            chain leaving {{
                type nat hook postrouting priority srcnat;
                oifname != wan0 accept
                udp sport {WIREGUARD_PORT} snat ip to ip saddr map @wireguard4
                udp sport {WIREGUARD_PORT} snat ip6 to ip6 saddr map @wireguard6
                {masquerade}
            }}
        }}"
    )
}
