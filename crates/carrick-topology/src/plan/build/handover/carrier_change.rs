//! What a handover moves, from whom and to whom.

use std::collections::BTreeSet;

use crate::resolve::{Assignment, MemberIndex, Resolved};
use crate::{Liveness, NodeName};

/// The assignment before a handover and the one after it.
#[derive(Debug)]
pub(super) struct CarrierChange {
    /// Which nodes are down before.
    pub(super) liveness_before: Liveness,
    before: Assignment,
    after: Assignment,
}

impl CarrierChange {
    /// The change from a mesh in which the nodes of `down_before` are down to one in which those of `down_after` are.
    pub(super) fn between(
        resolved: &Resolved<'_>,
        down_before: BTreeSet<NodeName>,
        down_after: BTreeSet<NodeName>,
    ) -> Self {
        let liveness_before = Liveness::without(down_before);
        Self {
            before: Assignment::under(resolved, &liveness_before),
            after: Assignment::under(resolved, &Liveness::without(down_after)),
            liveness_before,
        }
    }

    /// The gateways that take over a node's traffic or an outside peer from another gateway.
    pub(super) fn new_carriers(&self) -> BTreeSet<MemberIndex> {
        let carriers = self.before.carriers.iter().zip(&self.after.carriers);
        let servers = self.before.servers.iter().zip(&self.after.servers);
        carriers
            .chain(servers)
            .filter(|(before, after)| before.is_some() && before != after)
            .filter_map(|(_, after)| *after)
            .collect()
    }

    /// Whether a gateway carries for a member, before or after.
    pub(super) fn carries(&self, carrier: MemberIndex, of: MemberIndex) -> bool {
        self.either(|assignment| assignment.carriers.get(of.0) == Some(&Some(carrier)))
    }

    /// Whether a gateway serves an outside peer, before or after; `peer` is the peer's position among all.
    pub(super) fn serves(&self, server: MemberIndex, peer: usize) -> bool {
        self.either(|assignment| assignment.servers.get(peer) == Some(&Some(server)))
    }

    /// Whether a member carries its own traffic before.
    pub(super) fn carries_itself_before(&self, member: MemberIndex) -> bool {
        self.before.carriers.get(member.0).copied().flatten() == Some(member)
    }

    fn either(&self, holds: impl Fn(&Assignment) -> bool) -> bool {
        [&self.before, &self.after].into_iter().any(holds)
    }
}
