//! A bad value affects its owner only: the plans are those of a cluster without the value, and a warning names it.

use carrick_topology::mesh_address::choose_mesh_addresses;
use carrick_topology::model::{AgentVersion, Endpoint, InternalAddresses};
use carrick_topology::plan::NodePlan;
use carrick_topology::{Warning, WarningReason};

use crate::fixtures::*;

/// Every plan of `bad` equals that of `clean`, except for this warning.
fn assert_only_this_is_ignored(clean: &Mesh, bad: &Mesh, expected: &Warning) {
    let without_warnings = |plan: &NodePlan| NodePlan { warnings: Default::default(), ..plan.clone() };
    let (clean, bad) = (clean.plans(), bad.plans());
    assert_eq!(clean.keys().collect::<Vec<_>>(), bad.keys().collect::<Vec<_>>(), "{expected}");
    for (name, plan) in &bad {
        let added: Vec<&Warning> = plan.warnings.difference(&clean[name].warnings).collect();
        assert_eq!(added, [expected], "on {name}");
        assert_eq!(without_warnings(plan), without_warnings(&clean[name]), "{expected}: on {name}");
    }
}

fn world() -> Mesh {
    mesh([node("a1"), node("a2"), node("b1"), node("b2"), node("b3")])
        .peer(outside("laptop", 200, &["172.30.0.1/32"]))
        .set(|settings| settings.service_cidrs = nets(&["10.96.0.0/12"]))
}

fn cluster(what: &str) -> WarningReason {
    WarningReason::OverlapsCluster(what.to_owned())
}

fn already_claimed(name: &str) -> WarningReason {
    WarningReason::AlreadyClaimed(node_object(name))
}

#[test]
fn a_public_key_that_an_older_node_has() {
    let clean = world().change("b2", |node| node.public_key = None);
    let bad = world().change("b2", |node| node.public_key = Some(key(11)));
    let expected = warning(node_object("b2"), "public-key", &key(11).to_string(), already_claimed("a1"));
    assert_only_this_is_ignored(&clean, &bad, &expected);
}

#[test]
fn a_public_key_that_another_node_proves_to_hold() {
    let proof = format!("{}==", "A".repeat(86)).parse().ok();
    let clean = world().change("b2", |node| node.public_key_proof = proof).change("a1", |node| node.public_key = None);
    let bad = clean.clone().change("a1", |node| node.public_key = Some(key(22)));
    let reason = WarningReason::KeyOfOther(node_object("b2"));
    let expected = warning(node_object("a1"), "public-key", &key(22).to_string(), reason);
    assert_only_this_is_ignored(&clean, &bad, &expected);

    // Clones of one disk both have a proof: the older node is the one that was there before.
    let clean = world().change("a1", |node| node.public_key_proof = proof).change("b2", |node| node.public_key = None);
    let bad = clean.clone().change("b2", |node| (node.public_key, node.public_key_proof) = (Some(key(11)), proof));
    let expected = warning(node_object("b2"), "public-key", &key(11).to_string(), already_claimed("a1"));
    assert_only_this_is_ignored(&clean, &bad, &expected);
}

#[test]
fn a_mesh_address_that_belongs_to_the_name_of_a_younger_node() {
    let mut fresh = world().change("b2", |node| node.mesh_addresses.clear());
    let own = choose_mesh_addresses(&fresh.cluster, &fresh.settings.mesh_cidrs, &"b2".parse().unwrap());
    fresh = fresh.change("b2", |node| node.mesh_addresses.clone_from(&own));
    for address in own {
        let clean =
            fresh.clone().change("a1", |node| node.mesh_addresses.retain(|kept| kept.is_ipv4() != address.is_ipv4()));
        let bad = clean.clone().change("a1", |node| assert!(node.mesh_addresses.insert(address)));
        let reason = WarningReason::AddressOfOther(node_object("b2"));
        let expected = warning(node_object("a1"), "mesh-addresses", &address.to_string(), reason);
        assert_only_this_is_ignored(&clean, &bad, &expected);
    }
}

#[test]
fn an_advertised_endpoint_that_is_an_address_of_another_node() {
    for (address, owner) in [("192.168.1.2", "a2"), ("fd99:0:0:1::2", "a2"), ("192.168.2.2", "b2"), ("10.4.0.22", "b2")]
    {
        let clean = world().change("b1", |node| node.advertised_endpoints = endpoints(&["198.51.2.1"]));
        let endpoint: Endpoint =
            if address.contains(':') { format!("[{address}]:51820") } else { address.to_owned() }.parse().unwrap();
        let bad = clean.clone().change("b1", |node| assert!(node.advertised_endpoints.insert(endpoint.clone())));
        let reason = cluster(&format!("an internal or mesh address of node `{owner}`"));
        let expected = warning(node_object("b1"), "advertised-endpoints", &endpoint.to_string(), reason);
        // A private address beside a public one of the family is no endpoint in any case.
        let only = |mesh: Mesh| mesh.change("b1", |node| node.advertised_endpoints.retain(|found| *found == endpoint));
        if address.contains(':') {
            assert_only_this_is_ignored(&clean, &bad, &expected);
        }
        let only = only(bad);
        assert!(only.plan("a1").warnings.contains(&expected), "{:?}", only.plan("a1").warnings);
        let carried = |mesh: &Mesh, node: &str| {
            mesh.plan(node).routes.iter().any(|route| route.destination.to_string().starts_with(address))
        };
        let from = if owner == "a2" { "b2" } else { "a2" };
        assert!(carried(&only, from), "{from} carries {address}");
    }
}

