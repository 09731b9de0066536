//! What must hold for every cluster: random clusters, checked with the packet walk.

#![expect(clippy::unwrap_used, reason = "a test may fail wherever it likes")]

#[path = "properties/claims.rs"]
mod claims;
#[path = "properties/former_networks.rs"]
mod former_networks;
mod generated;
#[path = "properties/transit.rs"]
mod transit;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use carrick_topology::Liveness;
use carrick_topology::WarningReason;
use carrick_topology::model::{AgentVersion, Granularity, InternalAddresses, Settings};
use carrick_topology::plan::{NextHop, NodePlan, PeerIdentity, Role, plan_all};
use carrick_topology::walk::{Link, Network, Origin, Outcome, Packet, Walk, sample_address};
use carrick_topology::{Cluster, DeviceName, Family, NodeName, plan};
use generated::{Scenario, damage, scenario};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

fn plans(scenario: &Scenario) -> BTreeMap<NodeName, NodePlan> {
    plan_all(&scenario.cluster, &scenario.settings, &Liveness::default())
}

fn network<'a>(scenario: &'a Scenario, liveness: &Liveness, plans: &'a BTreeMap<NodeName, NodePlan>) -> Network<'a> {
    Network::new(&scenario.cluster, &scenario.settings, liveness, plans)
}

fn pod_address(plan: &NodePlan, family: Family) -> Option<IpAddr> {
    plan.pod_cidrs.iter().find(|cidr| Family::of_net(cidr) == family).map(sample_address)
}

/// Whether the two nodes are in different locations.
fn crosses(from: &NodePlan, to: &NodePlan) -> bool {
    from.location.name != to.location.name || from.location.alone || to.location.alone
}

/// Whether the plans report a reason why the two nodes do not reach each other.
fn excused(from: &NodePlan, to: &NodePlan) -> bool {
    from.location.gateway.is_none() || to.location.gateway.is_none() || has_no_path(from) || has_no_path(to)
}

fn has_no_path(plan: &NodePlan) -> bool {
    plan.warnings.iter().any(|warning| matches!(warning.reason, WarningReason::NoPath(_)))
}

fn gateway_has_no_path(plans: &BTreeMap<NodeName, NodePlan>, plan: &NodePlan) -> bool {
    plan.location.gateway.as_ref().and_then(|gateway| plans.get(gateway)).is_some_and(has_no_path)
}

/// The walk there and the walk back, for one pair.
fn round_trip(network: &Network<'_>, origin: &Origin, packet: Packet) -> (Walk, Option<Walk>) {
    let there = network.walk(origin, packet);
    let back = network.answer(&there, packet);
    (there, back)
}

fn tunnels(walk: &Walk) -> Vec<&NodeName> {
    walk.hops.iter().filter(|hop| hop.link == Link::WireGuard).map(|hop| &hop.from).collect()
}

/// The nodes on the path, the last one included, in an order that both directions share.
fn nodes_on_path(walk: &Walk) -> Vec<NodeName> {
    let mut nodes: Vec<NodeName> = walk.nodes().cloned().collect();
    if let Outcome::Pod(node) | Outcome::Host(node) = &walk.outcome {
        nodes.push(node.clone());
    }
    nodes
}

