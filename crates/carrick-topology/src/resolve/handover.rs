//! Who carries for whom on either side of a gateway's return.

use std::collections::BTreeSet;

use super::gateway;
use super::location::Location;
use super::member::{Member, MemberIndex};
use super::outside::{self, OutsidePeer};
use crate::model::{Liveness, Settings};

/// Who carries for whom while the gateways that return are still down, and once they count again.
#[derive(Debug)]
pub(crate) struct Handover {
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

impl Handover {
    /// `None` where no gateway returns.
    pub(super) fn of(
        members: &[Member<'_>],
        locations: &[Location],
        outside: &[OutsidePeer<'_>],
        settings: &Settings,
        liveness: &Liveness,
    ) -> Option<Self> {
        let Liveness { down, returning } = liveness;
        if returning.is_empty() {
            return None;
        }
        let under = |liveness: &Liveness| Assignment::under(members, locations, outside, settings, liveness);
        Some(Self {
            before: under(&Liveness::without(down | returning)),
            after: under(&Liveness::without(down - returning)),
        })
    }

    /// Who carries from then on for a member for which `carrier` carries at first.
    pub(crate) fn successor(&self, carrier: MemberIndex, of: MemberIndex) -> Option<MemberIndex> {
        let carriers = |assignment: &Assignment| assignment.carriers.get(of.0).copied().flatten();
        other_than(carrier, carriers(&self.before), carriers(&self.after))
    }

    /// Who serves an outside peer from then on that `server` serves at first; `peer` is its place among all.
    pub(crate) fn next_server(&self, server: MemberIndex, peer: usize) -> Option<MemberIndex> {
        let servers = |assignment: &Assignment| assignment.servers.get(peer).copied().flatten();
        other_than(server, servers(&self.before), servers(&self.after))
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

fn other_than(me: MemberIndex, before: Option<MemberIndex>, after: Option<MemberIndex>) -> Option<MemberIndex> {
    (before == Some(me)).then_some(after).flatten().filter(|after| *after != me)
}