#[test]
fn pod_cidrs_that_overlap_others() {
    for (cidr, reason) in [
        ("10.42.11.0/24", already_claimed("a1")),
        ("10.42.11.128/25", already_claimed("a1")),
        ("10.42.22.0/25", already_claimed("b2")),
        ("fd42:0:0:12::/80", already_claimed("a2")),
        ("10.4.7.0/24", cluster("the mesh CIDR 10.4.0.0/16")),
        ("10.100.0.0/24", cluster("the Service CIDR 10.96.0.0/12")),
    ] {
        let bad = world().change("b2", |node| assert!(node.pod_cidrs.insert(net(cidr))));
        let expected = warning(node_object("b2"), "pod-cidrs", cidr, reason);
        // Of overlapping networks of one node, the first one in the order counts; the bad one is later in the order.
        assert_only_this_is_ignored(&world(), &bad, &expected);
    }
}

#[test]
fn mesh_addresses_that_are_ignored_are_reported() {
    let one_per_family = || WarningReason::Unreadable("one address for each family".to_owned());
    for (address, reason) in [
        ("192.0.2.1", WarningReason::OutsideMeshCidr),
        ("10.4.0.99", one_per_family()),
        ("10.4.0.11", already_claimed("a1")),
    ] {
        let clean = world().change("b2", |node| {
            if address == "10.4.0.11" {
                node.mesh_addresses.retain(|address| address.is_ipv6());
            }
        });
        let bad = clean.clone().change("b2", |node| assert!(node.mesh_addresses.insert(address.parse().unwrap())));
        let expected = warning(node_object("b2"), "mesh-addresses", address, reason);
        if address == "10.4.0.11" {
            let plan = bad.plan("a1");
            assert!(plan.warnings.contains(&expected), "{:?}", plan.warnings);
            assert_eq!(bad.plan("b2").mesh_addresses, clean.plan("b2").mesh_addresses);
        } else {
            assert_only_this_is_ignored(&clean, &bad, &expected);
        }
    }
}

#[test]
fn internal_addresses_that_are_ignored_are_reported() {
    for (net, reason) in [
        ("198.51.7.7/24", WarningReason::PublicInternalAddress),
        ("192.168.1.1/24", already_claimed("a1")),
        ("10.42.11.7/24", cluster("the pod CIDR 10.42.11.0/24 of node `a1`")),
        ("10.4.9.9/24", cluster("the mesh CIDR 10.4.0.0/16")),
        ("10.97.0.9/24", cluster("the Service CIDR 10.96.0.0/12")),
    ] {
        let bad = world().change("b2", |node| {
            let InternalAddresses::Advertised(nets) = &mut node.internal_addresses else { panic!("advertised") };
            nets.insert(net.parse().unwrap());
        });
        let expected = warning(node_object("b2"), "advertised-internal-addresses", net, reason);
        assert_only_this_is_ignored(&world(), &bad, &expected);
    }
}

#[test]
fn warnings_of_forced_internal_addresses_name_the_annotation() {
    let force = |list: &[&str]| InternalAddresses::Forced(nets(list));
    let clean = world().change("b2", |node| node.internal_addresses = force(&["192.168.2.2/24"]));
    let bad = world().change("b2", |node| node.internal_addresses = force(&["192.168.2.2/24", "10.4.9.9/24"]));
    let reason = cluster("the mesh CIDR 10.4.0.0/16");
    assert_only_this_is_ignored(&clean, &bad, &warning(node_object("b2"), "internal-addresses", "10.4.9.9/24", reason));
}

#[test]
fn allowed_location_cidrs_that_overlap() {
    let declares = |list: &[&str]| {
        world()
            .change("a2", |node| node.allowed_location_cidrs = nets(&["172.20.0.0/16"]))
            .change("b2", |node| node.allowed_location_cidrs = nets(list))
    };
    for (cidr, reason) in [
        ("172.20.7.0/24", already_claimed("a2")),
        ("172.16.0.0/12", already_claimed("a2")),
        ("10.42.11.0/25", cluster("the pod CIDR 10.42.11.0/24 of node `a1`")),
        ("10.96.5.0/24", cluster("the Service CIDR 10.96.0.0/12")),
        ("10.4.5.0/24", cluster("the mesh CIDR 10.4.0.0/16")),
        ("192.168.2.3/32", cluster("an internal address of node `b3`")),
    ] {
        let expected = warning(node_object("b2"), "allowed-location-cidrs", cidr, reason);
        assert_only_this_is_ignored(&declares(&["172.21.0.0/24"]), &declares(&["172.21.0.0/24", cidr]), &expected);
    }
}

