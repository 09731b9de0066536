//! The network of a location: its router, its LANs and the devices in them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result};

use crate::address::{Addresses, Family};
use crate::internet::Internet;
use crate::layout::{
    DeviceLayout, INTERNET_GATEWAY, Lan, LocationLayout, NodeLayout, PUBLIC_SLICE_LENGTH, UPLINK_LINK_LOCAL,
};
use crate::namespace::Namespaces;
use crate::network::{self, Role};
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
        internet.connect(&layout)?;
        network::ip(&router, &(uplink(&layout) + &layout.lans.iter().map(bridge).collect::<String>()))?;
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
        // A path below the supervisor's /proc: `ip` runs in the router's network namespace and sees the machine's own files.
        let path = internet.supervisor().path(&format!("/run/netns/{}", device.name));
        self.connect_to_lan(&device.name, &device.lan, device.internal, &path.display().to_string())?;
        network::ip(&namespaces, &lan_addresses(&device.lan, device.internal))?;
        self.devices.insert(device.name.clone(), (device, namespaces));
        Ok(())
    }

    /// Connects a node's `eth0` to an interface of the router that has the node's name, and routes the node's public addresses to it.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn connect(&self, node: &NodeLayout, namespaces: &Namespaces, pid: u32) -> Result<()> {
        // The kernel removes an ended namespace, and its end of the link, with a delay.
        let _removed = self.router.exec(&["ip", "link", "delete", "dev", &node.name]);
        self.connect_to_lan(&node.name, &node.lan, node.internal, &pid.to_string())?;
        network::ip(namespaces, &(lan_addresses(&node.lan, node.internal) + &node_routes(node)))?;
        network::ip(&self.router, &public_routes(node))?;
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

    fn connect_to_lan(&self, port: &str, lan: &Lan, of: Addresses, target: &str) -> Result<()> {
        let bridge = &lan.bridge;
        let mac = mac_address(of);
        network::ip(
            &self.router,
            &format!(
                "link add name {port} type veth peer name eth0{mac} netns {target}\n\
                 link set dev {port} master {bridge} up\n"
            ),
        )
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

fn uplink(location: &LocationLayout) -> String {
    let (internet, own) = UPLINK_LINK_LOCAL;
    let mut lines = format!("address add {own}/64 dev wan0 nodad\nlink set wan0 up\n");
    if let Some(v4) = location.wan.v4 {
        lines += &format!(
            "address add {v4}/32 dev wan0\n\
             route add default via {INTERNET_GATEWAY} dev wan0 onlink src {v4}\n"
        );
    }
    if let Some(v6) = location.wan.v6 {
        lines += &format!(
            "address add {v6}/128 dev wan0 nodad\n\
             route add default via {internet} dev wan0 src {v6}\n"
        );
    }
    lines
}

fn bridge(lan: &Lan) -> String {
    let name = &lan.bridge;
    let mac = mac_address(lan.gateway);
    let lines = format!("link add name {name}{mac} type bridge mcast_snooping 0\nlink set dev {name} up\n");
    lines + &addresses(name, lan, lan.gateway)
}

/// Words for `ip link add` that set a locally administered MAC address (IEEE 802-2014, 8.4.4) with the number of the host in its LAN.
/// Without it, the kernel takes a random address at each boot, and for a bridge the address of one of its ports.
fn mac_address(of: Addresses) -> String {
    let octets = of.list().first().map(|address| match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    });
    match octets.as_deref() {
        Some([.., high, low]) => format!(" address 02:00:00:00:{high:02x}:{low:02x}"),
        _ => String::new(),
    }
}

fn lan_addresses(lan: &Lan, internal: Addresses) -> String {
    addresses("eth0", lan, internal) + "link set eth0 up\n"
}

fn addresses(interface: &str, lan: &Lan, of: Addresses) -> String {
    of.list()
        .into_iter()
        .filter_map(|address| {
            let family = Family::from(address);
            let length = lan.prefix_len(family)?;
            let nodad = if family == Family::V6 { " nodad" } else { "" };
            Some(format!("address add {address}/{length} dev {interface}{nodad}\n"))
        })
        .collect()
}

/// The default routes of a node. The preferred source is the public address, if there is one, because the internet drops packets from any
/// other. The IPv4 gateway is the router's public address, because masquerading takes the address whose subnet has the gateway, and not
/// the preferred source of the route.
fn node_routes(node: &NodeLayout) -> String {
    let mut lines = String::new();
    for family in [Family::V4, Family::V6] {
        let Some(gateway) = node.lan.gateway.of(family) else {
            continue;
        };
        let Some(public) = node.public.of(family) else {
            lines += &format!("route add default via {gateway} dev eth0\n");
            continue;
        };
        lines += &match public {
            IpAddr::V4(public) => format!(
                "address add {public}/{PUBLIC_SLICE_LENGTH} dev eth0 noprefixroute\n\
                 route add default via {} dev eth0 onlink src {public}\n",
                public_gateway(public)
            ),
            IpAddr::V6(public) => format!(
                "address add {public}/128 dev eth0 nodad\n\
                 route add default via {gateway} dev eth0 src {public}\n"
            ),
        };
    }
    lines
}

/// The router's address in the slice of the public prefix that contains an address.
fn public_gateway(public: Ipv4Addr) -> Ipv4Addr {
    let slice = !((1 << (32 - PUBLIC_SLICE_LENGTH)) - 1);
    Ipv4Addr::from_bits((public.to_bits() & slice) + 1)
}

fn public_routes(node: &NodeLayout) -> String {
    [Family::V4, Family::V6]
        .into_iter()
        .filter_map(|family| {
            let (public, internal) = (node.public.of(family)?, node.internal.of(family)?);
            let bridge = &node.lan.bridge;
            Some(format!("route replace {public} via {internal} dev {bridge}\n"))
        })
        .collect()
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
