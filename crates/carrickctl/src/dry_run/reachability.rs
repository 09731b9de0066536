//! Who reaches whom, by the packet walk over all pairs.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use carrick_topology::walk::{Network, Origin, Packet, sample_address};
use carrick_topology::{Family, NodeName};
use serde::Serialize;

use crate::cluster_plan::ClusterPlan;
use crate::output::{Document, Style};

/// Names that are reached, by the name that reaches them.
type Partners = BTreeMap<String, BTreeSet<String>>;

/// How it changes who reaches whom. A pair is a pair of nodes, by their pods, or of a node and an outside peer; it counts as reaching when
/// packets and answers pass in every family that both have. Each pair stands under the name that sorts first.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Reachability {
    /// The pairs that there are.
    pub pairs: usize,
    /// Nodes that are gone, and with them their pods.
    pub gone: BTreeSet<String>,
    /// Pairs that would reach each other no more, those of nodes that are gone left out.
    pub lost: Partners,
    /// Pairs that would reach each other anew.
    pub gained: Partners,
    /// Pairs that are cut off until the others have noticed that a node is gone, and reach each other then.
    pub interrupted: Partners,
}

impl Reachability {
    pub(super) fn between(before: &ClusterPlan, after: &ClusterPlan, gone: &BTreeSet<NodeName>) -> Self {
        let is_left = |name: &str| !gone.iter().any(|node| node.as_str() == name);
        let left = |ends: BTreeMap<String, End>| ends.into_iter().filter(|(name, _)| is_left(name)).collect();
        let (ends_before, ends_after): (BTreeMap<_, _>, BTreeMap<_, _>) = (left(ends(before)), left(ends(after)));
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
            document.line(format_args!("{node} is gone, and with it its pods; of the others:"));
        }
        for (what, partners, style) in [
            ("reach each other no more", &self.lost, Style::Bad),
            ("reach each other anew", &self.gained, Style::Good),
            ("are cut off until the others have noticed", &self.interrupted, Style::Warn),
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

/// Where packets come from and go to.
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

/// The pairs that reach each other, the name that sorts first in front.
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

/// What breaks at once when a node dies, and is mended by the others' new plans.
fn interrupted(
    before: &ClusterPlan,
    gone: &BTreeSet<NodeName>,
    ends: &BTreeMap<String, End>,
    reached_after: &Pairs,
) -> Pairs {
    let mut at_once = before.clone();
    at_once.plans.retain(|name, _| !gone.contains(name));
    let reached_at_once = reached(&at_once.network(), ends);
    reached_after.difference(&reached_at_once).cloned().collect()
}

fn partners(pairs: &Pairs) -> Partners {
    let mut partners = Partners::new();
    for (name, other) in pairs {
        partners.entry(name.clone()).or_default().insert(other.clone());
    }
    partners
}
