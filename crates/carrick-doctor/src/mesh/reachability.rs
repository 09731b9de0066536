//! Whether tunnels have sessions, and if not, which direction is blocked.

use std::collections::{BTreeMap, BTreeSet};

use carrick_topology::NodeName;

use super::tunnel::{Delivery, End, Tunnel, tunnels};
use crate::finding::listed;
use crate::{Check, Finding, Observations};

/// Finds directions in which packets do not arrive, and tunnels without a session although packets arrive. Not those of a tunnel whose endpoint
/// is in a pod CIDR: the check of endpoints gives the cause.
pub(super) fn reachability(observations: &Observations) -> Vec<Finding> {
    let is_suspect =
        |tunnel: &Tunnel<'_>| tunnel.has_unanswered_probes() || (!tunnel.has_session() && tunnel.is_in_use());
    let all = tunnels(observations);
    let suspects: Vec<&Tunnel<'_>> =
        all.iter().filter(|tunnel| is_suspect(tunnel)).filter(|tunnel| !tunnel.dials_pods()).collect();
    let blocked: Vec<Loss<'_>> =
        suspects.iter().flat_map(|tunnel| tunnel.losses()).map(|(from, to)| Loss { from, to }).collect();
    let unexplained = suspects.iter().filter(|tunnel| !tunnel.has_session() && tunnel.losses().next().is_none());
    let mut findings = explained(blocked, &deliveries(&all));
    findings.extend(unexplained.map(|tunnel| without_session(tunnel)));
    findings
}

/// The directions in which packets arrive, each from a sender to a receiver.
fn deliveries<'a>(tunnels: &[Tunnel<'a>]) -> BTreeSet<(&'a NodeName, &'a NodeName)> {
    let arrives = |tunnel: &Tunnel<'a>| {
        let works = tunnel.has_session() && tunnel.losses().next().is_none();
        tunnel.directions().into_iter().filter(move |(_, _, delivery)| *delivery == Delivery::Open || works)
    };
    tunnels.iter().flat_map(arrives).map(|(from, to, _)| (from.node, to.node)).collect()
}

/// A direction in which one end sends and the other one receives nothing.
#[derive(Clone, Copy, Debug)]
struct Loss<'a> {
    from: End<'a>,
    to: End<'a>,
}

/// One finding for each node that several losses have in common.
fn explained(mut losses: Vec<Loss<'_>>, delivered: &BTreeSet<(&NodeName, &NodeName)>) -> Vec<Finding> {
    let mut findings = Vec::new();
    while !losses.is_empty() {
        let Some((node, side)) = most_common(&losses) else { break };
        let (explained, rest): (Vec<_>, Vec<_>) = losses.into_iter().partition(|loss| side.of(loss).node == node);
        findings.push(side.finding(node, &explained, delivered));
        losses = rest;
    }
    findings
}

/// One of the two ends of a loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Side {
    Sender,
    Receiver,
}

