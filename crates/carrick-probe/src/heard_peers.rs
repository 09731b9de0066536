//! Which peers a node hears through its tunnels and inside its location: from answers, and from the probes of others.

use std::time::Duration;

use carrick_topology::plan::PathKind;

use crate::Now;

/// Whether a node hears a peer on one side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reachability {
    /// It is too early to tell, or there is no peer on that side.
    #[default]
    Unknown,
    /// It hears at least one peer.
    SomePeer,
    /// It hears none of the peers that it probes there.
    NoPeer,
}

/// Which peers a node hears.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeardPeers {
    /// From other locations, through its tunnels.
    pub tunnels: Reachability,
    /// From its own location.
    pub inside: Reachability,
}

/// When a peer was last heard on each side.
#[derive(Debug, Default)]
pub(crate) struct LastHeard {
    since: Now,
    tunnels: Option<Now>,
    inside: Option<Now>,
}

impl LastHeard {
    /// Listens from now on.
    pub(crate) fn since(now: Now) -> Self {
        Self { since: now, tunnels: None, inside: None }
    }

    /// A peer was heard by a path of this kind.
    pub(crate) fn note(&mut self, now: Now, kind: PathKind) {
        match kind {
            PathKind::Tunnel => self.tunnels = Some(now),
            PathKind::Inside => self.inside = Some(now),
        }
    }

    /// Whether a peer is heard by paths of this kind. Where no peer is expected, silence means nothing.
    pub(crate) fn reachability(&self, now: Now, kind: PathKind, timeout: Duration, expected: Expected) -> Reachability {
        let last = match kind {
            PathKind::Tunnel => self.tunnels,
            PathKind::Inside => self.inside,
        };
        match (last, expected) {
            (Some(last), _) if now.saturating_sub(last) < timeout => Reachability::SomePeer,
            (_, Expected::NoPeer) => Reachability::Unknown,
            (_, Expected::SomePeer) if now.saturating_sub(self.since) < timeout => Reachability::Unknown,
            (_, Expected::SomePeer) => Reachability::NoPeer,
        }
    }
}

/// Whether there is a peer to be heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    SomePeer,
    NoPeer,
}

/// Since when a node hears peers without a break.
#[derive(Debug, Default)]
pub(crate) struct HeardSince {
    well: Option<Now>,
    tunnels: Option<Now>,
}

impl HeardSince {
    /// The node hears these peers now.
    pub(crate) fn note(&mut self, now: Now, heard_peers: HeardPeers) {
        let is_well = ![heard_peers.tunnels, heard_peers.inside].contains(&Reachability::NoPeer)
            && heard_peers != HeardPeers::default();
        self.well = is_well.then(|| self.well.unwrap_or(now));
        let hears_tunnels = heard_peers.tunnels == Reachability::SomePeer;
        self.tunnels = hears_tunnels.then(|| self.tunnels.unwrap_or(now));
    }

    /// Since when a peer is heard on each side that has any.
    pub(crate) const fn well(&self) -> Option<Now> {
        self.well
    }

    /// Since when a peer is heard through tunnels.
    pub(crate) const fn tunnels(&self) -> Option<Now> {
        self.tunnels
    }
}

impl HeardPeers {
    /// Whether the node hears a peer by paths of this kind.
    #[must_use]
    pub const fn by(self, kind: PathKind) -> Reachability {
        match kind {
            PathKind::Tunnel => self.tunnels,
            PathKind::Inside => self.inside,
        }
    }

    /// The bits on the wire.
    pub(crate) const fn to_bits(self) -> u8 {
        self.tunnels.to_bits() | self.inside.to_bits() << 2
    }

    /// From a byte on the wire, which may hold other bits as well.
    pub(crate) const fn from_bits(bits: u8) -> Self {
        Self { tunnels: Reachability::from_bits(bits), inside: Reachability::from_bits(bits >> 2) }
    }
}

impl Reachability {
    const fn to_bits(self) -> u8 {
        match self {
            Self::Unknown => 0,
            Self::SomePeer => 1,
            Self::NoPeer => 2,
        }
    }

    const fn from_bits(bits: u8) -> Self {
        match bits & 0b11 {
            1 => Self::SomePeer,
            2 => Self::NoPeer,
            _ => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(1);

    const fn at(seconds: u64) -> Now {
        Duration::from_secs(seconds)
    }

    #[test]
    fn silence_counts_after_the_timeout_and_only_where_a_peer_is_expected() {
        let mut heard = LastHeard::since(at(10));
        let tunnels =
            |heard: &LastHeard, now| heard.reachability(at(now), PathKind::Tunnel, TIMEOUT, Expected::SomePeer);
        assert_eq!(tunnels(&heard, 10), Reachability::Unknown);
        assert_eq!(tunnels(&heard, 11), Reachability::NoPeer);
        assert_eq!(heard.reachability(at(11), PathKind::Tunnel, TIMEOUT, Expected::NoPeer), Reachability::Unknown);
        heard.note(at(12), PathKind::Inside);
        assert_eq!(tunnels(&heard, 12), Reachability::NoPeer);
        heard.note(at(12), PathKind::Tunnel);
        assert_eq!((tunnels(&heard, 12), tunnels(&heard, 13)), (Reachability::SomePeer, Reachability::NoPeer));
    }

    #[test]
    fn a_node_is_well_while_it_hears_a_peer_on_each_side_that_has_one() {
        let heard = |tunnels, inside| HeardPeers { tunnels, inside };
        let mut since = HeardSince::default();
        since.note(at(1), HeardPeers::default());
        assert_eq!((since.well(), since.tunnels()), (None, None), "too early to tell");
        since.note(at(5), heard(Reachability::Unknown, Reachability::SomePeer));
        since.note(at(7), heard(Reachability::SomePeer, Reachability::SomePeer));
        assert_eq!((since.well(), since.tunnels()), (Some(at(5)), Some(at(7))));
        since.note(at(10), heard(Reachability::SomePeer, Reachability::NoPeer));
        assert_eq!((since.well(), since.tunnels()), (None, Some(at(7))));
    }
}
