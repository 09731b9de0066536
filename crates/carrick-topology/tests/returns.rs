//! While a gateway returns or drains, nodes move their traffic one after the other. No packet may be lost in any mixture of nodes that have moved it and
//! nodes that have not.

#![expect(clippy::unwrap_used, reason = "a test may fail wherever it likes")]

#[expect(dead_code, reason = "the other properties use the rest of it")]
mod generated;

use std::collections::{BTreeMap, BTreeSet};

use carrick_topology::Liveness;
use carrick_topology::handover::{Decapsulation, HandoverReport};
use carrick_topology::plan::{NodePlan, plan_all};
use carrick_topology::walk::{DropReason, Link, Network, Origin, Outcome, Packet, Walk, sample_address};
use carrick_topology::{Family, NodeName, WarningReason, plan};
use generated::{Scenario, scenario};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

type Plans = BTreeMap<NodeName, NodePlan>;

/// What a gateway does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Returns,
    Drains,
}

/// How far the event has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Before,
    /// Far gateways accept encapsulated packets and ask for them.
    Accepted,
    /// The nodes of the gateway's own location send by the new carrier.
    Sent,
    /// Far gateways have moved the source addresses.
    Moved,
    /// Far gateways have stopped to ask for encapsulated packets, and the old carriers have removed their tunnels.
    Settling,
    /// Far gateways have stopped to accept encapsulated packets.
    Over,
}

impl Stage {
    const ALL: [Self; 6] = [Self::Before, Self::Accepted, Self::Sent, Self::Moved, Self::Settling, Self::Over];

    fn before(self) -> Self {
        Self::ALL.into_iter().rfind(|stage| *stage < self).unwrap_or(self)
    }
}

/// The traffic that moves to or from one gateway.
struct Move<'s> {
    scenario: &'s Scenario,
    gateway: NodeName,
    event: Event,
    /// The plans of a mesh without and with the gateway.
    without: Plans,
    with: Plans,
}

impl<'s> Move<'s> {
    fn new(scenario: &'s Scenario, gateway: &NodeName, event: Event) -> Self {
        let of = |down: &[&NodeName]| {
            let down = down.iter().map(|name| (*name).clone());
            plan_all(&scenario.cluster, &scenario.settings, &Liveness::without(down))
        };
        Self { scenario, gateway: gateway.clone(), event, without: of(&[gateway]), with: of(&[]) }
    }

    fn is_beside(&self, node: &NodeName) -> bool {
        let (here, there) = (&self.with[node].location, &self.with[&self.gateway].location);
        here.name == there.name && !here.alone && !there.alone
    }

    /// Whether a node probes the gateway from another location.
    fn is_far_gateway(&self, node: &NodeName) -> bool {
        !self.is_beside(node) && self.with[node].location.gateway.as_ref() == Some(node)
    }

    fn liveness(&self, node: &NodeName, stage: Stage) -> Liveness {
        let (has_moved, moves) = if node == &self.gateway {
            return Liveness::default();
        } else if self.is_beside(node) {
            (stage >= Stage::Sent, (Stage::Sent..=Stage::Moved).contains(&stage))
        } else if self.is_far_gateway(node) {
            (stage >= Stage::Moved, (Stage::Accepted..=Stage::Settling).contains(&stage))
        } else {
            return Liveness::default();
        };
        let gateway = |is: bool| is.then(|| self.gateway.clone()).into_iter().collect();
        let (down, handover) = match self.event {
            Event::Returns => (!has_moved, HandoverReport { returning: gateway(moves), ..HandoverReport::default() }),
            Event::Drains => (has_moved, HandoverReport { draining: gateway(moves), ..HandoverReport::default() }),
        };
        Liveness { handover, ..Liveness::without(gateway(down)) }
    }

    /// The plans with every node at this stage, or at the stage before if the node is `late`. A node that `hears` knows already that a far
    /// gateway started or stopped to ask for encapsulated packets.
    fn plans(&self, stage: Stage, late: impl Fn(&NodeName) -> bool, hears: impl Fn(&NodeName) -> bool) -> Plans {
        let (cluster, settings) = (&self.scenario.cluster, &self.scenario.settings);
        let progress = |node: &NodeName| if late(node) { stage.before() } else { stage };
        let mut plans = Plans::new();
        let mut decapsulating: BTreeMap<NodeName, BTreeMap<NodeName, Decapsulation>> = BTreeMap::new();
        for node in self.with.keys() {
            let plan = plan(cluster, settings, &self.liveness(node, progress(node)), node).unwrap();
            for sender in plan.handover.iter().flat_map(|handover| handover.senders.keys()) {
                let knows = match stage {
                    Stage::Before | Stage::Over => false,
                    Stage::Sent | Stage::Moved => true,
                    Stage::Accepted | Stage::Settling => hears(sender),
                };
                if knows {
                    decapsulating.entry(sender.clone()).or_default().insert(node.clone(), Decapsulation::Proven);
                }
            }
            plans.insert(node.clone(), plan);
        }
        for (sender, decapsulating) in decapsulating {
            let mut liveness = self.liveness(&sender, progress(&sender));
            liveness.handover.decapsulating = decapsulating;
            plans.insert(sender.clone(), plan(cluster, settings, &liveness, &sender).unwrap());
        }
        plans
    }