impl Side {
    const fn of<'a>(self, loss: &Loss<'a>) -> End<'a> {
        match self {
            Self::Sender => loss.from,
            Self::Receiver => loss.to,
        }
    }

    const fn other(self) -> Self {
        match self {
            Self::Sender => Self::Receiver,
            Self::Receiver => Self::Sender,
        }
    }

    /// What all these losses say of the node that they have in common.
    fn finding(self, node: &NodeName, losses: &[Loss<'_>], delivered: &BTreeSet<(&NodeName, &NodeName)>) -> Finding {
        let others: BTreeSet<&NodeName> = losses.iter().map(|loss| self.other().of(loss).node).collect();
        let sends = listed(losses.iter().map(destination));
        let text = match self {
            Self::Sender => format!("no UDP packet from this node arrives at {}: {sends}", listed(&others)),
            Self::Receiver => format!("no UDP packet arrives from {}: {sends}", listed(&others)),
        };
        let working: BTreeSet<&NodeName> = match self {
            Self::Sender => delivered.iter().filter(|(from, _)| *from == node).map(|(_, to)| *to).collect(),
            Self::Receiver => delivered.iter().filter(|(_, to)| *to == node).map(|(from, _)| *from).collect(),
        };
        let remedy = if working.is_empty() { self.remedy(losses) } else { self.remedy_between(&others, &working) };
        Finding::problem(Check::UdpReachability, text, remedy + &route_hint(losses)).towards(others).on(node)
    }

    /// What to do where packets of other nodes pass.
    fn remedy_between(self, others: &BTreeSet<&NodeName>, working: &BTreeSet<&NodeName>) -> String {
        let (others, working) = (listed(others), listed(working));
        match self {
            Self::Sender => format!(
                "the packets of this node arrive at {working}, so the fault lies between this node and {others}: check the routes and firewalls on the path, and the endpoint that this node dials"
            ),
            Self::Receiver => format!(
                "packets from {working} arrive at this node, so the fault lies between {others} and this node: check the routes and firewalls on the path, and the endpoint that is dialled"
            ),
        }
    }

    fn remedy(self, losses: &[Loss<'_>]) -> String {
        let undialled = losses.iter().find(|loss| loss.from.planned.endpoint.is_none());
        match (self, undialled.map(|loss| loss.to.planned.persistent_keepalive)) {
            (Self::Sender, _) => "allow outgoing UDP packets from this node (firewall, security group, router)",
            (Self::Receiver, Some(None)) => {
                "set carrick.dev/persistent-keepalive to 25s if the node is behind NAT, and allow incoming UDP packets"
            }
            (Self::Receiver, Some(Some(_))) => {
                "check the uplink, the default route and the router of this node: it sends keepalives, which keep a NAT open, and no answer arrives"
            }
            (Self::Receiver, None) => {
                "open the UDP port of this node (firewall, security group, router), or set carrick.dev/endpoint to an address and port that reach it"
            }
        }
        .to_owned()
    }
}

/// How to see where the packets of a loss leave their sender.
fn route_hint(losses: &[Loss<'_>]) -> String {
    let dialled = losses.iter().find_map(|loss| Some((loss.from, loss.from.dialled()?)));
    dialled.map_or_else(String::new, |(from, endpoint)| {
        let mark = from.firewall_mark().map(|mark| format!(" mark {mark:#x}")).unwrap_or_default();
        format!(
            "; on {}, `ip route get {}{mark}` shows by which device and gateway they leave",
            from.node,
            endpoint.ip()
        )
    })
}

/// Where the sender of a loss sends its packets.
fn destination(loss: &Loss<'_>) -> String {
    match loss.from.dialled() {
        Some(endpoint) => format!("{} sends to {endpoint}", loss.from.node),
        None => format!("{} knows no endpoint", loss.from.node),
    }
}

/// The end that most losses have in common. If several qualify, a receiver before a sender, then the first by name.
fn most_common<'a>(losses: &[Loss<'a>]) -> Option<(&'a NodeName, Side)> {
    let mut counts: BTreeMap<(&NodeName, Side), usize> = BTreeMap::new();
    for loss in losses {
        for side in [Side::Receiver, Side::Sender] {
            *counts.entry((side.of(loss).node, side)).or_default() += 1;
        }
    }
    let most = counts.values().max().copied()?;
    let candidates = counts.into_iter().filter(|(_, count)| *count == most).map(|(end, _)| end);
    candidates.min_by_key(|(node, side)| (*side == Side::Sender, *node))
}

fn without_session(tunnel: &Tunnel<'_>) -> Finding {
    let [one, other] = &tunnel.ends;
    let age = |end: &End<'_>| match end.state().and_then(|state| state.seconds_since_handshake) {
        Some(seconds) => format!("{} s ago at {}", seconds, end.node),
        None => format!("never at {}", end.node),
    };
    let is_open = tunnel.directions().iter().all(|(_, _, delivery)| *delivery == Delivery::Open);
    let (also, remedy) = if is_open {
        (
            ", although packets arrive in both directions",
            "find what drops some of the UDP packets on the path, and check whether a clock was set back",
        )
    } else {
        ("", "check the firewalls between the two nodes, and their endpoints")
    };
    let text = format!("no session with {}: the last handshake was {}, {}{also}", other.node, age(one), age(other));
    Finding::problem(Check::Handshakes, text, remedy).on(one.node).towards([other.node])
}

#[cfg(test)]
mod tests {
    use carrick_probe::{PathKind, PathState};

    use crate::fixtures::{diagnosed, mesh, path};
    use crate::needs_second_sample;

    #[test]
    fn a_blocked_direction_is_reported_at_its_receiver() {
        let found = diagnosed(|mesh| {
            mesh.forget_sessions("a1", "b1");
            mesh.second_sample();
            mesh.moved("a1", "b1", 296, 0);
            mesh.moved("b1", "a1", 184, 296);
        });
        assert_eq!(found.problems(), ["udp-reachability a1"]);
        assert!(
            found.texts().contains("no UDP packet arrives from b1: b1 sends to 198.51.100.1:51820"),
            "{}",
            found.texts()
        );
    }

    #[test]
    fn where_other_nodes_reach_the_port_the_fault_lies_between_the_two() {
        let blocked = |is_reached: bool| {
            diagnosed(|mesh| {
                mesh.forget_sessions("a1", "b1");
                if !is_reached {
                    mesh.forget_sessions("a1", "c1");
                }
                mesh.second_sample();
                mesh.moved("a1", "b1", 296, 0);
                mesh.moved("b1", "a1", 184, 296);
            })
        };
        let between = blocked(true).remedies();
        assert!(between.contains("packets from c1 arrive at this node, so the fault lies between b1 and this node"));
        assert!(!between.contains("open the UDP port"), "{between}");
        assert!(between.contains("on b1, `ip route get 198.51.100.1 mark 0x"), "{between}");
        assert!(blocked(false).remedies().contains("open the UDP port of this node"));
    }

