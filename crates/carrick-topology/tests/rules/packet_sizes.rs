//! MTUs of devices, routes and pods.

use carrick_topology::Endpoint;
use carrick_topology::model::{Encapsulation, Family, Granularity, MtuSetting};

use crate::fixtures::*;

fn v4_only(mesh: Mesh) -> Mesh {
    let names: Vec<String> = mesh.cluster.nodes.keys().map(ToString::to_string).collect();
    names.iter().fold(mesh, |mesh, name| {
        mesh.change(name, |node| {
            node.advertised_endpoints.retain(|endpoint| endpoint.address().is_some_and(|address| address.is_ipv4()));
        })
    })
}

fn v6_only(mesh: Mesh) -> Mesh {
    let names: Vec<String> = mesh.cluster.nodes.keys().map(ToString::to_string).collect();
    names.iter().fold(mesh, |mesh, name| {
        mesh.change(name, |node| {
            let is_v6 = |endpoint: &Endpoint| endpoint.address().is_some_and(|address| address.is_ipv6());
            node.advertised_endpoints.retain(is_v6);
            let location = name.as_bytes()[0] - b'a' + 1;
            node.internal_addresses = internal(&[&format!("fd99:0:0:{location}::{}/64", &name[1..])]);
        })
    })
}

fn world() -> Mesh {
    mesh([node("a1"), node("a2"), node("a3"), node("b1")])
}

fn uplink(bytes: u32) -> impl FnOnce(&mut carrick_topology::Settings) {
    move |settings| settings.local.uplink_mtu = bytes
}

#[test]
fn tunnels_over_ipv4_cost_60_bytes_and_over_ipv6_80() {
    let v4 = v4_only(world()).plan("a1");
    assert_eq!((v4.wireguard.mtu, v4.vxlan.mtu, v4.pod_mtu), (1440, 1450, 1440));
    let v6 = v6_only(world()).plan("a1");
    assert_eq!((v6.wireguard.mtu, v6.vxlan.mtu, v6.pod_mtu), (1420, 1430, 1420));
}

#[test]
fn one_tunnel_that_may_run_over_ipv6_makes_room_for_it() {
    let plan = world().plan("b1");
    assert_eq!(plan.wireguard.mtu, 1440, "all are dialled over IPv4");
    let waits = mesh([nat_node("a1"), node("b1")]).plan("b1");
    assert_eq!(waits.wireguard.mtu, 1420, "the node behind NAT may dial either address");
}

#[test]
fn a_node_without_tunnels_leaves_room_for_its_gateways() {
    let inner = v4_only(world()).plan("a3");
    assert!(inner.wireguard.peers.is_empty());
    assert_eq!(inner.pod_mtu, 1440);
    let route = |mesh: &Mesh, pods: &str| routes(&mesh.plan("a3"), pods)[0].mtu;
    assert_eq!(route(&v4_only(world()), "10.42.21.0/24"), Some(1440), "by VXLAN to the gateway, then by tunnel");
    assert_eq!(route(&v4_only(world()), "10.42.12.0/24"), None, "by VXLAN alone");
    let plain = v4_only(world()).set(|settings| settings.encapsulation = Encapsulation::CrossSubnet);
    assert_eq!(route(&plain, "10.42.21.0/24"), Some(1440), "plainly to the gateway, then by tunnel");
    assert_eq!(route(&plain, "10.42.12.0/24"), None);
}

#[test]
fn the_uplinks_mtu_counts() {
    let plan = v4_only(world()).set(uplink(1400)).plan("a1");
    assert_eq!((plan.wireguard.mtu, plan.vxlan.mtu, plan.pod_mtu), (1340, 1350, 1340));
}

/// `b1` is dialled at this address.
fn dialled_at(endpoint: &str) -> Mesh {
    v4_only(world()).change("b1", |node| node.advertised_endpoints = endpoints(&[endpoint]))
}

/// Nodes with uplinks of 9001 bytes, and no measured path: a probe of any size passes, because routers fragment outer packets.
#[test]
fn tunnels_over_the_internet_carry_what_the_internet_carries_unfragmented() {
    for (mesh, mtu) in [(v4_only(world()), 1440), (v6_only(world()), 1420)] {
        let mesh = mesh.set(uplink(9001));
        for node in ["a1", "a3"] {
            let plan = mesh.plan(node);
            assert_eq!((plan.wireguard.mtu, plan.pod_mtu), (mtu, mtu), "{node}");
        }
        let probed = &mesh.plan("a1").probes.targets["b1"];
        assert_eq!(probed.device_mtu, mtu, "no probe is larger");
    }
    let behind_nat = v4_only(mesh([nat_node("a1"), node("b1")])).set(uplink(9001)).plan("b1");
    assert_eq!((behind_nat.wireguard.mtu, behind_nat.pod_mtu), (1440, 1440), "a node that dials in");

    let private = dialled_at("172.31.0.1").set(uplink(9001));
    for node in ["a1", "a3"] {
        let plan = private.plan(node);
        assert_eq!((plan.wireguard.mtu, plan.pod_mtu), (8941, 8941), "a private interconnect: probes decide");
    }
    let both = v4_only(mesh([node("a1"), node("b1"), node("c1")])).set(uplink(9001));
    let both = both.change("c1", |node| node.advertised_endpoints = endpoints(&["172.31.0.1"]));
    let plan = both.plan("a1");
    let mtu = |net: &str| routes(&plan, net)[0].mtu;
    assert_eq!((plan.wireguard.mtu, mtu("10.42.21.0/24"), mtu("10.42.31.0/24")), (8941, Some(1440), None));
    assert_eq!(plan.pod_mtu, 1440, "pods use both");

    let chosen = dialled_at("198.51.2.1").set(uplink(9001)).set(|settings| settings.mtu = MtuSetting::Bytes(8900));
    assert_eq!(chosen.plan("a1").wireguard.mtu, 8900, "the operator knows better");
}

