//! Which gateway carries each node's traffic, and which one serves each outside peer.

use std::collections::BTreeSet;

use super::index::MemberIndex;
use super::location::Location;
use super::{Resolved, gateway, outside};
use crate::Liveness;

/// The carriers of all nodes and the servers of all outside peers, while certain nodes are live.
#[derive(Debug)]
pub(crate) struct Assignment {
    /// The carrier of each member, in the members' order.
    pub(crate) carriers: Vec<Option<MemberIndex>>,
    /// The server of each outside peer, in the peers' order.
    pub(crate) servers: Vec<Option<MemberIndex>>,
}

impl Assignment {
    /// The assignment of the same mesh under another liveness.
    pub(crate) fn under(resolved: &Resolved<'_>, liveness: &Liveness) -> Self {
        let Resolved { members, locations, settings, outside, .. } = resolved;
        let mut locations: Vec<Location> = locations.iter().map(Location::unassigned).collect();
        // The choice for the plan itself has warned already.
        let mut repeated = BTreeSet::new();
        gateway::choose(members, &mut locations, settings, liveness, &mut repeated);
        Self {
            carriers: gateway::carriers(members, &locations, settings),
            servers: outside::servers(outside, members, &locations),
        }
    }
}
