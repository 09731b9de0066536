//! Packets on the wire: inside a location as the encapsulation says, between locations WireGuard only.

use carrick_lab::capture::{Capture, filter};

use crate::mesh::Mesh;

/// The gateway `a1` and the standby gateway `a2` share a subnet. `a3` is in another subnet.
fn clouds(encapsulation: &str, third: u8) -> Mesh {
    Mesh::up(&format!(
        "
agent: {{encapsulation: {encapsulation}}}
locations:
  - {{name: a, subnets: [{{}}, {{}}], nodes: [{{name: a1}}, {{name: a2}}, {{name: a3, subnet: {third}}}]}}
  - {{name: b, nodes: [{{name: b1}}]}}
"
    ))
}

/// Packets in location `a` while all endpoints send packets to each other.
struct Seen {
    /// VXLAN between the nodes' internal addresses, each with the inner packet.
    vxlan: Vec<String>,
    /// All other packets, except WireGuard, the API, and packets of the hosts themselves.
    plain: Vec<String>,
}

fn seen_while_all_endpoints_send(mesh: &Mesh) -> Seen {
    let within = |way: &str| {
        let nets = ["10.10.0.0/16", "198.51.100.0/28"].map(|net| format!("{way} net {net}"));
        let nets6 = ["fd00:10::/32", "2001:db8:10::/64"].map(|net| format!("ip6 {way} net {net}"));
        format!("({} or {})", nets.join(" or "), nets6.join(" or "))
    };
    let own = format!("{} and {}", within("src"), within("dst"));
    let plain = format!("not ({}) and not ({}) and not ({own})", filter::wireguard(), filter::background());
    let router = mesh.site("a").unwrap().router();
    let internal = "src net 10.10.0.0/16 and dst net 10.10.0.0/16";
    let vxlan = Capture::of_vxlan(router, "any", &format!("{} and {internal}", filter::vxlan())).unwrap();
    let strange = Capture::start(router, "any", &format!("{} and not ({internal})", filter::vxlan())).unwrap();
    let plain = Capture::start(router, "any", &plain).unwrap();
    let crossing = format!("not ({}) and not ({})", filter::wireguard(), filter::background());
    let internet = Capture::start(mesh.internet().namespaces(), "any", &crossing).unwrap();
    mesh.all_reach();
    let crossed = internet.stop().unwrap();
    assert!(crossed.is_empty(), "in the internet: {:#?}", crossed[0]);
    let strange = strange.stop().unwrap();
    assert!(strange.is_empty(), "VXLAN from or to other than internal addresses: {:#?}", strange[0]);
    Seen { vxlan: vxlan.stop().unwrap(), plain: plain.stop().unwrap() }
}

/// Whether the capture contains packets between two pods.
fn are_between(mesh: &Mesh, packets: &[String], one: &str, other: &str) -> bool {
    let address = |pod: &str| mesh.pod(pod).unwrap().addresses().v4.unwrap();
    let way = format!("{} > {}: ", address(one), address(other));
    packets.iter().any(|packet| packet.contains(&way))
}

#[test]
fn always_means_vxlan_and_nothing_else_inside_a_location() {
    let mesh = clouds("always", 1);
    let seen = seen_while_all_endpoints_send(&mesh);
    for (one, other) in [("a1-pod1", "a2-pod1"), ("a1-pod1", "a3-pod1"), ("b1-pod1", "a3-pod1")] {
        assert!(are_between(&mesh, &seen.vxlan, one, other), "{one} to {other} is not in VXLAN");
    }
    assert!(seen.plain.is_empty(), "{} packets, the first: {:#?}", seen.plain.len(), seen.plain[0]);
}

#[test]
fn cross_subnet_means_vxlan_between_subnets_alone() {
    let mesh = clouds("cross-subnet", 1);
    let seen = seen_while_all_endpoints_send(&mesh);
    assert!(are_between(&mesh, &seen.plain, "a1-pod1", "a2-pod1"), "not plain inside the subnet");
    assert!(!are_between(&mesh, &seen.vxlan, "a1-pod1", "a2-pod1"), "VXLAN inside the subnet");
    assert!(are_between(&mesh, &seen.vxlan, "a1-pod1", "a3-pod1"), "no VXLAN between the subnets");
    assert!(!are_between(&mesh, &seen.plain, "a1-pod1", "a3-pod1"), "plain between the subnets");
}

#[test]
fn never_means_plain_packets() {
    let mesh = clouds("never", 0);
    let seen = seen_while_all_endpoints_send(&mesh);
    assert!(are_between(&mesh, &seen.plain, "a1-pod1", "a3-pod1"));
    assert!(seen.vxlan.is_empty(), "{:#?}", seen.vxlan[0]);
}