#[test]
fn a_default_route_is_no_network_of_a_location_or_peer() {
    for everything in ["0.0.0.0/0", "::/0"] {
        let bad = world().change("b2", |node| node.allowed_location_cidrs = nets(&[everything]));
        let plan = bad.plan("a1");
        assert!(plan.warnings.iter().any(|warning| warning.value == everything), "{:?}", plan.warnings);
        assert!(routes(&plan, everything).is_empty());
        let bad = world().peer(outside("vpn", 201, &[everything]));
        for plan in bad.plans().values() {
            assert!(plan.warnings.iter().any(|warning| warning.value == everything), "{:?}", plan.warnings);
            assert!(routes(plan, everything).is_empty());
            assert!(plan.wireguard.peers.values().all(|peer| !peer.allowed_ips.contains(&net(everything))));
        }
    }
}

#[test]
fn a_peer_with_the_key_of_a_node_or_of_an_older_peer() {
    for (number, owner) in [(11, node_object("a1")), (200, peer_object("laptop"))] {
        let bad = outside("second", 201, &["172.30.9.0/24"]).with(|peer| peer.public_key = key(number));
        let reason = WarningReason::AlreadyClaimed(owner);
        let expected = warning(peer_object("second"), "publicKey", &key(number).to_string(), reason);
        assert_only_this_is_ignored(&world(), &world().peer(bad), &expected);
    }
}

#[test]
fn allowed_ips_of_a_peer_that_overlap() {
    let declared = || world().change("a2", |node| node.allowed_location_cidrs = nets(&["172.20.0.0/16"]));
    for (cidr, reason) in [
        ("10.42.11.7/32", cluster("the pod CIDR 10.42.11.0/24 of node `a1`")),
        ("10.4.0.0/24", cluster("the mesh CIDR 10.4.0.0/16")),
        ("10.96.0.1/32", cluster("the Service CIDR 10.96.0.0/12")),
        ("192.168.1.0/24", cluster("an internal address of node `a2`")),
        ("172.20.9.0/24", already_claimed("a2")),
        ("172.30.0.0/24", WarningReason::AlreadyClaimed(peer_object("laptop"))),
    ] {
        let good = outside("second", 201, &["172.31.0.0/24"]);
        let bad = outside("second", 201, &["172.31.0.0/24", cidr]);
        let expected = warning(peer_object("second"), "allowedIPs", cidr, reason);
        assert_only_this_is_ignored(&declared().peer(good), &declared().peer(bad), &expected);
    }
}

#[test]
fn a_node_without_a_mesh_address_of_a_family_cannot_be_a_next_hop_in_it() {
    let plan = world().change("a2", |node| node.mesh_addresses.retain(|address| address.is_ipv4())).plan("a1");
    let expected = warning(node_object("a2"), "route", "IPv6", WarningReason::NoMeshAddress);
    assert_eq!(plan.warnings, [expected].into());
    assert_eq!(next_hop(&plan, "fd42:0:0:12::/64"), Some(&carrick_topology::plan::NextHop::Unreachable));
    assert_eq!(next_hop(&plan, "10.42.12.0/24"), Some(&vxlan("10.4.0.12")));
}

#[test]
fn an_agent_with_other_settings_is_reported_with_both_nodes() {
    let agent = |settings: &str| {
        Some(AgentVersion {
            version: "1".to_owned(),
            protocol: 1,
            settings: settings.to_owned(),
            outside_mesh: Default::default(),
        })
    };
    let mesh = world().change("a1", |node| node.agent = agent("one")).change("b1", |node| node.agent = agent("two"));
    let expected = |object: &str, value: &str, me: &str| {
        warning(node_object(object), "agent", value, WarningReason::SettingsDiffer(me.parse().unwrap()))
    };
    assert_eq!(mesh.plan("a1").warnings, [expected("b1", "two", "a1")].into());
    assert_eq!(mesh.plan("b1").warnings, [expected("a1", "one", "b1")].into());
    assert!(mesh.plan("a2").warnings.is_empty(), "its own agent has said nothing yet");
}

#[test]
fn warnings_of_the_parsed_objects_are_kept() {
    let reason = WarningReason::Unreadable("a number of seconds".to_owned());
    let expected = warning(node_object("b2"), "persistent-keepalive", "soon", reason);
    let mut bad = world();
    bad.cluster.warnings.insert(expected.clone());
    assert_only_this_is_ignored(&world(), &bad, &expected);
}

#[test]
fn every_warning_reads_as_one_sentence_that_names_object_field_and_value() {
    let text = warning(node_object("b2"), "pod-cidrs", "10.42.11.0/24", already_claimed("a1")).to_string();
    assert_eq!(text, "node `b2`: pod-cidrs `10.42.11.0/24` is claimed by node `a1`, which is older");
}
