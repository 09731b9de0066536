//! What a pod sends with forged addresses reaches neither other pods nor the tables of any host.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::fd::AsRawFd as _;

use carrick_lab::capture::Capture;
use carrick_lab::namespace::Namespaces;
use carrick_lab::wait;
use carrick_topology::Family;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{AddressFamily, LinkAddr, MsgFlags, SockFlag, SockType, sendto, socket};
use serde_json::Value;

use crate::frames::{
    ArpReply, Mac, arp_reply, arp_request, dhcp_answer_v4, dhcp_answer_v6, neighbour_advertisement,
    neighbour_solicitation, router_advertisement, router_solicitation, udp,
};
use crate::mesh::Mesh;

const CLOUDS: &str = "
agent: {flags: ['--standby-gateways=0']}
locations:
  - {name: a, nodes: [{name: a1, pods: 2}, {name: a2}]}
  - {name: b, nodes: [{name: b1}]}
";
/// The pod that forges.
const FORGER: &str = "a1-pod1";
const TARGETS: [&str; 3] = ["a1-pod2", "a2-pod1", "b1-pod1"];
const FORGED_MAC: Mac = [0x02, 0xba, 0xd0, 0, 0, 1];
const FORGED_V4: Ipv4Addr = Ipv4Addr::new(10, 99, 9, 9);
const FORGED_V6: Ipv6Addr = Ipv6Addr::new(0xfd99, 0xbad, 0, 0, 0, 0, 0, 9);
const FORGED_ROUTER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0xbad, 1);
/// The gateway of all pods.
const GATEWAY_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
/// The port of forged packets.
const FORGED_PORT: u16 = 40_001;
/// The port of a packet that is not forged and comes after the forged ones.
const GENUINE_PORT: u16 = 40_002;

/// Forged packets, and what else no pod should see: ARP, router and neighbour advertisements, DHCP.
fn filter() -> String {
    let advertisements = "(icmp6 and (ip6[40] = 134 or ip6[40] = 136))";
    format!(
        "arp or {advertisements} or udp portrange 67-68 or udp portrange 546-547 or udp port {FORGED_PORT} or udp port {GENUINE_PORT}"
    )
}

/// The frames that a pod sends: each with what it is.
fn forged_frames(mesh: &Mesh, own: Mac, gateway: Mac) -> Vec<(&'static str, Vec<u8>)> {
    let v4_of = |pod: &str| mesh.pod_address(pod, Family::V4);
    let v6_of = |pod: &str| mesh.pod_address(pod, Family::V6);
    let mut frames = Vec::new();
    let sources = |family| {
        let (forged, neighbour) = match family {
            Family::V4 => (IpAddr::V4(FORGED_V4), v4_of("a1-pod2")),
            Family::V6 => (IpAddr::V6(FORGED_V6), v6_of("a1-pod2")),
        };
        [forged, neighbour, mesh.pod_address("b1-pod1", family), mesh.internal_address("a1", family)]
    };
    for target in TARGETS {
        for family in Family::BOTH {
            let to = mesh.pod_address(target, family);
            for source in sources(family).into_iter().filter(|source| *source != to) {
                frames.push(("forged source", udp(own, gateway, source, to, FORGED_PORT)));
                frames.push(("forged source and MAC", udp(FORGED_MAC, gateway, source, to, FORGED_PORT)));
            }
        }
    }
    let (IpAddr::V4(neighbour), IpAddr::V6(neighbour_v6)) = (v4_of("a1-pod2"), v6_of("a1-pod2")) else {
        panic!("a pod has both families");
    };
    let IpAddr::V4(node) = mesh.internal_address("a1", Family::V4) else { panic!("IPv4") };
    for claimed in [neighbour, node, Ipv4Addr::new(169, 254, 1, 1), FORGED_V4] {
        let claim = ArpReply { mac: FORGED_MAC, address: claimed };
        frames.push(("gratuitous ARP", arp_reply(FORGED_MAC, &claim)));
        frames.push(("gratuitous ARP with the own MAC", arp_reply(own, &claim)));
    }
    for claimed in [neighbour_v6, FORGED_V6, FORGED_ROUTER, GATEWAY_V6] {
        frames.push(("neighbour advertisement", neighbour_advertisement(FORGED_MAC, claimed)));
    }
    frames.push(("router advertisement", router_advertisement(own, FORGED_ROUTER)));
    frames.push(("router advertisement with a second MAC", router_advertisement(FORGED_MAC, FORGED_ROUTER)));
    frames.push(("DHCP answer", dhcp_answer_v4(own, FORGED_V4)));
    frames.push(("DHCPv6 answer", dhcp_answer_v6(own, FORGED_ROUTER)));
    frames
}

