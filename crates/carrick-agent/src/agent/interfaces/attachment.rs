//! Whether a device leads to other hosts.
//!
//! Routers have an address that is theirs on every link: on the loopback device, on a dummy device, on a bridge without ports, or on any device
//! as a lone address to which no route of the host belongs.

use carrick_netlink::address::Address;
use carrick_netlink::link::{Link, LinkKind};
use carrick_netlink::route::{Kind, Route};
use carrick_topology::constants::LOOPBACK_DEVICE;
use carrick_topology::discovery::Attachment;
use ipnet::IpNet;

/// Virtual devices that never lead to another host, by their kinds. A device of the kind `vrf` stands for a routing table.
const UNATTACHED_KINDS: [&str; 2] = ["dummy", "vrf"];

/// Whether the device leads to other hosts. `ports` are all devices that belong to bridges or bonds.
pub(super) fn of<'r>(
    link: &Link,
    ports: &[Link],
    addresses: &[Address],
    routes: impl Iterator<Item = &'r Route>,
) -> Attachment {
    let own_ports = || ports.iter().filter(|port| port.controller == Some(link.index));
    let has_no_other_end = match &link.kind {
        LinkKind::Bridge => own_ports().next().is_none(),
        LinkKind::Other(kind) => UNATTACHED_KINDS.contains(&kind.as_str()),
        _ => link.name == LOOPBACK_DEVICE,
    };
    let own: Vec<&IpNet> =
        addresses.iter().filter(|address| address.link == link.index).map(|address| &address.network).collect();
    let is_lone = |net: &&IpNet| net.prefix_len() == net.max_prefix_len() || is_link_local(net);
    // IPv6 has a route to each own address.
    let leads_out = |route: &Route| {
        let is_out = route.kind == Kind::Unicast && !is_link_local(&route.destination);
        is_out && route.device == Some(link.index) && own.iter().all(|net| net.addr() != route.destination.addr())
    };
    if has_no_other_end || own.iter().all(is_lone) && !routes.into_iter().any(leads_out) {
        Attachment::None
    } else if link.kind == LinkKind::Bridge && own_ports().all(is_of_container) {
        Attachment::Containers
    } else {
        Attachment::Network
    }
}

/// Whether a port of a bridge is the host's end of a container's or a virtual machine's device.
const fn is_of_container(port: &Link) -> bool {
    matches!(port.kind, LinkKind::Veth | LinkKind::Tun)
}

/// Every device has a route and an address of the IPv6 link-local network.
const fn is_link_local(net: &IpNet) -> bool {
    matches!(net, IpNet::V6(net) if net.addr().is_unicast_link_local())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel has of the device with the number 3.
    struct Device {
        kind: LinkKind,
        ports: Vec<LinkKind>,
        addresses: &'static [&'static str],
        routes: &'static [&'static str],
    }

    fn attachment(name: &str, device: &Device) -> Attachment {
        let link = |index, name: &str, kind: &LinkKind, controller| Link {
            index,
            name: name.to_owned(),
            kind: kind.clone(),
            up: true,
            operational: true,
            mtu: 1500,
            mac: None,
            controller,
            lower: None,
            alias: None,
        };
        let elsewhere = link(9, "enp9s0", &LinkKind::Physical, Some(8));
        let ports = device.ports.iter().map(|kind| link(7, "port", kind, Some(3)));
        let ports: Vec<Link> = ports.chain([elsewhere]).collect();
        let link = link(3, name, &device.kind, None);
        let address = |net: &&str| Address::without_side_effects(3, net.parse().unwrap());
        let route = |net: &&str| Route::through(net.parse().unwrap(), 254, 2, 3);
        let addresses: Vec<Address> = device.addresses.iter().map(address).collect();
        let elsewhere = Route::through("0.0.0.0/0".parse().unwrap(), 254, 2, 4);
        let routes: Vec<Route> = device.routes.iter().map(route).chain([elsewhere]).collect();
        of(&link, &ports, &addresses, routes.iter())
    }

    #[test]
    fn a_device_leads_to_a_network_if_it_has_another_end_and_a_subnet_or_a_route() {
        use Attachment::{Containers, Network, None};
        let other = |kind: &str| LinkKind::Other(kind.to_owned());
        let subnet = (&["10.0.0.5/24"][..], &["10.0.0.0/24"][..]);
        let lone = (&["10.9.0.5/32", "fd09::5/128", "fe80::5/64"][..], &["fd09::5/128", "fe80::/64"][..]);
        let routed = (&["10.9.0.5/32"][..], &["0.0.0.0/0"][..]);
        let peer = (&["10.9.0.5/32"][..], &["10.9.0.6/32"][..]);
        for (name, kind, ports, (addresses, routes), expected) in [
            ("lo", LinkKind::Physical, vec![], lone, None),
            ("dummy0", other("dummy"), vec![], lone, None),
            ("node0", other("dummy"), vec![], subnet, None),
            ("red", other("vrf"), vec![LinkKind::Physical], lone, None),
            ("br-loop", LinkKind::Bridge, vec![], lone, None),
            ("br-loop", LinkKind::Bridge, vec![], subnet, None),
            ("br0", LinkKind::Bridge, vec![LinkKind::Physical], subnet, Network),
            ("br0", LinkKind::Bridge, vec![LinkKind::Physical], lone, None),
            ("nerdctl0", LinkKind::Bridge, vec![LinkKind::Veth, LinkKind::Veth], subnet, Containers),
            ("vmbr1", LinkKind::Bridge, vec![LinkKind::Tun], subnet, Containers),
            ("incusbr0", LinkKind::Bridge, vec![LinkKind::Tun, LinkKind::Veth], subnet, Containers),
            ("vmbr0", LinkKind::Bridge, vec![LinkKind::Physical, LinkKind::Tun, LinkKind::Veth], subnet, Network),
            ("vmbr2", LinkKind::Bridge, vec![LinkKind::Tun, other("vlan")], subnet, Network),
            ("br-over", LinkKind::Bridge, vec![LinkKind::Veth, other("geneve")], subnet, Network),
            ("eth1", LinkKind::Physical, vec![], lone, None),
            ("eth1", LinkKind::Physical, vec![], subnet, Network),
            ("eth0", LinkKind::Physical, vec![], routed, Network),
            ("eth0", LinkKind::Veth, vec![], peer, Network),
            ("bond0.7", other("vlan"), vec![], subnet, Network),
        ] {
            let found = attachment(name, &Device { kind, ports, addresses, routes });
            assert_eq!(found, expected, "{name} {addresses:?} {routes:?}");
        }
    }
}
