//! Who carries for whom on either side of a gateway's return.

use std::collections::BTreeSet;

use super::gateway;
use super::location::Location;
use super::member::{Member, MemberIndex};
use super::outside::{self, OutsidePeer};
use crate::model::{Liveness, Settings};

/// Who carries for whom while the gateways that return are still down, and once they count again.
#[derive(Debug)]
pub(crate) struct CarrierChange {
    /// What is known of the nodes while they are down.
    pub(crate) liveness_before: Liveness,
    before: Assignment,
    after: Assignment,
}

#[derive(Debug)]
struct Assignment {
    /// In the members' order.
    carriers: Vec<Option<MemberIndex>>,
    /// Who serves outside peers, in the peers' order.
    servers: Vec<Option<MemberIndex>>,
}

impl CarrierChange {
    /// `None` where no gateway returns.
    pub(super) fn of(
        members: &[Member<'_>],
        locations: &[Location],
        outside: &[OutsidePeer<'_>],
        settings: &Settings,
        liveness: &Liveness,
    ) -> Option<Self> {
        let Liveness { down, returning, decapsulating: _ } = liveness;
        if returning.is_empty() {
            return None;
        }
        let under = |liveness: &Liveness| Assignment::under(members, locations, outside, settings, liveness);
        let liveness_before = Liveness::without(down | returning);
        Some(Self {
            before: under(&liveness_before),
            after: under(&Liveness::without(down - returning)),
            liveness_before,
        })
    }

    /// Those who carry for somebody, or serve an outside peer, for whom somebody else did so before.
    pub(crate) fn new_carriers(&self) -> BTreeSet<MemberIndex> {
        let carriers = self.before.carriers.iter().zip(&self.after.carriers);
        let servers = self.before.servers.iter().zip(&self.after.servers);
        carriers
            .chain(servers)
            .filter(|(before, after)| before.is_some() && before != after)
            .filter_map(|(_, after)| *after)
            .collect()
    }

    /// Whether one carries for a member, before or after.
    pub(crate) fn carries(&self, carrier: MemberIndex, of: MemberIndex) -> bool {
        [&self.before, &self.after].iter().any(|assignment| assignment.carriers.get(of.0) == Some(&Some(carrier)))
    }

    /// Whether one serves an outside peer, before or after; `peer` is its place among all.
    pub(crate) fn serves(&self, server: MemberIndex, peer: usize) -> bool {
        [&self.before, &self.after].iter().any(|assignment| assignment.servers.get(peer) == Some(&Some(server)))
    }

    /// Whether a member carried its own traffic before.
    pub(crate) fn carried_itself(&self, member: MemberIndex) -> bool {
        self.before.carriers.get(member.0).copied().flatten() == Some(member)
    }
}

impl Assignment {
    fn under(
        members: &[Member<'_>],
        locations: &[Location],
        outside: &[OutsidePeer<'_>],
        settings: &Settings,
        liveness: &Liveness,
    ) -> Self {
        let mut locations: Vec<Location> = locations.iter().map(Location::unassigned).collect();
        // They were told when the plan's own gateways were chosen.
        let mut told = BTreeSet::new();
        gateway::choose(members, &mut locations, settings, liveness, &mut told);
        Self {
            carriers: gateway::carriers(members, &locations, settings),
            servers: outside::servers(outside, members, &locations),
        }
    }
}