/// Sends frames as they are out of the pod's interface.
pub fn send_frames(from: &Namespaces, frames: &[(&str, Vec<u8>)]) {
    send_frames_by(from, "eth0", frames);
}

/// Sends frames as they are out of an interface.
pub fn send_frames_by(from: &Namespaces, interface: &str, frames: &[(&str, Vec<u8>)]) {
    let send = || {
        let descriptor = socket(AddressFamily::Packet, SockType::Raw, SockFlag::empty(), None)?;
        let link = link_address(interface)?;
        for (_, frame) in frames {
            sendto(descriptor.as_raw_fd(), frame, &link, MsgFlags::empty())?;
        }
        Ok(())
    };
    from.enter(send).unwrap();
}

/// The link-layer address of an interface in the caller's network namespace.
pub fn link_address(name: &str) -> nix::Result<LinkAddr> {
    let mut interfaces = getifaddrs()?.filter(|interface| interface.interface_name == name);
    let found = interfaces.find_map(|interface| interface.address?.as_link_addr().copied());
    found.ok_or(nix::errno::Errno::ENODEV)
}

pub fn mac_of(inside: &Namespaces, interface: &str) -> Mac {
    inside.enter(|| Ok(link_address(interface)?.addr())).unwrap().unwrap()
}

/// The MAC address of the host's end, as the pod knows it.
pub fn gateway_mac(pod: &Namespaces) -> Mac {
    let neighbours = json(pod, &["ip", "-json", "neighbour", "show", "dev", "eth0"]);
    let gateway = neighbours.as_array().unwrap().iter().find(|entry| entry["dst"] == "169.254.1.1").unwrap();
    let bytes = gateway["lladdr"].as_str().unwrap().split(':').map(|byte| u8::from_str_radix(byte, 16).unwrap());
    bytes.collect::<Vec<_>>().try_into().unwrap()
}

fn json(inside: &Namespaces, command: &[&str]) -> Value {
    serde_json::from_str(&inside.exec(command).unwrap()).unwrap()
}

/// The addresses, routes and neighbours of a namespace, without what changes by itself. Of neighbours, those behind pods' devices and in pods.
fn tables(inside: &Namespaces) -> Vec<String> {
    let mut tables = Vec::new();
    for family in ["-4", "-6"] {
        for entry in json(inside, &["ip", "-json", family, "neighbour"]).as_array().unwrap() {
            let device = entry["dev"].as_str().unwrap_or_default();
            if device.starts_with("crk") || inside.name().contains("pod") {
                tables.push(format!("neighbour {device} {} {}", entry["dst"], entry["lladdr"]));
            }
        }
        for route in inside.exec(&["ip", family, "route", "show", "table", "all"]).unwrap().lines() {
            tables.push(format!("route {}", route.trim()));
        }
    }
    for link in json(inside, &["ip", "-json", "address"]).as_array().unwrap() {
        for address in link["addr_info"].as_array().into_iter().flatten() {
            tables.push(format!("address {} {}", link["ifname"], address["local"]));
        }
    }
    tables.sort();
    tables
}

