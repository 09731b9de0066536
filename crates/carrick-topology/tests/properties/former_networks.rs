//! When a node is gone, what it had stays closed in other locations, and everything else goes on as without this rule.

use std::collections::BTreeMap;
use std::net::IpAddr;

use carrick_topology::plan::{NextHop, NodePlan};
use carrick_topology::walk::{Network, Origin, Outcome, Packet, sample_address};
use carrick_topology::{Cluster, Liveness, LocationName, Node, NodeName, plan};
use ipnet::IpNet;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::FileFailurePersistence;

use super::generated::{Scenario, damage, scenario};
use super::{network, plans};

/// The internal addresses and allowed-location CIDRs of a node to which the plan of another one lets no packet leave in clear.
fn former(node: &Node, plan: &NodePlan) -> BTreeMap<IpNet, LocationName> {
    let networks = node.internal_addresses.single().chain(node.allowed_location_cidrs.iter().copied());
    let is_held =
        |net: &IpNet| plan.routes.iter().any(|route| route.destination == *net && route.next_hop != NextHop::Throw);
    networks.filter(is_held).map(|net| (net, node.location_name())).collect()
}

/// The plans after the node is gone: each node remembers what it sent to it through the mesh.
fn plans_after(
    scenario: &Scenario,
    gone: &Node,
    before: &BTreeMap<NodeName, NodePlan>,
) -> BTreeMap<NodeName, NodePlan> {
    let plan_of = |name: &NodeName| {
        // A node with the same key had no plan before.
        let former_networks = before.get(name).map(|plan| former(gone, plan)).unwrap_or_default();
        let cluster = Cluster { former_networks, ..scenario.cluster.clone() };
        let plan = plan(&cluster, &scenario.settings, &Liveness::default(), name).ok()?;
        Some((name.clone(), plan))
    };
    scenario.cluster.nodes.keys().filter_map(plan_of).collect()
}

fn outcome(network: &Network<'_>, from: &NodeName, destination: IpAddr) -> Outcome {
    network.walk(&Origin::Host(from.clone()), Packet { source: None, destination }).outcome
}

proptest! {
    #![proptest_config(ProptestConfig::with_failure_persistence(FileFailurePersistence::WithSource("proptest-regressions")))]

    #[test]
    fn what_a_node_had_that_is_gone_stays_closed_and_nothing_else_changes(
        mut scenario in scenario(16),
        bad in prop::collection::vec(damage(), 0..4),
        gone in any::<Index>(),
    ) {
        for (victim, damage) in bad {
            scenario.spoil(victim, damage);
        }
        let whole = scenario.clone();
        let before = plans(&whole);
        let gone = scenario.cluster.nodes.values().nth(gone.index(scenario.cluster.nodes.len())).unwrap().clone();
        scenario.cluster.nodes.remove(&gone.name);
        let forgotten = plans(&scenario);
        let remembered = plans_after(&scenario, &gone, &before);
        let with_node = network(&whole, &Liveness::default(), &before);
        let with_rule = network(&scenario, &Liveness::default(), &remembered);
        let without_rule = network(&scenario, &Liveness::default(), &forgotten);
        for (from, plan) in &remembered {
            let former = before.get(from).map(|plan| former(&gone, plan)).unwrap_or_default();
            let is_elsewhere = plan.location.name != gone.location_name() || plan.location.alone;
            for destination in former.keys().filter(|_| is_elsewhere).map(sample_address) {
                // It can be in a network of the host.
                let leaves = |network| outcome(network, from, destination) == Outcome::Uplink(from.clone());
                prop_assert!(leaves(&with_node) || !leaves(&with_rule), "{} to {} of {}", from, destination, gone.name);
            }
            for other in scenario.cluster.nodes.values() {
                let networks = other.pod_cidrs.iter().chain(&other.allowed_location_cidrs).map(sample_address);
                let internal = other.internal_addresses.single().map(|net| net.addr());
                for destination in networks.chain(internal).chain(other.mesh_addresses.iter().copied()) {
                    let (now, otherwise) = (outcome(&with_rule, from, destination), outcome(&without_rule, from, destination));
                    let is_former = former.keys().any(|net| net.contains(&destination));
                    prop_assert!(now == otherwise || (is_former && otherwise == Outcome::Uplink(from.clone())),
                        "{} to {} of {}: {:?} in place of {:?}", from, destination, other.name, now, otherwise);
                }
            }
        }
    }
}
