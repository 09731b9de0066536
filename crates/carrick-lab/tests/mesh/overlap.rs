//! A node whose own LAN has the same subnet as another location.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use carrick_lab::capture::Capture;
use carrick_lab::namespace::Namespaces;
use carrick_lab::wait;

use crate::mesh::{Mesh, all_reach, is_cut_off, reaches};

/// The second device of the home has the same address as the office's node.
const SAME_NUMBERS: &str = "
families: v4
locations:
  - name: home
    families: v4
    subnets: [{v4: 10.77.0.0/24}]
    devices: [{name: first}, {name: second}]
    nodes: [{name: h1}]
  - {name: office, families: v4, subnets: [{v4: 10.77.0.200/30}], nodes: [{name: o1}]}
  - {name: cloud, families: v4, nodes: [{name: c1}, {name: c2}]}
";

const SHARED: &str = "10.77.0.202";

#[test]
fn the_own_lan_stays_reachable_and_everything_else_works() {
    let mesh = Mesh::up(SAME_NUMBERS);
    let shared: IpAddr = SHARED.parse().unwrap();
    let (second, namespaces) = mesh.site("home").unwrap().device("second").unwrap();
    assert_eq!(second.internal.v4.map(IpAddr::V4), Some(shared));
    assert_eq!(mesh.node("o1").unwrap().layout().internal.v4.map(IpAddr::V4), Some(shared));

    all_reach(&mesh.pods_only());
    let others = mesh.all_endpoints().into_iter().filter(|endpoint| !endpoint.name.starts_with("h1"));
    all_reach(&others.collect::<Vec<_>>());
    for asked in ["c1-pod1", "c2-pod1", "o1-pod1"] {
        let target = mesh.pod(asked).unwrap().addresses().v4.unwrap();
        assert!(reaches(&mesh.node_namespaces("h1"), target.into()), "h1 does not reach {asked}");
    }

    let device = Capture::start(namespaces, "eth0", &format!("icmp and dst host {SHARED}")).unwrap();
    assert!(reaches(&mesh.node_namespaces("h1"), shared));
    assert!(reaches(mesh.pod("h1-pod1").unwrap().namespaces(), shared));
    assert!(reaches(&mesh.node_namespaces("c1"), shared));
    assert!(reaches(mesh.pod("c2-pod1").unwrap().namespaces(), shared));
    // When a packet of the neighbour is seen, all before it were.
    let (neighbour, neighbours_namespaces) = mesh.site("home").unwrap().device("first").unwrap();
    assert!(reaches(neighbours_namespaces, shared));
    let from =
        |address: Option<Ipv4Addr>| move |packet: &String| packet.contains(&format!("IP {} >", address.unwrap()));
    wait::until("the neighbour's packet", || {
        Ok(device.packets().iter().any(from(neighbour.internal.v4)).then_some(()))
    })
    .unwrap();
    let (from_home, others): (Vec<_>, Vec<_>) =
        device.stop().unwrap().into_iter().partition(from(mesh.node("h1").unwrap().layout().internal.v4));
    assert!(from_home.len() >= 2, "another machine answered: {from_home:#?}");
    assert!(others.iter().all(from(neighbour.internal.v4)), "meant for the office: {others:#?}");

    let warnings = mesh.warnings("h1");
    let named = warnings.iter().any(|warning| {
        ["node `o1`", SHARED, "overlaps the network 10.77.0.0/24"].iter().all(|part| warning.contains(part))
    });
    assert!(named, "{warnings:#?}");
    assert!(mesh.warnings("c1").is_empty(), "{:#?}", mesh.warnings("c1"));
}

/// The device by which a node sends to an address; `unreachable` if it does not send.
fn device_to(mesh: &Mesh, node: &str, address: &str) -> String {
    let Ok(route) = mesh.node_namespaces(node).exec(&["ip", "-json", "route", "get", address]) else {
        return "unreachable".to_owned();
    };
    let route: serde_json::Value = serde_json::from_str(&route).unwrap();
    route[0]["dev"].as_str().unwrap().to_owned()
}

fn await_device(mesh: &Mesh, node: &str, address: &str, device: &str) {
    let what = format!("{node} sends to {address} by {device}");
    wait::until(&what, || Ok((device_to(mesh, node, address) == device).then_some(()))).unwrap();
}