#[test]
fn forged_packets_of_a_pod_reach_no_pod_and_no_table_of_a_host() {
    let mesh = Mesh::up(CLOUDS);
    mesh.all_reach();
    let forger = mesh.pod(FORGER).unwrap().namespaces();
    let (own, gateway) = (mac_of(forger, "eth0"), gateway_mac(forger));
    let frames = forged_frames(&mesh, own, gateway);

    let nodes = ["a1", "a2", "b1"].map(|node| mesh.node_namespaces(node));
    let pods = TARGETS.map(|pod| mesh.pod(pod).unwrap().namespaces());
    let look = || nodes.iter().chain(pods).map(tables).collect::<Vec<_>>();
    let before = look();
    let captures = pods.map(|pod| Capture::start(pod, "eth0", &filter()).unwrap());

    send_frames(forger, &frames);

    // The same way, with the pod's own address and MAC: it shows that frames of this form pass, and that those before it were handled.
    for (target, capture) in TARGETS.iter().zip(&captures) {
        for family in Family::BOTH {
            let (source, to) = (mesh.pod_address(FORGER, family), mesh.pod_address(target, family));
            send_frames(forger, &[("genuine", udp(own, gateway, source, to, GENUINE_PORT))]);
            let arrived = format!(" {source}.{GENUINE_PORT} > {to}.{GENUINE_PORT}");
            wait::until(&format!("the genuine packet at {target}"), || {
                Ok(capture.packets().iter().any(|packet| packet.contains(&arrived)).then_some(()))
            })
            .unwrap();
        }
    }
    for (target, capture) in TARGETS.iter().zip(captures) {
        let is_genuine = |packet: &String| packet.contains(&format!(".{GENUINE_PORT}:"));
        let forged: Vec<_> = capture.stop().unwrap().into_iter().filter(|packet| !is_genuine(packet)).collect();
        assert!(forged.is_empty(), "{target} receives {forged:#?}");
    }
    let after = look();
    for (inside, (before, after)) in nodes.iter().chain(pods).zip(before.iter().zip(&after)) {
        let changes: Vec<_> =
            before.iter().filter(|line| !after.contains(line)).map(|line| format!("- {line}")).collect();
        let added: Vec<_> =
            after.iter().filter(|line| !before.contains(line)).map(|line| format!("+ {line}")).collect();
        assert!(changes.is_empty() && added.is_empty(), "{}: {changes:#?} {added:#?}", inside.name());
    }
    assert!(mesh.warnings("a1").is_empty(), "{:?}", mesh.warnings("a1"));
    // A pod still has its own addresses.
    let receiver = pods[0].enter(|| Ok(UdpSocket::bind((Ipv4Addr::UNSPECIFIED, FORGED_PORT))?)).unwrap();
    receiver.set_nonblocking(true).unwrap();
    mesh.all_reach();
}

/// Requests from so many addresses. All network namespaces of a machine share one limit of neighbours.
const SOURCES: u16 = 100;

#[test]
fn a_pod_cannot_fill_the_tables_of_neighbours_of_its_host() {
    let mesh = Mesh::up(CLOUDS);
    mesh.all_reach();
    let forger = mesh.pod(FORGER).unwrap().namespaces();
    let (own, gateway) = (mac_of(forger, "eth0"), gateway_mac(forger));
    let IpAddr::V4(node) = mesh.internal_address("a1", Family::V4) else { panic!("IPv4") };
    let link_local = |number| Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0xbad, number);
    let mut frames = Vec::new();
    for number in 1..=SOURCES {
        let [high, low] = number.to_be_bytes();
        let mac = [0x02, 0xba, 0xd0, 0, high, low];
        frames.push(("ARP request", arp_request(mac, Ipv4Addr::new(10, 99, high, low), node)));
        frames.push(("neighbour solicitation", neighbour_solicitation(mac, link_local(number), GATEWAY_V6)));
        frames.push(("router solicitation", router_solicitation(mac, link_local(0x1000 + number))));
    }
    let host = mesh.node_namespaces("a1");
    let neighbours = || tables(&host).into_iter().filter(|line| line.starts_with("neighbour")).collect::<Vec<_>>();
    let before = neighbours();

    send_frames(forger, &frames);

    // A frame on the same device, after the others: they were handled.
    let (source, to) = (mesh.pod_address(FORGER, Family::V4), mesh.pod_address("a1-pod2", Family::V4));
    let capture = Capture::start(mesh.pod("a1-pod2").unwrap().namespaces(), "eth0", &filter()).unwrap();
    send_frames(forger, &[("genuine", udp(own, gateway, source, to, GENUINE_PORT))]);
    wait::until("the genuine packet", || Ok((!capture.packets().is_empty()).then_some(()))).unwrap();
    let after = neighbours();
    assert!(!before.is_empty() && before == after, "{} neighbours are {}", before.len(), after.len());
    mesh.all_reach();
}
