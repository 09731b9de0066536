//! The counters of dropped packets.

use std::collections::{BTreeMap, BTreeSet};

use carrick_dataplane::firewall::{DropCounters, DropReason, ruleset};

use crate::namespace::{at, at_port};
use crate::network::{MESH, NEIGHBOUR, NODE, Network, POD, REMOTE_POD, plan};

#[test]
fn dropped_packets_are_counted_by_reason() {
    let network = Network::guarded();
    let mut counters = network.node.run(|| DropCounters::open().unwrap());
    let all_zero: BTreeMap<_, _> = DropReason::ALL.into_iter().map(|reason| (reason, 0)).collect();
    assert_eq!(counters.read().unwrap(), all_zero);

    let [pod, _] = POD.both();
    let [neighbour, _] = NEIGHBOUR.both();
    let [remote, _] = REMOTE_POD.both();
    let from_pod = network.pod.socket(pod);
    for _ in 0..3 {
        from_pod.send_to(b"x", at_port(neighbour, 51822)).unwrap();
    }
    network.remote.socket(remote).send_to(b"x", at_port(MESH.both()[0], 51821)).unwrap();
    let from_stranger = network.outside.socket("203.0.113.9");
    from_stranger.send_to(b"x", at_port(NODE.both()[0], 51822)).unwrap();
    network.node.ip("route del 10.2.0.0/24");
    from_pod.send_to(b"x", at(remote)).unwrap();

    let mut expected = all_zero;
    expected.insert(DropReason::MeshPortFromPod, 3);
    expected.insert(DropReason::MeshPortFromOutside, 1);
    expected.insert(DropReason::VxlanFromOutsideLocation, 1);
    expected.insert(DropReason::MeshDestinationInClear, 1);
    assert_eq!(counters.read().unwrap(), expected);
}

#[test]
fn without_the_table_nothing_is_counted() {
    let network = Network::new();
    let mut counters = network.node.run(|| DropCounters::open().unwrap());
    assert_eq!(counters.read().unwrap(), BTreeMap::new());
}

#[test]
fn every_rule_that_drops_names_its_reason() {
    let table = ruleset(&plan());
    let drops = |rule: &&carrick_netlink::nftables::Rule| {
        use carrick_netlink::nftables::{Expression, Verdict};
        rule.expressions.contains(&Expression::Verdict(Verdict::Drop))
    };
    let rules = table.chains.values().flat_map(|chain| &chain.rules).filter(drops);
    let comments: BTreeSet<_> = rules.map(|rule| rule.comment.as_deref().unwrap_or_default()).collect();
    assert_eq!(comments, DropReason::ALL.map(DropReason::comment).into_iter().collect());
}
