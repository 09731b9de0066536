//! The reachability between all pairs of nodes and outside peers, by the packet walk.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use carrick_topology::walk::{Network, Origin, Packet, sample_address};
use carrick_topology::{Family, NodeName};
use serde::Serialize;

use crate::cluster_plan::ClusterPlan;
use crate::output::{Document, Style};

/// Pairs of names, grouped by the name that sorts first.
type Partners = BTreeMap<String, BTreeSet<String>>;

/// The change of reachability. A pair consists of two nodes, or of a node and an outside peer. The members of a pair reach each other if
/// packets and answers between their pods or networks pass in both directions and in every address family that both have. Each pair is
/// listed under the name that sorts first.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Reachability {
    /// The number of pairs.
    pub pairs: usize,
    /// The nodes that are down, with their pods.
    pub gone: BTreeSet<String>,
    /// The pairs that no longer reach each other, without the pairs of nodes that are down.
    pub lost: Partners,
    /// The pairs that newly reach each other.
    pub gained: Partners,
    /// The pairs that do not reach each other until the other nodes have detected that a node is down.
    pub interrupted: Partners,
}

impl Reachability {
    pub(super) fn between(before: &ClusterPlan, after: &ClusterPlan, gone: &BTreeSet<NodeName>) -> Self {
        let remains = |name: &str| !gone.iter().any(|node| node.as_str() == name);
        let remaining = |ends: BTreeMap<String, End>| ends.into_iter().filter(|(name, _)| remains(name)).collect();
        let (ends_before, ends_after): (BTreeMap<_, _>, BTreeMap<_, _>) =
            (remaining(ends(before)), remaining(ends(after)));
        let reached_before = reached(&before.network(), &ends_before);
        let reached_after = reached(&after.network(), &ends_after);
        let lost = reached_before.difference(&reached_after).cloned().collect();
        let interrupted =
            if gone.is_empty() { BTreeSet::new() } else { interrupted(before, gone, &ends_before, &reached_after) };
        Self {
            pairs: ends_after.len() * ends_after.len().saturating_sub(1) / 2,
            gone: gone.iter().map(ToString::to_string).collect(),
            lost: partners(&lost),
            gained: partners(&reached_after.difference(&reached_before).cloned().collect()),
            interrupted: partners(&interrupted),
        }
    }

    pub(super) fn is_loss(&self) -> bool {
        !self.lost.is_empty()
    }

    pub(super) fn draw(&self, document: &mut Document) {
        for node in &self.gone {
            document.line(format_args!("{node} and its pods are down; of the other nodes:"));
        }
        for (what, partners, style) in [
            ("no longer reach each other", &self.lost, Style::Bad),
            ("newly reach each other", &self.gained, Style::Good),
            ("do not reach each other until the other nodes have detected the failure", &self.interrupted, Style::Warn),
        ] {
            let pairs: usize = partners.values().map(BTreeSet::len).sum();
            if pairs > 0 {
                document.styled(format_args!("{pairs} of {} pairs {what}:", self.pairs), style);
            }
            for (name, others) in partners {
                let others: Vec<_> = others.iter().map(String::as_str).collect();
                document.line(format_args!("  {name} - {}", others.join(", ")));
            }
        }
        if self.lost.is_empty() {
            document.styled(format_args!("none of {} pairs becomes unreachable", self.pairs), Style::Good);
        }
    }
}

/// A source and destination of packets.
struct End {
    origin: Origin,
    addresses: Vec<IpAddr>,
}

fn ends(cluster_plan: &ClusterPlan) -> BTreeMap<String, End> {
    let nodes = cluster_plan.plans.values().map(|plan| {
        let addresses = plan.pod_cidrs.iter().map(sample_address).collect();
        (plan.node.to_string(), End { origin: Origin::Pod(plan.node.clone()), addresses })
    });
    let peers = cluster_plan.cluster.peers.values().map(|peer| {
        let addresses = peer.allowed_ips.iter().map(sample_address).collect();
        (format!("peer {}", peer.name), End { origin: Origin::Outside(peer.name.clone()), addresses })
    });
    nodes.chain(peers).collect()
}

type Pairs = BTreeSet<(String, String)>;

/// The pairs that reach each other; in each pair, the name that sorts first is the first.
fn reached(network: &Network<'_>, ends: &BTreeMap<String, End>) -> Pairs {
    let mut pairs = Pairs::new();
    for (index, (name, end)) in ends.iter().enumerate() {
        for (other_name, other) in ends.iter().skip(index + 1) {
            if reach_each_other(network, end, other) {
                pairs.insert((name.clone(), other_name.clone()));
            }
        }
    }
    pairs
}

fn reach_each_other(network: &Network<'_>, one: &End, other: &End) -> bool {
    let mut has_common_family = false;
    for family in Family::BOTH {
        let of_family = |end: &End| end.addresses.iter().copied().find(|address| Family::of(address) == family);
        let (Some(source), Some(destination)) = (of_family(one), of_family(other)) else { continue };
        has_common_family = true;
        let there = |from: &End, source, destination| {
            let packet = Packet { source: Some(source), destination };
            let walk = network.walk(&from.origin, packet);
            walk.arrives() && network.answer(&walk, packet).is_some_and(|answer| answer.arrives())
        };
        if !there(one, source, destination) || !there(other, destination, source) {
            return false;
        }
    }
    has_common_family
}

/// The pairs that do not reach each other from the failure of a node until the other nodes apply new plans.
fn interrupted(
    before: &ClusterPlan,
    gone: &BTreeSet<NodeName>,
    ends: &BTreeMap<String, End>,
    reached_after: &Pairs,
) -> Pairs {
    let mut meanwhile = before.clone();
    meanwhile.plans.retain(|name, _| !gone.contains(name));
    let reached_meanwhile = reached(&meanwhile.network(), ends);
    reached_after.difference(&reached_meanwhile).cloned().collect()
}

fn partners(pairs: &Pairs) -> Partners {
    let mut partners = Partners::new();
    for (name, other) in pairs {
        partners.entry(name.clone()).or_default().insert(other.clone());
    }
    partners
}