proptest! {
    // The default keeps found cases in a folder beside `lib.rs` or `main.rs`, and an integration test in one file has neither.
    #![proptest_config(ProptestConfig::with_failure_persistence(FileFailurePersistence::WithSource("proptest-regressions")))]

    #[test]
    fn every_pod_reaches_every_pod_on_the_same_path_in_both_directions(scenario in scenario(40)) {
        let plans = plans(&scenario);
        let network = network(&scenario, &Liveness::default(), &plans);
        let mut pairs = 0;
        for (from, from_plan) in &plans {
            for (to, to_plan) in &plans {
                if from == to || (crosses(from_plan, to_plan)
                    && (excused(from_plan, to_plan)
                    || gateway_has_no_path(&plans, from_plan) || gateway_has_no_path(&plans, to_plan))) {
                    continue;
                }
                for family in scenario.families.list() {
                    let source = pod_address(from_plan, *family);
                    let destination = pod_address(to_plan, *family).unwrap();
                    let packet = Packet { source, destination };
                    let (there, back) = round_trip(&network, &Origin::Pod(from.clone()), packet);
                    prop_assert_eq!(&there.outcome, &Outcome::Pod(to.clone()), "{} to {}: {:?}", from, to, there);
                    prop_assert_eq!(there.source, source, "a pod's address was changed on the way: {:?}", there);
                    let back = back.unwrap();
                    prop_assert_eq!(&back.outcome, &Outcome::Pod(from.clone()), "{} back to {}: {:?}", to, from, back);
                    let mut reversed = nodes_on_path(&back);
                    reversed.reverse();
                    prop_assert_eq!(nodes_on_path(&there), reversed, "there and back differ");
                    pairs += 1;
                }
            }
        }
        prop_assert!(pairs > 0 || plans.len() < 2 || plans.values().any(|plan| !plan.warnings.is_empty()));
    }

    #[test]
    fn hosts_reach_pods_and_hosts_with_their_mesh_address(scenario in scenario(24)) {
        let plans = plans(&scenario);
        let network = network(&scenario, &Liveness::default(), &plans);
        for (from, from_plan) in &plans {
            for (to, to_plan) in &plans {
                let crosses = crosses(from_plan, to_plan);
                if from == to || (crosses && (excused(from_plan, to_plan)
                    || gateway_has_no_path(&plans, from_plan) || gateway_has_no_path(&plans, to_plan))) {
                    continue;
                }
                for family in scenario.families.list() {
                    let own = from_plan.mesh_addresses.iter().find(|address| Family::of(address) == *family);
                    let to_pod = Packet { source: None, destination: pod_address(to_plan, *family).unwrap() };
                    let (there, back) = round_trip(&network, &Origin::Host(from.clone()), to_pod);
                    prop_assert_eq!(&there.outcome, &Outcome::Pod(to.clone()), "{} to {}: {:?}", from, to, there);
                    prop_assert_eq!(there.source.as_ref(), own, "{:?}", there);
                    prop_assert_eq!(back.unwrap().outcome, Outcome::Host(from.clone()));

                    let mesh = to_plan.mesh_addresses.iter().find(|address| Family::of(address) == *family).unwrap();
                    let to_host = Packet { source: None, destination: *mesh };
                    let (there, back) = round_trip(&network, &Origin::Host(from.clone()), to_host);
                    prop_assert_eq!(&there.outcome, &Outcome::Host(to.clone()), "{} to {}: {:?}", from, to, there);
                    prop_assert_eq!(back.unwrap().outcome, Outcome::Host(from.clone()));
                }
            }
        }
    }

    #[test]
    fn internal_addresses_of_other_locations_are_reached_through_tunnels(scenario in scenario(24)) {
        let plans = plans(&scenario);
        let network = network(&scenario, &Liveness::default(), &plans);
        for (from, from_plan) in &plans {
            for (to, internal) in &scenario.settings.local.internal_devices.keys().filter_map(|address| {
                let owner = scenario.cluster.nodes.values().find(|node| match &node.internal_addresses {
                    InternalAddresses::Advertised(list) => list.iter().any(|net| net.addr() == *address),
                    _ => false,
                })?;
                Some((owner.name.clone(), *address))
            }).collect::<Vec<_>>() {
                let to_plan = &plans[to];
                if from_plan.location.name == to_plan.location.name || excused(from_plan, to_plan)
                    || gateway_has_no_path(&plans, from_plan) || gateway_has_no_path(&plans, to_plan) {
                    continue;
                }
                let packet = Packet { source: None, destination: *internal };
                let (there, back) = round_trip(&network, &Origin::Host(from.clone()), packet);
                prop_assert_eq!(&there.outcome, &Outcome::Host(to.clone()), "{} to {}: {:?}", from, internal, there);
                prop_assert!(!tunnels(&there).is_empty());
                let own = match &scenario.cluster.nodes[from].internal_addresses {
                    InternalAddresses::Advertised(list) => list.iter().map(ipnet::IpNet::addr).collect::<Vec<_>>(),
                    _ => Vec::new(),
                };
                let mut own = own.into_iter().chain(from_plan.mesh_addresses.iter().copied());
                let own = own.find(|address| Family::of(address) == Family::of(internal));
                prop_assert_eq!(there.source, own, "the receiver sees the sender: {:?}", there);
                prop_assert_eq!(back.unwrap().outcome, Outcome::Host(from.clone()));
            }
        }
    }

    #[test]
    fn networks_of_a_location_and_outside_peers_are_reached(scenario in scenario(24)) {
        let plans = plans(&scenario);
        let network = network(&scenario, &Liveness::default(), &plans);
        let networks: BTreeSet<_> = scenario.cluster.nodes.values().flat_map(|node| node.allowed_location_cidrs.clone()).collect();
        let all_reach = plans.values().all(|plan| plan.location.gateway.is_some() && !has_no_path(plan));
        for (from, plan) in plans.iter().filter(|_| all_reach) {
            for net in &networks {
                let settled = !plan.warnings.iter().any(|warning| warning.value == net.to_string());
                let source = pod_address(plan, Family::of_net(net));
                let packet = Packet { source, destination: sample_address(net) };
                let walk = network.walk(&Origin::Pod(from.clone()), packet);
                if settled {
                    prop_assert!(matches!(walk.outcome, Outcome::LocationNetwork(_)), "{} to {}: {:?}", from, net, walk);
                    prop_assert!(walk.source != source, "a printer has no route back: {:?}", walk);
                }
            }
            for peer in scenario.cluster.peers.values() {
                if plan.warnings.iter().any(|warning| warning.reason == WarningReason::NoServingNode) {
                    continue;
                }
                for net in &peer.allowed_ips {
                    let source = pod_address(plan, Family::of_net(net));
                    let packet = Packet { source, destination: sample_address(net) };
                    let (there, back) = round_trip(&network, &Origin::Pod(from.clone()), packet);
                    prop_assert_eq!(&there.outcome, &Outcome::Outside(peer.name.clone()), "{:?}", there);
                    prop_assert_eq!(back.unwrap().outcome, Outcome::Pod(from.clone()));
                }
            }
        }
    }

    #[test]
    fn a_relay_is_found_if_three_locations_have_a_candidate(scenario in scenario(40)) {
        if scenario.places_with_relay() >= 3 {
            for (name, plan) in &plans(&scenario) {
                prop_assert!(!has_no_path(plan), "{}: {:?}", name, plan.warnings);
            }
        }
    }

    #[test]
    fn no_two_peers_of_a_device_share_an_allowed_ip(mut scenario in scenario(40), bad in prop::collection::vec(damage(), 0..6)) {
        for (victim, damage) in bad {
            scenario.spoil(victim, damage);
        }
        for (name, plan) in &plans(&scenario) {
            let mut seen = BTreeMap::new();
            for (key, peer) in &plan.wireguard.peers {
                for net in &peer.allowed_ips {
                    prop_assert_eq!(seen.insert(*net, key), None, "{}: {} is wanted twice", name, net);
                }
            }
            prop_assert!(plan.routes.is_sorted(), "{}: {:?}", name, plan.routes);
            let mut routes = BTreeSet::new();
            for route in &plan.routes {
                prop_assert!(routes.insert((route.destination, route.metric())), "{}: two routes to {}", name, route.destination);
            }
        }
    }

    #[test]
    fn no_packet_leaves_a_location_outside_wireguard(
        mut scenario in scenario(16),
        bad in prop::collection::vec(damage(), 0..4),
        victim in any::<prop::sample::Index>(),
        device in any::<prop::sample::Index>(),
    ) {
        for (victim, damage) in bad {
            scenario.spoil(victim, damage);
        }
        let plans = plans(&scenario);
        if plans.is_empty() {
            return Ok(());
        }
        let victim = plans.keys().nth(victim.index(plans.len())).unwrap().clone();
        let devices: [&str; 3] = ["carrick0", "carrick-vx", "eth0"];
        let device: DeviceName = devices[device.index(devices.len())].parse().unwrap();
        let all = Network::new(&scenario.cluster, &scenario.settings, &Liveness::default(), &plans);
        let removed = BTreeSet::from([(victim, device)]);
        let broken = Network::without(&scenario.cluster, &scenario.settings, &Liveness::default(), &plans, &removed);
        for network in [all, broken] {
            for (from, from_plan) in &plans {
                for (to, to_plan) in &plans {
                    for cidr in to_plan.pod_cidrs.iter().filter(|_| from != to) {
                        let source = pod_address(from_plan, Family::of_net(cidr));
                        for (origin, source) in [(Origin::Pod(from.clone()), source), (Origin::Host(from.clone()), None)] {
                            let walk = network.walk(&origin, Packet { source, destination: sample_address(cidr) });
                            let crosses = crosses(from_plan, to_plan);
                            prop_assert!(!matches!(walk.outcome, Outcome::Uplink(_) | Outcome::LocationNetwork(_)),
                                "{} to {} left in clear: {:?}", from, to, walk);
                            if crosses && walk.arrives() {
                                prop_assert!(!tunnels(&walk).is_empty(), "{} to {} without a tunnel: {:?}", from, to, walk);
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn no_packet_loops(mut scenario in scenario(24), bad in prop::collection::vec(damage(), 0..4)) {
        for (victim, damage) in bad {
            scenario.spoil(victim, damage);
        }
        let plans = plans(&scenario);
        let network = network(&scenario, &Liveness::default(), &plans);
        for from in plans.keys() {
            for plan in plans.values() {
                for destination in plan.pod_cidrs.iter().map(sample_address).chain(plan.mesh_addresses.iter().copied()) {
                    let walk = network.walk(&Origin::Host(from.clone()), Packet { source: None, destination });
                    prop_assert!(walk.hops.len() <= 5, "{} to {}: {:?}", from, destination, walk);
                }
            }
        }
    }

    #[test]
    fn the_order_of_arrival_does_not_matter(scenario in scenario(40), bad in prop::collection::vec(damage(), 0..6)) {
        let mut scenario = scenario;
        for (victim, damage) in bad {
            scenario.spoil(victim, damage);
        }
        let mut reversed = Cluster { warnings: scenario.cluster.warnings.clone(), ..Cluster::default() };
        for node in scenario.cluster.nodes.values().rev() {
            reversed.insert_node(node.clone());
        }
        for peer in scenario.cluster.peers.values().rev() {
            reversed.insert_peer(peer.clone());
        }
        let again = plan_all(&reversed, &scenario.settings, &Liveness::default());
        prop_assert_eq!(&plans(&scenario), &again);
        for (name, plan_of_all) in &again {
            let alone = plan(&scenario.cluster, &scenario.settings, &Liveness::default(), name).unwrap();
            prop_assert_eq!(plan_of_all, &alone);
        }
    }

    #[test]
    fn an_unrelated_node_changes_no_mesh_address_and_no_unrelated_peer(scenario in scenario(30)) {
        let before = plans(&scenario);
        let Some(newest) = scenario.cluster.nodes.values().max_by_key(|node| node.age()).map(|node| node.name.clone()) else {
            return Ok(());
        };
        let mut smaller = scenario;
        smaller.cluster.nodes.remove(&newest);
        let after = plans(&smaller);
        let location = &before[&newest].location;
        // A node that is no gateway and no relay, and serves no peer, concerns only its own location and the peers of its gateway.
        let unrelated = location.role == Role::Inner;
        for (name, plan) in &after {
            prop_assert_eq!(&plan.mesh_addresses, &before[name].mesh_addresses);
            if !unrelated {
                continue;
            }
            for (key, peer) in &plan.wireguard.peers {
                let old = &before[name].wireguard.peers[key];
                if let PeerIdentity::Node(node) = &peer.identity {
                    let relays = has_no_path(plan) || before[node].location.name == location.name || peer.allowed_ips != old.allowed_ips;
                    if !relays {
                        prop_assert_eq!(peer, old);
                    }
                }
            }
        }
    }

    #[test]
    fn losing_an_active_gateway_moves_only_its_share(scenario in scenario(40)) {
        let mut scenario = scenario;
        scenario.settings.granularity = Granularity::Location;
        let before = plans(&scenario);
        let Some(lost) = before.values().find(|plan| plan.location.active.contains(&plan.node)).map(|plan| plan.node.clone()) else {
            return Ok(());
        };
        let liveness = Liveness::without([lost.clone()]);
        let after = plan_all(&scenario.cluster, &scenario.settings, &liveness);
        for (name, plan) in &after {
            let old = &before[name];
            let only_gateway = old.location.active.len() == 1 && old.location.standby.is_empty();
            let was_on_lost = old.location.gateway.as_ref() == Some(&lost);
            let becomes_gateway = plan.location.active.contains(name) || plan.location.standby.contains(name);
            if name == &lost || only_gateway || becomes_gateway || old.location.standby.contains(name) {
                continue;
            }
            if was_on_lost && old.location.active.len() + old.location.standby.len() > 1 {
                prop_assert_ne!(plan.location.gateway.as_ref(), Some(&lost), "{} still hangs on it", name);
            } else {
                prop_assert_eq!(&plan.location.gateway, &old.location.gateway, "{} was moved for no reason", name);
            }
        }
    }

    #[test]
    fn a_standby_takes_over_without_new_tunnels(scenario in scenario(40)) {
        let mut scenario = scenario;
        scenario.settings.granularity = Granularity::Location;
        let before = plans(&scenario);
        let Some(location) = before.values().map(|plan| &plan.location).find(|location| !location.standby.is_empty()) else {
            return Ok(());
        };
        let liveness = Liveness::without(location.active.clone());
        let after = plan_all(&scenario.cluster, &scenario.settings, &liveness);
        let any_relay = before.values().any(has_no_path) || after.values().any(has_no_path);
        for standby in location.standby.iter().filter(|name| after[*name].location.active.contains(*name)) {
            let nodes = |plan: &NodePlan| -> BTreeSet<NodeName> {
                let identities = plan.wireguard.peers.values().map(|peer| peer.identity.clone());
                identities.filter_map(|identity| match identity {
                    PeerIdentity::Node(name) => Some(name),
                    PeerIdentity::Outside(_) => None,
                }).collect()
            };
            let (old, new) = (nodes(&before[standby]), nodes(&after[standby]));
            prop_assert!(any_relay || new.is_subset(&old), "{} needs new tunnels: {:?} {:?}", standby, old, new);
            prop_assert!(before[standby].routes.iter().any(|route| route.next_hop == NextHop::WireGuard) || before.len() < 2
                || before.values().all(|plan| plan.location.name == location.name || plan.location.gateway.is_none()) || any_relay);
        }
    }
}

#[test]
fn settings_that_differ_are_reported_with_both_nodes() {
    let mut cluster = Cluster::default();
    for (name, hash) in [("a", "one"), ("b", "two")] {
        let mut node = carrick_topology::Node::new(name.parse().unwrap(), 0);
        node.public_key = Some(generated::key(name.len() + usize::from(name.as_bytes()[0])));
        node.agent = Some(AgentVersion {
            version: "1".into(),
            protocol: 1,
            settings: hash.into(),
            outside_mesh: Default::default(),
        });
        cluster.insert_node(node);
    }
    let plan = plan(&cluster, &Settings::default(), &Liveness::default(), &"a".parse().unwrap()).unwrap();
    let text: Vec<String> = plan.warnings.iter().map(ToString::to_string).collect();
    assert!(text.iter().any(|line| line.contains("node `b`") && line.contains("than node `a`")), "{text:?}");
}
