//! How one node sends towards each other one.

use std::collections::BTreeSet;

use crate::model::Granularity;
use crate::resolve::{Member, MemberIndex, Resolved, Tunnel};
use crate::{Warning, WarningReason};

/// How node `me` sends towards another member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hop {
    /// Through the tunnel to this gateway.
    Tunnel(MemberIndex),
    /// Through this node of the own location.
    Inside(MemberIndex),
    /// Not at all.
    Nowhere,
}

/// How `me` sends towards each member, in the members' order.
pub(super) fn hops(resolved: &Resolved<'_>, me: &Member<'_>, warnings: &mut BTreeSet<Warning>) -> Vec<Hop> {
    let mut tunnel_to = TunnelCache::new(resolved, me);
    resolved.members.iter().map(|other| hop(resolved, me, other, &mut tunnel_to, warnings)).collect()
}

fn hop(
    resolved: &Resolved<'_>,
    me: &Member<'_>,
    other: &Member<'_>,
    tunnel_to: &mut TunnelCache<'_>,
    warnings: &mut BTreeSet<Warning>,
) -> Hop {
    if other.index == me.index {
        return Hop::Nowhere;
    }
    if other.location == me.location {
        return match resolved.settings.granularity {
            Granularity::Full => Hop::Tunnel(other.index),
            Granularity::Location | Granularity::Cross => Hop::Inside(other.index),
        };
    }
    let (Some(gateway), Some(carrier)) = (me.carrier, other.carrier) else {
        return Hop::Nowhere;
    };
    if gateway != me.index {
        return Hop::Inside(gateway);
    }
    match tunnel_to.tunnel(carrier) {
        Tunnel::Direct => Hop::Tunnel(carrier),
        Tunnel::Relay(relay) => Hop::Tunnel(relay),
        Tunnel::None => {
            let far = resolved.at(carrier).node.name.clone();
            warnings.insert(Warning::new(me.object(), "endpoint", "none", WarningReason::NoPath(far)));
            Hop::Nowhere
        }
    }
}

/// The paths from `me`, each looked for once.
struct TunnelCache<'r> {
    resolved: &'r Resolved<'r>,
    me: MemberIndex,
    known: Vec<Option<Tunnel>>,
}

impl<'r> TunnelCache<'r> {
    fn new(resolved: &'r Resolved<'_>, me: &Member<'_>) -> Self {
        Self { resolved, me: me.index, known: vec![None; resolved.members.len()] }
    }

    fn tunnel(&mut self, to: MemberIndex) -> Tunnel {
        *self.known[to.0].get_or_insert_with(|| self.resolved.tunnel(self.me, to))
    }
}