    fn walks(&self, plans: &Plans) -> BTreeMap<(NodeName, NodeName, Family), Walk> {
        let network = Network::new(&self.scenario.cluster, &self.scenario.settings, &Liveness::default(), plans);
        let mut walks = BTreeMap::new();
        for from in plans.values() {
            for to in plans.values().filter(|to| to.node != from.node) {
                for family in Family::BOTH {
                    let pod = |plan: &NodePlan| {
                        plan.pod_cidrs.iter().find(|cidr| Family::of_net(cidr) == family).map(sample_address)
                    };
                    if let (source @ Some(_), Some(destination)) = (pod(from), pod(to)) {
                        let walk = network.walk(&Origin::Pod(from.node.clone()), Packet { source, destination });
                        walks.insert((from.node.clone(), to.node.clone(), family), walk);
                    }
                }
            }
        }
        walks
    }
}

/// Whether a packet arrives at a pod through one tunnel at most. Relays are not covered.
fn arrives_directly(walk: &Walk) -> bool {
    let tunnels = walk.hops.iter().filter(|hop| matches!(hop.link, Link::WireGuard | Link::Encapsulated)).count();
    matches!(walk.outcome, Outcome::Pod(_)) && tunnels < 2
}

/// Whether the walk ends at a gateway that has no path to a gateway of the other location, which its own plan reports. While the
/// nodes beside it change over, it gets packets that it could not carry before either.
fn is_reported(walk: &Walk, plans: &Plans) -> bool {
    let Outcome::Dropped(node, DropReason::UnreachableRoute) = &walk.outcome else { return false };
    plans[node].warnings.iter().any(|warning| matches!(warning.reason, WarningReason::NoPath(_)))
}

proptest! {
    // The default keeps found cases in a folder beside `lib.rs` or `main.rs`, and an integration test in one file has neither.
    #![proptest_config(ProptestConfig::with_failure_persistence(FileFailurePersistence::WithSource("proptest-regressions")))]

    #[test]
    fn no_mixture_of_stages_loses_a_packet(
        scenario in scenario(14),
        place in any::<prop::sample::Index>(),
        event in prop::sample::select(vec![Event::Returns, Event::Drains]),
        late in prop::collection::vec(any::<bool>(), 16),
        hears in prop::collection::vec(any::<bool>(), 16),
    ) {
        let calm = plan_all(&scenario.cluster, &scenario.settings, &Liveness::default());
        // A gateway does not drain where no other one serves.
        let may = |gateways: &BTreeSet<&NodeName>| event == Event::Returns || gateways.len() > 1;
        let gateways = calm.values().map(|plan| plan.location.active.iter().chain(&plan.location.standby).collect());
        let gateways: BTreeSet<NodeName> = gateways.filter(may).flatten().cloned().collect();
        if gateways.is_empty() {
            return Ok(());
        }
        let gateways: Vec<NodeName> = gateways.into_iter().collect();
        let moved = Move::new(&scenario, place.get(&gateways), event);
        let names: Vec<&NodeName> = calm.keys().collect();
        let by_name = |flags: &[bool], name: &NodeName| flags[names.binary_search(&name).unwrap() % flags.len()];
        let (without, with) = (moved.walks(&moved.without), moved.walks(&moved.with));
        for stage in Stage::ALL {
            let plans = moved.plans(stage, |node| by_name(&late, node), |node| by_name(&hears, node));
            for (pair, walk) in moved.walks(&plans) {
                if arrives_directly(&without[&pair]) && arrives_directly(&with[&pair]) {
                    prop_assert!(
                        matches!(walk.outcome, Outcome::Pod(_)) || is_reported(&walk, &plans),
                        "{:?} at {:?}, {} {:?}: {:?} {:?}", pair, stage, moved.gateway, event, walk.hops, walk.outcome
                    );
                }
            }
        }
    }
}