    #[test]
    fn a_keepalive_that_is_set_is_not_advised() {
        let remedies = |keepalive| {
            let found = diagnosed(|mesh| {
                for other in ["b1", "c1"] {
                    mesh.forget_sessions("a1", other);
                    mesh.planned(other, "a1").endpoint = None;
                    mesh.planned("a1", other).persistent_keepalive = keepalive;
                }
                mesh.second_sample();
                for other in ["b1", "c1"] {
                    mesh.moved("a1", other, 0, 0);
                    mesh.moved(other, "a1", 184, 0);
                }
            });
            assert_eq!(found.problems(), ["udp-reachability a1"]);
            found.remedies()
        };
        assert!(remedies(None).contains("set carrick.dev/persistent-keepalive"), "{}", remedies(None));
        let set = remedies(Some(25));
        assert!(!set.contains("persistent-keepalive") && set.contains("check the uplink"), "{set}");
    }

    #[test]
    fn an_endpoint_in_a_pod_cidr_is_the_only_finding_although_packets_are_lost_for_it() {
        let found = diagnosed(|mesh| {
            mesh.dial("a1", "b1", "10.42.2.1:51820".parse().unwrap());
            mesh.forget_sessions("a1", "b1");
            mesh.second_sample();
            mesh.moved("a1", "b1", 296, 0);
            mesh.moved("b1", "a1", 184, 296);
        });
        assert_eq!(found.problems(), ["endpoint-in-pod-cidr b1"]);
    }

    #[test]
    fn a_node_that_all_losses_have_in_common_is_one_finding() {
        let found = diagnosed(|mesh| {
            mesh.second_sample();
            for other in ["a1", "c1"] {
                mesh.forget_sessions("b1", other);
                mesh.moved("b1", other, 296, 0);
                mesh.moved(other, "b1", 0, 0);
            }
        });
        assert_eq!(found.problems(), ["udp-reachability b1"]);
        assert!(found.texts().contains("no UDP packet from this node arrives at a1, c1"), "{}", found.texts());
    }

    #[test]
    fn a_tunnel_without_a_session_where_packets_arrive_fails_the_handshakes_check() {
        let found = diagnosed(|mesh| {
            mesh.forget_sessions("a1", "b1");
            mesh.second_sample();
            mesh.moved("a1", "b1", 296, 148);
            mesh.moved("b1", "a1", 296, 148);
        });
        assert_eq!(found.problems(), ["handshakes a1"]);
        assert!(found.texts().contains("never at a1, never at b1, although packets arrive"));
    }

    #[test]
    fn a_session_that_only_one_end_has_does_not_hide_a_blocked_direction() {
        let down = carrick_probe::ProbedPath { state: PathState::Down, ..path("b1", PathKind::Tunnel, None) };
        let found = diagnosed(|mesh| {
            mesh.status("a1").paths = vec![down];
            mesh.second_sample();
            mesh.moved("a1", "b1", 296, 0);
            mesh.moved("b1", "a1", 184, 296);
        });
        assert_eq!(found.problems(), ["udp-reachability a1"]);
    }

    #[test]
    fn a_handshake_that_is_repeated_early_is_no_session() {
        let down = carrick_probe::ProbedPath { state: PathState::Down, ..path("b1", PathKind::Tunnel, None) };
        let ages = |before, after| {
            diagnosed(|mesh| {
                mesh.status("a1").paths = vec![down.clone()];
                mesh.second_sample();
                mesh.peer("a1", "b1").seconds_since_handshake = Some(before);
                mesh.later("a1", "b1").seconds_since_handshake = Some(after);
                mesh.moved("a1", "b1", 296, 148);
                mesh.moved("b1", "a1", 296, 148);
            })
        };
        assert_eq!(ages(2, 3).problems(), ["handshakes a1"]);
        assert_eq!(ages(2, 8).problems(), ["probe-port b1"]);
        assert_eq!(ages(119, 3).problems(), ["probe-port b1"]);
    }

    #[test]
    fn a_tunnel_that_is_not_in_use_needs_no_session() {
        let found = diagnosed(|mesh| {
            mesh.forget_sessions("a1", "b1");
            mesh.second_sample();
        });
        assert_eq!(found.problems(), [""; 0]);
    }

    #[test]
    fn only_a_tunnel_without_a_session_needs_a_second_sample() {
        let mut observations = mesh();
        assert!(!needs_second_sample(&observations));
        observations.forget_sessions("a1", "b1");
        assert!(needs_second_sample(&observations));
    }
}
