//! What a node hears on its two sides, from answers and from the questions of others.

use std::time::Duration;

use carrick_topology::plan::PathKind;

use crate::Now;
use crate::packet::Reachability;

/// When somebody was last heard on each side.
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

    pub(crate) fn somebody(&mut self, now: Now, kind: PathKind) {
        match kind {
            PathKind::Tunnel => self.tunnels = Some(now),
            PathKind::Inside => self.inside = Some(now),
        }
    }

    /// Whether anybody is heard on a side. Where nobody is expected, silence means nothing.
    pub(crate) fn reachability(
        &self,
        now: Now,
        kind: PathKind,
        patience: Duration,
        expected: Expected,
    ) -> Reachability {
        let last = match kind {
            PathKind::Tunnel => self.tunnels,
            PathKind::Inside => self.inside,
        };
        match (last, expected) {
            (Some(last), _) if now.saturating_sub(last) < patience => Reachability::SomePeer,
            (_, Expected::NoPeer) => Reachability::Unknown,
            (_, Expected::SomePeer) if now.saturating_sub(self.since) < patience => Reachability::Unknown,
            (_, Expected::SomePeer) => Reachability::NoPeer,
        }
    }
}

/// Whether there is anybody to be heard on a side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    SomePeer,
    NoPeer,
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(1);

    const fn at(seconds: u64) -> Now {
        Duration::from_secs(seconds)
    }

    #[test]
    fn silence_counts_only_after_a_while_and_where_somebody_is_expected() {
        let mut heard = LastHeard::since(at(10));
        let tunnels =
            |heard: &LastHeard, now| heard.reachability(at(now), PathKind::Tunnel, PATIENCE, Expected::SomePeer);
        assert_eq!(tunnels(&heard, 10), Reachability::Unknown);
        assert_eq!(tunnels(&heard, 11), Reachability::NoPeer);
        assert_eq!(heard.reachability(at(11), PathKind::Tunnel, PATIENCE, Expected::NoPeer), Reachability::Unknown);
        heard.somebody(at(12), PathKind::Inside);
        assert_eq!(tunnels(&heard, 12), Reachability::NoPeer);
        heard.somebody(at(12), PathKind::Tunnel);
        assert_eq!((tunnels(&heard, 12), tunnels(&heard, 13)), (Reachability::SomePeer, Reachability::NoPeer));
    }
}
