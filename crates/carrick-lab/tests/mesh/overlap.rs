//! A node whose own LAN has the same subnet as another location.

use std::net::{IpAddr, Ipv4Addr};

use carrick_lab::capture::Capture;
use carrick_lab::wait;

use crate::mesh::{Mesh, all_reach, reaches};

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
        ["node `o1`", SHARED, "subnet 10.77.0.0/24 of this node"].iter().all(|part| warning.contains(part))
    });
    assert!(named, "{warnings:#?}");
    assert!(mesh.warnings("c1").is_empty(), "{:#?}", mesh.warnings("c1"));
}
