//! What a node hears on its two sides, from answers and from the questions of others.

use std::time::Duration;

use carrick_topology::plan::PathKind;

use crate::Now;
use crate::packet::Audience;

/// When somebody was last heard on each side.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    since: Now,
    tunnels: Option<Now>,
    inside: Option<Now>,
}

impl Heard {
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
    pub(crate) fn audience(&self, now: Now, kind: PathKind, patience: Duration, expected: Expected) -> Audience {
        let last = match kind {
            PathKind::Tunnel => self.tunnels,
            PathKind::Inside => self.inside,
        };
        match (last, expected) {
            (Some(last), _) if now.saturating_sub(last) < patience => Audience::Somebody,
            (_, Expected::Nobody) => Audience::Unknown,
            (_, Expected::Somebody) if now.saturating_sub(self.since) < patience => Audience::Unknown,
            (_, Expected::Somebody) => Audience::Nobody,
        }
    }
}

/// Whether there is anybody to be heard on a side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    Somebody,
    Nobody,
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
        let mut heard = Heard::since(at(10));
        let tunnels = |heard: &Heard, now| heard.audience(at(now), PathKind::Tunnel, PATIENCE, Expected::Somebody);
        assert_eq!(tunnels(&heard, 10), Audience::Unknown);
        assert_eq!(tunnels(&heard, 11), Audience::Nobody);
        assert_eq!(heard.audience(at(11), PathKind::Tunnel, PATIENCE, Expected::Nobody), Audience::Unknown);
        heard.somebody(at(12), PathKind::Inside);
        assert_eq!(tunnels(&heard, 12), Audience::Nobody);
        heard.somebody(at(12), PathKind::Tunnel);
        assert_eq!((tunnels(&heard, 12), tunnels(&heard, 13)), (Audience::Somebody, Audience::Nobody));
    }
}