#[test]
fn a_vpn_that_comes_up_keeps_its_networks_until_it_is_gone() {
    let mesh = Mesh::up(
        "
agent: {flags: ['--standby-gateways=0']}
locations:
  - {name: a, families: v4, nodes: [{name: a1}]}
  - {name: b, families: v4, nodes: [{name: b1}]}
",
    );
    mesh.all_reach();
    let far = mesh.internal_address("b1", carrick_topology::Family::V4);
    let [far, in_mesh_cidr, routed] = [far.to_string(), "10.4.255.200".to_owned(), "10.4.254.200".to_owned()];
    let [behind_router, in_other_table] = ["10.4.253.200", "10.4.252.200"];
    assert_eq!(device_to(&mesh, "a1", &far), "carrick0");
    assert_eq!(device_to(&mesh, "a1", &in_mesh_cidr), "unreachable");

    let network = format!("{}/24", far.rsplit_once('.').unwrap().0.to_owned() + ".0");
    let node = mesh.node_namespaces("a1");
    node.exec(&["ip", "link", "add", "vpn0", "type", "veth", "peer", "name", "vpn1"]).unwrap();
    node.exec(&["ip", "address", "add", "10.4.255.1/24", "dev", "vpn0"]).unwrap();
    node.exec(&["ip", "link", "set", "vpn0", "up"]).unwrap();
    node.exec(&["ip", "link", "set", "vpn1", "up"]).unwrap();
    await_device(&mesh, "a1", &in_mesh_cidr, "vpn0");
    assert_eq!(device_to(&mesh, "a1", &far), "carrick0", "no network of the VPN");
    node.exec(&["ip", "route", "add", &network, "dev", "vpn0"]).unwrap();
    node.exec(&["ip", "route", "add", "10.4.254.0/24", "dev", "vpn0"]).unwrap();
    await_device(&mesh, "a1", &far, "vpn0");
    await_device(&mesh, "a1", &routed, "vpn0");
    node.exec(&["ip", "route", "add", "10.4.253.0/24", "via", "10.4.255.254"]).unwrap();
    await_device(&mesh, "a1", behind_router, "vpn0");
    node.exec(&["ip", "route", "add", "10.4.252.0/24", "via", "10.4.255.254", "table", "52"]).unwrap();
    node.exec(&["ip", "rule", "add", "priority", "5270", "lookup", "52"]).unwrap();
    await_device(&mesh, "a1", in_other_table, "vpn0");
    wait::until("the warnings", || {
        let warnings = mesh.warnings("a1");
        let is_told = |text: &str| warnings.iter().any(|warning| warning.contains(text));
        let all = [
            format!("`{far}/32` overlaps the network"),
            "10.4.255.0/24 on vpn0".into(),
            "10.4.254.0/24".into(),
            "10.4.253.0/24 via 10.4.255.254 on vpn0".into(),
            "10.4.252.0/24 via 10.4.255.254 on vpn0".into(),
        ];
        Ok(all.iter().all(|text| is_told(text)).then_some(()))
    })
    .unwrap();
    all_reach(&mesh.pods_only());
    let own = mesh.internal_address("b1", carrick_topology::Family::V4).to_string();
    wait::until("b1 uses its mesh address towards a1", || {
        let warnings = mesh.warnings("b1");
        Ok((warnings.len() == 1 && warnings[0].contains(&own) && warnings[0].contains("mesh address")).then_some(()))
    })
    .unwrap();

    node.exec(&["ip", "link", "delete", "vpn0"]).unwrap();
    await_device(&mesh, "a1", &far, "carrick0");
    wait::until("no warning", || Ok(mesh.warnings("a1").is_empty().then_some(()))).unwrap();
    mesh.all_reach();
}

/// For how long the ends of a tunnel could come to different findings of it.
const OBSERVED: Duration = Duration::from_secs(5);

/// A second network card of a node, `lan9`.
fn add_lan(node: &Namespaces) {
    node.exec(&["ip", "link", "add", "lan9", "type", "veth", "peer", "name", "lan9-peer"]).unwrap();
    node.exec(&["ip", "link", "set", "lan9", "up"]).unwrap();
    node.exec(&["ip", "link", "set", "lan9-peer", "up"]).unwrap();
}

/// The mesh address of a node over IPv4.
fn mesh_address(mesh: &Mesh, node: &str) -> Ipv4Addr {
    let addresses = &mesh.status(node)["plan"]["mesh_addresses"];
    addresses.as_array().unwrap().iter().find_map(|address| address.as_str()?.parse().ok()).unwrap()
}

/// The state of a path as the node's prober finds it.
fn path_state(mesh: &Mesh, from: &str, to: &str) -> String {
    let status = mesh.status(from);
    let paths = status["paths"].as_array().unwrap();
    let path = paths.iter().find(|path| path["to"] == to).unwrap_or_else(|| panic!("{from} does not probe {to}"));
    path["state"].as_str().unwrap().to_owned()
}

fn a_lan_around_a_mesh_address_cuts_off_no_pod(families: &str) {
    let topology = "
agent: {flags: ['--standby-gateways=1']}
families: FAMILIES
locations:
  - {name: a, families: FAMILIES, nodes: [{name: a1}]}
  - {name: b, families: FAMILIES, nodes: [{name: b1}, {name: b2}]}
";
    let mesh = Mesh::up(&topology.replace("FAMILIES", families));
    mesh.all_reach();
    let far = mesh_address(&mesh, "a1");
    let own_of_lan = Ipv4Addr::from(u32::from(far) ^ 1);
    let node = mesh.node_namespaces("b1");
    add_lan(&node);
    node.exec(&["ip", "address", "add", &format!("{own_of_lan}/30"), "dev", "lan9"]).unwrap();
    await_device(&mesh, "b1", &far.to_string(), "lan9");

    std::thread::sleep(OBSERVED);
    assert_eq!([path_state(&mesh, "a1", "b1"), path_state(&mesh, "b1", "a1")], ["up", "up"]);
    all_reach(&mesh.pods_only());
    for node in ["a1", "b1", "b2"] {
        assert_eq!(mesh.logged(node, "event=\"gateway_down\""), Vec::<String>::new(), "{node}");
    }
}

