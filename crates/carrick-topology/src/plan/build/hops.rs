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
    /// By another hop than the tunnel to the gateway itself, which is broken. The gateway's mesh addresses stay with its own tunnel, so that probes
    /// notice when the tunnel works again.
    Bypass(Through),
    /// Through this node of the own location.
    Inside(MemberIndex),
    /// Not at all.
    Nowhere,
}

/// How packets go around a broken tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Through {
    /// Through the tunnel to this gateway.
    Tunnel(MemberIndex),
    /// Through this gateway of the own location.
    Inside(MemberIndex),
}

impl Hop {
    /// The hop towards all networks of a member except its mesh addresses.
    pub(super) const fn to_networks(self) -> Self {
        match self {
            Self::Bypass(Through::Tunnel(gateway)) => Self::Tunnel(gateway),
            Self::Bypass(Through::Inside(gateway)) => Self::Inside(gateway),
            Self::Tunnel(_) | Self::Inside(_) | Self::Nowhere => self,
        }
    }

    /// The hop towards the mesh addresses of this member.
    pub(super) const fn to_mesh_addresses(self, of: MemberIndex) -> Self {
        match self {
            Self::Bypass(_) => Self::Tunnel(of),
            Self::Tunnel(_) | Self::Inside(_) | Self::Nowhere => self,
        }
    }
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
        Tunnel::Direct => match resolved.bypass(me.index, carrier) {
            Some(gateway) => {
                let is_inside = resolved.at(gateway).location == me.location;
                let through = if is_inside { Through::Inside(gateway) } else { Through::Tunnel(gateway) };
                let hop = Hop::Bypass(through);
                if other.index == carrier { hop } else { hop.to_networks() }
            }
            None => Hop::Tunnel(carrier),
        },
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
