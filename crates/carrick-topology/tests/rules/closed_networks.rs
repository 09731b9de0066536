//! Networks of pods of which no node is known: no packet to them leaves in clear.

use carrick_topology::WarningReason;
use carrick_topology::model::Granularity;
use carrick_topology::plan::NextHop;
use carrick_topology::walk::{DropReason, Outcome};

use crate::fixtures::*;

fn former(list: &'static [&'static str]) -> impl FnOnce(&mut Mesh) {
    move |mesh| mesh.cluster.former_pod_cidrs = [("gone".parse().unwrap(), nets(list))].into()
}

fn is_closed(mesh: &Mesh, network: &str) -> bool {
    let plan = mesh.plan("a1");
    let carried = plan.firewall.carried.contains(&net(network));
    let device_may_carry = plan.firewall.carried_by.values().any(|nets| nets.contains(&net(network)));
    let route = next_hop(&plan, network) == Some(&NextHop::Unreachable);
    assert_eq!(route, carried && !device_may_carry, "routes and leak guard differ for {network}");
    route
}

#[test]
fn the_pod_cidr_of_a_node_that_is_gone_is_closed() {
    for granularity in [Granularity::Location, Granularity::Cross, Granularity::Full] {
        let mesh = mesh([node("a1"), node("b1")]).granularity(granularity);
        assert!(!is_closed(&mesh, "10.42.99.0/24"));
        let mesh = mesh.with(former(&["10.42.99.0/24", "fd42:0:0:99::/64"]));
        assert!(is_closed(&mesh, "10.42.99.0/24") && is_closed(&mesh, "fd42:0:0:99::/64"), "{granularity}");
        assert!(mesh.plan("a1").warnings.is_empty());
    }
}

#[test]
fn the_pod_cidr_of_a_node_without_a_key_is_closed() {
    let unpublished = node("b2").with(|node| node.public_key = None);
    let mesh = mesh([node("a1"), node("b1"), unpublished]);
    assert!(is_closed(&mesh, "10.42.22.0/24"));
}

#[test]
fn a_former_pod_cidr_closes_nothing_that_is_in_use() {
    let plain = mesh([node("a1"), node("b1")]).set(|settings| settings.service_cidrs = nets(&["10.96.0.0/12"]));
    let former = former(&["10.42.21.0/24", "10.42.21.128/25", "10.42.11.0/26", "10.4.7.0/24", "10.100.0.0/24"]);
    assert_eq!(plain.clone().with(former).plan("a1"), plain.plan("a1"));
}

#[test]
fn cluster_cidrs_are_closed_where_no_node_has_the_pods() {
    let mesh = mesh([node("a1"), node("b1")])
        .set(|settings| settings.cluster_cidrs = nets(&["10.42.0.0/16", "fd42::/48"]))
        .with(former(&["172.22.9.0/24"]));
    assert!(is_closed(&mesh, "10.42.0.0/16") && is_closed(&mesh, "fd42::/48"));
    assert!(!is_closed(&mesh, "172.22.9.0/24"), "the setting says which networks are the cluster's");
    let plan = mesh.plan("a1");
    assert_eq!(next_hop(&plan, "10.42.21.0/24"), Some(&NextHop::WireGuard));
    for own in ["10.42.11.0/24", "fd42:0:0:11::/64"] {
        assert_eq!(next_hop(&plan, own), Some(&NextHop::Throw), "the node's own pods are behind routes of table main");
    }
    let dropped = Outcome::Dropped("a1".parse().unwrap(), DropReason::UnreachableRoute);
    assert_eq!(mesh.walk("a1", "10.42.11.9", "10.42.99.7").outcome, dropped);
}

#[test]
fn what_the_host_reaches_otherwise_is_excepted_from_a_closed_network() {
    let networks = [(net("10.42.128.0/24"), "docker0".parse().unwrap())];
    let mesh = mesh([node("a1"), node("a2"), node("b1")]).set(|settings| {
        settings.cluster_cidrs = nets(&["10.0.0.0/8", "192.168.0.0/16"]);
        settings.service_cidrs = nets(&["10.96.0.0/12"]);
        settings.local.api_servers = ["10.9.9.9".parse().unwrap()].into();
        settings.local.networks = networks.into();
    });
    let plan = mesh.plan("a1");
    let excepted =
        ["10.42.128.0/24", "10.96.0.0/12", "10.9.9.9/32", "192.168.1.0/24", "192.168.1.2/32", "10.42.11.0/24"];
    for excepted in excepted {
        assert_eq!(next_hop(&plan, excepted), Some(&NextHop::Throw), "{excepted}");
        assert!(plan.firewall.direct.contains(&net(excepted)), "{excepted}");
    }
}

#[test]
fn a_cluster_cidr_inside_a_network_of_the_host_is_not_closed() {
    let networks = [(net("172.16.0.0/12"), "tun0".parse().unwrap())];
    let mesh = mesh([node("a1"), node("b1")]).set(|settings| {
        settings.cluster_cidrs = nets(&["172.22.0.0/16", "10.42.0.0/16", "fd42::/16"]);
        settings.local.networks = networks.into();
    });
    assert!(!is_closed(&mesh, "172.22.0.0/16"));
    let reason = WarningReason::OverlapsOwnSubnet("172.16.0.0/12 on tun0".to_owned());
    let expected = warning(node_object("a1"), "cluster-cidr", "172.22.0.0/16", reason);
    assert_eq!(mesh.plan("a1").warnings, [expected].into());
}

#[test]
fn a_pod_cidr_outside_of_the_cluster_cidrs_counts_and_every_plan_says_what_is_missing() {
    let outside = |cidrs: &[&str]| {
        let mesh = mesh([node("a1"), node("b1")]).set(|settings| settings.cluster_cidrs = nets(cidrs));
        let plan = mesh.plan("a1");
        assert_eq!(plan.warnings, mesh.plan("b1").warnings);
        assert_eq!(next_hop(&plan, "10.42.21.0/24"), Some(&NextHop::WireGuard));
        let warnings = plan.warnings.into_iter().filter(|warning| warning.reason == WarningReason::OutsideClusterCidrs);
        warnings.map(|warning| warning.value).collect::<Vec<_>>()
    };
    assert_eq!(outside(&["10.42.0.0/16", "fd42::/16"]), [""; 0]);
    assert_eq!(outside(&[]), [""; 0]);
    let two_of_ipv6 = outside(&["10.42.0.0/16"]);
    assert!(two_of_ipv6.len() == 2 && two_of_ipv6.iter().all(|net| net.contains(':')), "{two_of_ipv6:?}");
    assert_eq!(outside(&["10.244.0.0/16"]).len(), 4, "another network of pods, as in a copied line");
}