#[test]
fn a_lan_around_a_mesh_address_cuts_off_no_pod_over_ipv4() {
    a_lan_around_a_mesh_address_cuts_off_no_pod("v4");
}

#[test]
fn a_lan_around_a_mesh_address_cuts_off_no_pod_over_both_families() {
    a_lan_around_a_mesh_address_cuts_off_no_pod("dual");
}

/// A network that contains another node's pod CIDR, or is the same.
#[test]
fn a_lan_around_a_pod_cidr_gets_no_packet_of_pods() {
    let mesh = Mesh::up(
        "
locations:
  - {name: a, families: v4, nodes: [{name: a1}]}
  - {name: b, families: v4, nodes: [{name: b1}]}
",
    );
    mesh.all_reach();
    let IpAddr::V4(pod) = mesh.pod_address("a1-pod1", carrick_topology::Family::V4) else { panic!("not IPv4") };
    let node = mesh.node_namespaces("b1");
    add_lan(&node);
    let capture = Capture::start(&node, "lan9", "arp or icmp").unwrap();
    for prefix in [24, 25] {
        let own = Ipv4Addr::from(u32::from(pod) | 0x40);
        node.exec(&["ip", "address", "add", &format!("{own}/{prefix}"), "dev", "lan9"]).unwrap();
        await_device(&mesh, "b1", &pod.to_string(), "lan9");
        node.exec(&["ip", "neighbour", "replace", &pod.to_string(), "lladdr", "02:00:00:00:00:99", "dev", "lan9"])
            .unwrap();
        assert!(is_cut_off(mesh.pod("b1-pod1").unwrap().namespaces(), pod.into()));
        node.exec(&["ip", "address", "del", &format!("{own}/{prefix}"), "dev", "lan9"]).unwrap();
        await_device(&mesh, "b1", &pod.to_string(), "carrick0");
    }
    let packets = capture.stop().unwrap();
    let to_pod: Vec<&String> = packets.iter().filter(|packet| packet.contains(&format!("> {pod}"))).collect();
    assert!(to_pod.is_empty(), "packets of pods in clear: {to_pod:#?}");
    assert!(
        mesh.metric("b1", "carrick_dropped_packets_total{reason=\"mesh-destination-in-clear\"}")
            .is_some_and(|count| count > 0.0)
    );
    mesh.all_reach();
}

#[test]
fn a_routing_rule_that_comes_before_carricks_is_said_until_it_is_gone() {
    let mesh = Mesh::up("locations: [{name: a, nodes: [{name: a1}]}, {name: b, nodes: [{name: b1}]}]");
    mesh.all_reach();
    let node = mesh.node_namespaces("a1");
    let ip = |command: &str| node.exec(&[&["ip"], &command.split(' ').collect::<Vec<_>>()[..]].concat()).unwrap();
    ip("link add vpn0 type veth peer name vpn1");
    ip("link set vpn0 up");
    ip("link set vpn1 up");
    ip("route add default dev vpn0 table 200");
    let await_said = |said: &[&str]| {
        wait::until("the warnings", || {
            let warnings = mesh.warnings("a1");
            let is_said = said.iter().all(|text| warnings.iter().any(|warning| warning.contains(text)));
            Ok((is_said && warnings.len() == said.len()).then_some(()))
        })
        .unwrap();
    };
    await_said(&[]);
    // The kernel asks these after Carrick's rules, for no packets of the mesh, or for marked ones.
    ip("rule add priority 2000 lookup 200");
    ip("rule add priority 90 from 172.17.0.0/16 lookup 200");
    ip("rule add priority 91 fwmark 0x77 lookup 200");
    ip("rule add priority 100 lookup 200");
    await_said(&["`100: from all lookup 200` comes before"]);
    let readyz = mesh.node("a1").unwrap().agent_page("/readyz").unwrap();
    assert!(readyz.body.contains("`100: from all lookup 200` comes before"), "the same words: {}", readyz.body);
    let pod = mesh.pod_address("b1-pod1", carrick_topology::Family::V4);
    assert_eq!(device_to(&mesh, "a1", &pod.to_string()), "vpn0", "packets for the mesh do take that way");

    ip(&format!("rule add priority 80 to {pod} lookup 200"));
    await_said(&["`100: from all lookup 200` comes before", &format!("`80: from all to {pod}/32 lookup 200`")]);
    ip("rule delete priority 2000");
    ip("rule delete priority 80");
    ip("rule delete priority 100");
    await_said(&[]);
    mesh.all_reach();
}
