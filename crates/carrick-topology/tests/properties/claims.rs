//! Whatever the agent of one node says of it, other nodes send no packet outside the mesh that they would send through it otherwise.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use carrick_topology::model::{Endpoint, Family, Host, InternalAddresses, Node};
use carrick_topology::plan::{NextHop, NodePlan};
use carrick_topology::walk::sample_address;
use ipnet::IpNet;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::FileFailurePersistence;

use super::generated::{Scenario, scenario};
use super::plans;

/// What the agent of one node says of it: positions in the list of addresses that concern others.
#[derive(Clone, Debug)]
struct Lies {
    node: Index,
    endpoints: Vec<Index>,
    named: Option<Index>,
    internal_addresses: Vec<Index>,
    mesh_addresses: Vec<Index>,
}

fn lies() -> impl Strategy<Value = Lies> {
    let some = || prop::collection::vec(any::<Index>(), 0..3);
    (any::<Index>(), some(), prop::option::of(any::<Index>()), some(), some()).prop_map(
        |(node, endpoints, named, internal_addresses, mesh_addresses)| Lies {
            node,
            endpoints,
            named,
            internal_addresses,
            mesh_addresses,
        },
    )
}

fn internal_of(node: &Node) -> impl Iterator<Item = IpAddr> {
    let addresses = match &node.internal_addresses {
        InternalAddresses::Advertised(addresses) | InternalAddresses::Forced(addresses) => addresses.clone(),
        InternalAddresses::None => BTreeSet::new(),
    };
    addresses.into_iter().map(|net| net.addr())
}

/// One address of each thing that belongs to nodes other than this one, to Peers, and to locations.
fn concerns(scenario: &Scenario, attacker: &Node) -> Vec<IpAddr> {
    let others = scenario.cluster.nodes.values().filter(|node| node.name != attacker.name);
    let of_nodes = others.flat_map(|node| {
        let networks = node.pod_cidrs.iter().chain(&node.allowed_location_cidrs).map(sample_address);
        networks.chain(node.mesh_addresses.iter().copied()).chain(internal_of(node)).collect::<Vec<_>>()
    });
    let of_peers = scenario.cluster.peers.values().flat_map(|peer| peer.allowed_ips.iter().map(sample_address));
    let unassigned = ["10.43.250.9", "fd42:0:0:ffff::9"].map(|text| text.parse().unwrap());
    of_nodes.chain(of_peers).chain(unassigned).collect()
}

/// Whether a node sends packets to the address into the mesh, or drops them; `false` if they leave by the host's other routes.
fn is_held(plan: &NodePlan, address: IpAddr) -> bool {
    let host = IpNet::from(address);
    let routes = plan.routes.iter().filter(|route| route.destination.contains(&host));
    let best = routes.min_by_key(|route| (u8::MAX - route.destination.prefix_len(), route.metric()));
    best.is_some_and(|route| route.next_hop != NextHop::Throw)
}

fn told(scenario: &Scenario, lies: &Lies, concerns: &[IpAddr]) -> Scenario {
    let mut spoiled = scenario.clone();
    let name = scenario.cluster.nodes.keys().nth(lies.node.index(scenario.cluster.nodes.len())).unwrap();
    let mut node = scenario.cluster.nodes[name].clone();
    let at = |index: &Index| concerns[index.index(concerns.len())];
    node.advertised_endpoints.extend(lies.endpoints.iter().map(|index| Endpoint::at(at(index), 51820)));
    if let Some(index) = &lies.named {
        let endpoint: Endpoint = "gate.example:51820".parse().unwrap();
        let Host::Name(gate) = endpoint.host.clone() else { panic!("a name") };
        node.advertised_endpoints.insert(endpoint);
        spoiled.settings.local.resolved = BTreeMap::from([(gate, BTreeSet::from([at(index)]))]);
    }
    // Of two nodes that claim one internal address, the older one has it: `docs/security.md`, "What is not stopped".
    let others = scenario.cluster.nodes.values().filter(|other| other.name != *name);
    let taken: BTreeSet<IpAddr> = others.flat_map(internal_of).collect();
    // A node may stand in a network that people declared on it.
    let is_own = |address: &IpAddr| node.allowed_location_cidrs.iter().any(|net| net.contains(address));
    let claimed = lies.internal_addresses.iter().map(at).filter(|address| !taken.contains(address) && !is_own(address));
    // Of an agent's internal addresses, one of each family counts.
    let claimed: BTreeMap<Family, IpNet> = claimed.map(|address| (Family::from(address), address.into())).collect();
    if !claimed.is_empty() {
        node.internal_addresses = InternalAddresses::Advertised(claimed.into_values().collect());
    }
    node.mesh_addresses.extend(lies.mesh_addresses.iter().map(at));
    spoiled.cluster.insert_node(node);
    spoiled
}

proptest! {
    #![proptest_config(ProptestConfig::with_failure_persistence(FileFailurePersistence::WithSource("proptest-regressions")))]

    #[test]
    fn no_claim_of_one_agent_takes_a_packet_of_others_out_of_the_mesh(
        mut scenario in scenario(16),
        lies in lies(),
        are_pods_known in any::<bool>(),
    ) {
        if are_pods_known {
            scenario.settings.cluster_cidrs = ["10.42.0.0/15", "fd42::/48"].map(|text| text.parse().unwrap()).into();
        }
        let attacker = scenario.cluster.nodes.values().nth(lies.node.index(scenario.cluster.nodes.len())).unwrap().clone();
        let concerns = concerns(&scenario, &attacker);
        let (honest, spoiled) = (plans(&scenario), plans(&told(&scenario, &lies, &concerns)));
        for (name, plan) in honest.iter().filter(|(name, _)| **name != attacker.name) {
            // A network that people declared on this very node leaves the mesh here.
            let declared = &scenario.cluster.nodes[name].allowed_location_cidrs;
            let is_exit = |address: &IpAddr| declared.iter().any(|net| net.contains(address));
            for address in concerns.iter().filter(|address| is_held(plan, **address) && !is_exit(address)) {
                prop_assert!(is_held(&spoiled[name], *address), "{} leaves the mesh on {}: {:?}", address, name, lies);
            }
        }
    }
}