#[test]
fn vxlan_has_the_size_of_the_devices_that_carry_internal_addresses() {
    let internal = |family, bytes| {
        let plan = v4_only(world()).set(|settings| settings.local.internal_mtus = [(family, bytes)].into()).plan("a3");
        (plan.vxlan.mtu, plan.pod_mtu, plan.probes.targets["a1"].device_mtu)
    };
    assert_eq!(
        internal(Family::V4, 1450),
        (1400, 1400, 1450),
        "a private network of 1450 behind a default route of 1500"
    );
    assert_eq!(internal(Family::V4, 9000), (8950, 1440, 9000), "the tunnels take less");
    assert_eq!(internal(Family::V6, 1450), (1450, 1440, 1500), "the location uses the other family");
}

#[test]
fn a_tunnel_has_the_size_of_the_device_towards_its_endpoint() {
    let towards = |endpoint: &str, bytes| {
        let mtus = [(endpoint.parse().unwrap(), bytes)].into();
        let mesh = v4_only(mesh([node("a1"), node("b1"), node("c1")]));
        let plan = mesh.set(|settings| settings.local.endpoint_mtus = mtus).plan("a1");
        let mtu = |net: &str| routes(&plan, net)[0].mtu;
        (plan.wireguard.mtu, mtu("10.42.21.0/24"), mtu("10.42.31.0/24"), plan.pod_mtu)
    };
    assert_eq!(towards("198.51.2.1", 1450), (1440, Some(1376), None, 1376), "b1 is behind a narrow device");
    for (device, route) in [(1492, Some(1432 / 16 * 16)), (1451, Some(1376)), (1452, Some(1392)), (1400, Some(1328))] {
        assert_eq!(towards("198.51.2.1", device).1, route, "{device}: WireGuard pads to a multiple of 16");
    }
    assert_eq!(towards("198.51.2.1", 9000), (1440, None, None, 1440));
    assert_eq!(towards("203.0.113.9", 1300), (1440, None, None, 1440), "no endpoint of the plan");
    let full = v4_only(world()).granularity(Granularity::Full);
    let full = full.set(|settings| settings.local.endpoint_mtus = [("192.168.1.2".parse().unwrap(), 1450)].into());
    assert_eq!(routes(&full.plan("a1"), "10.42.12.0/24")[0].mtu, Some(1376), "a tunnel inside the location");
}

#[test]
fn below_1280_the_devices_stay_there_and_ipv4_routes_carry_the_rest() {
    let plan = v4_only(world()).set(uplink(1296)).plan("a1");
    assert_eq!((plan.wireguard.mtu, plan.vxlan.mtu, plan.pod_mtu), (1280, 1280, 1280));
    assert_eq!(routes(&plan, "10.42.21.0/24")[0].mtu, Some(1236));
    assert_eq!(routes(&plan, "fd42:0:0:21::/64")[0].mtu, None, "IPv6 has no paths below 1280 bytes");
    assert_eq!(routes(&plan, "10.42.12.0/24")[0].mtu, Some(1246));
    assert_eq!(routes(&plan, "fd42:0:0:12::/64")[0].mtu, None);
}

#[test]
fn an_explicit_mtu_is_used_unchanged() {
    let plan = world().set(|settings| settings.mtu = MtuSetting::Bytes(1300)).plan("a1");
    assert_eq!((plan.wireguard.mtu, plan.pod_mtu, plan.vxlan.mtu), (1300, 1300, 1450));
    let small = world().set(|settings| settings.mtu = MtuSetting::Bytes(1200)).plan("a1");
    assert_eq!((small.wireguard.mtu, routes(&small, "10.42.21.0/24")[0].mtu), (1280, Some(1200)));
}

#[test]
fn a_narrow_tunnel_shows_in_the_ipv4_routes_through_it_and_in_no_other() {
    let narrow = |settings: &mut carrick_topology::Settings| {
        settings.local.path_mtus = [("b1".parse().unwrap(), 1240)].into();
    };
    let mesh = mesh([node("a1"), node("a2"), node("b1"), node("c1")]).set(narrow);
    let plan = mesh.plan("a1");
    let mtu = |net: &str| routes(&plan, net)[0].mtu;
    assert_eq!((mtu("10.42.21.0/24"), mtu("10.42.31.0/24"), mtu("10.42.12.0/24")), (Some(1240), None, None));
    assert_eq!(mtu("fd42:0:0:21::/64"), Some(1280), "no IPv6 path is smaller");
    let narrow = &plan.firewall.narrow;
    assert_eq!(narrow.keys().collect::<Vec<_>>(), [&1180], "TCP is told instead");
    assert!(narrow[&1180].contains(&net("fd42:0:0:21::/64")) && !narrow[&1180].contains(&net("10.42.21.0/24")));
}

#[test]
fn a_narrow_path_inside_the_location_leaves_room_for_vxlan() {
    let narrow = |settings: &mut carrick_topology::Settings| {
        settings.local.path_mtus = [("a1".parse().unwrap(), 1400)].into();
    };
    let plan = mesh([node("a1"), node("a2"), node("b1")]).set(|s| s.standby_gateways = 0).set(narrow).plan("a2");
    let mtu = |net: &str| routes(&plan, net)[0].mtu;
    assert_eq!((mtu("10.42.11.0/24"), mtu("10.42.21.0/24")), (Some(1350), Some(1350)));
}
