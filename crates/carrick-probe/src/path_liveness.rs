//! Whether the other end of one path is heard.

use std::time::Duration;

use carrick_topology::plan::PathKind;

use crate::Now;
use crate::flap_count::FlapCount;
use crate::packet::{Condition, HeardPeers, Reachability};
use crate::probed_path::PathState;

/// A path is down after so many probes in a row without any sign of life.
const MISSES: u32 = 3;

/// A kernel whose agent does not run refuses one probe a second once its allowance is used up; three refusals may get lost.
const REFUSAL_PATIENCE: Duration = Duration::from_millis(3_500);

/// Signs of life of the other end.
#[derive(Debug, Default)]
pub(crate) struct PathLiveness {
    state: Option<Heard>,
    missed: u32,
    /// When the latest probe went out that found life.
    heard_from: Option<Now>,
    /// Whatever went out since then found none.
    silent_from: Option<Now>,
    /// Since when the other end says that it hears nobody through its tunnels, and nobody inside.
    deaf_since: (Option<Now>, Option<Now>),
    /// Since when it says that it hears somebody there.
    hears_since: (Option<Now>, Option<Now>),
    allowance: Allowance,
    /// Since when the other end is well, as it says.
    well_since: Option<Now>,
}

/// What was heard last.
#[derive(Clone, Copy, Debug)]
enum Heard {
    Agent { heard_peers: HeardPeers, flap_count: FlapCount },
    Kernel { at: Now },
    Nothing,
}

impl PathLiveness {
    /// The other end's agent answered a probe that was sent then.
    pub(crate) fn answered(&mut self, now: Now, sent_at: Now, condition: Condition) {
        let Condition { heard_peers, well_ms, flap_count, .. } = condition;
        self.well_since = now.checked_sub(Duration::from_millis(well_ms.into()));
        self.state = Some(Heard::Agent { heard_peers, flap_count });
        let since = |before: (Option<Now>, Option<Now>), reachability| {
            let one = |before: Option<Now>, said| (said == reachability).then(|| before.unwrap_or(now));
            (one(before.0, heard_peers.tunnels), one(before.1, heard_peers.inside))
        };
        self.deaf_since = since(self.deaf_since, Reachability::NoPeer);
        self.hears_since = since(self.hears_since, Reachability::SomePeer);
        self.lives(sent_at);
    }

    /// The other end's kernel said that nobody listens: the way there is open.
    pub(crate) fn refused(&mut self, now: Now) {
        self.state = Some(Heard::Kernel { at: now });
        self.allowance.take_one(now);
        (self.deaf_since, self.hears_since) = ((None, None), (None, None));
        self.lives(now);
    }

    fn lives(&mut self, from: Now) {
        self.heard_from = self.heard_from.max(Some(from));
        self.silent_from = None;
        self.missed = 0;
    }

    /// A probe that was sent then remained without an answer.
    pub(crate) fn missed(&mut self, now: Now, sent_at: Now) {
        if let Some(Heard::Kernel { at }) = self.state
            && !self.allowance.is_left(sent_at)
            && now.saturating_sub(at) < REFUSAL_PATIENCE
        {
            return;
        }
        self.missed = self.missed.saturating_add(1);
        // The first one may have been under way when the other end fell silent.
        if self.missed == 2 {
            self.silent_from = Some(sent_at);
        }
        let is_over = match self.state {
            Some(Heard::Kernel { at }) => self.missed >= MISSES || now.saturating_sub(at) >= REFUSAL_PATIENCE,
            Some(Heard::Agent { .. } | Heard::Nothing) | None => self.missed >= MISSES,
        };
        if is_over {
            self.silent_from = self.silent_from.or(Some(sent_at));
            self.state = Some(Heard::Nothing);
            self.hears_since = (None, None);
        }
    }

    /// Whether it is about to be told: probes should not wait.
    pub(crate) fn is_suspect(&self) -> bool {
        (1..MISSES).contains(&self.missed)
    }

    pub(crate) const fn state(&self) -> PathState {
        match self.state {
            None => PathState::Unknown,
            Some(Heard::Agent { .. }) => PathState::Up,
            Some(Heard::Kernel { .. }) => PathState::AgentAway,
            Some(Heard::Nothing) => PathState::Down,
        }
    }

    pub(crate) const fn heard_from(&self) -> Option<Now> {
        self.heard_from
    }

    pub(crate) const fn well_since(&self) -> Option<Now> {
        self.well_since
    }

    pub(crate) const fn silent_from(&self) -> Option<Now> {
        self.silent_from
    }

    /// Since when the other end says that it hears nobody by the ways of this kind.
    pub(crate) const fn deaf_since(&self, kind: PathKind) -> Option<Now> {
        match kind {
            PathKind::Tunnel => self.deaf_since.0,
            PathKind::Inside => self.deaf_since.1,
        }
    }

    /// Since when the other end says that it hears somebody by the ways of this kind.
    pub(crate) const fn hears_since(&self, kind: PathKind) -> Option<Now> {
        match kind {
            PathKind::Tunnel => self.hears_since.0,
            PathKind::Inside => self.hears_since.1,
        }
    }

    /// What the other end said that it hears.
    pub(crate) fn heard_peers(&self) -> HeardPeers {
        match self.state {
            Some(Heard::Agent { heard_peers, .. }) => heard_peers,
            Some(Heard::Kernel { .. } | Heard::Nothing) | None => HeardPeers::default(),
        }
    }

    /// How often it fell, as it was told.
    pub(crate) fn flap_count(&self) -> FlapCount {
        match self.state {
            Some(Heard::Agent { flap_count, .. }) => flap_count,
            Some(Heard::Kernel { .. } | Heard::Nothing) | None => FlapCount::default(),
        }
    }
}

/// How many refusals a kernel may send at once, as far as can be told from here: six, and one more each second
/// (`net.ipv4.icmp_ratelimit`; `XRLIM_BURST_FACTOR` in the kernel's net/ipv4/icmp.c and net/ipv6/icmp.c). Taken to be less, so that a
/// refusal that could not come is not missed.
#[derive(Debug)]
struct Allowance {
    left: Duration,
    at: Now,
}

impl Allowance {
    const EACH: Duration = Duration::from_millis(1_050);
    const MOST: Duration = Duration::from_millis(5 * 1_050);

    fn take_one(&mut self, now: Now) {
        self.left = self.at_time(now).saturating_sub(Self::EACH);
        self.at = now;
    }

    fn is_left(&self, now: Now) -> bool {
        self.at_time(now) >= Self::EACH
    }

    fn at_time(&self, now: Now) -> Duration {
        (self.left + now.saturating_sub(self.at)).min(Self::MOST)
    }
}

impl Default for Allowance {
    fn default() -> Self {
        Self { left: Self::MOST, at: Now::ZERO }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Now {
        Duration::from_millis(ms)
    }

    #[test]
    fn three_misses_in_a_row_and_no_fewer_are_silence() {
        let mut path_liveness = PathLiveness::default();
        assert_eq!(path_liveness.state(), PathState::Unknown);
        path_liveness.answered(ms(0), ms(0), Condition::default());
        for now in [250, 500] {
            path_liveness.missed(ms(now), ms(now - 250));
            assert_eq!((path_liveness.state(), path_liveness.is_suspect()), (PathState::Up, true));
        }
        path_liveness.answered(ms(0), ms(0), Condition::default());
        path_liveness.missed(ms(1000), ms(1000 - 250));
        path_liveness.missed(ms(1250), ms(1250 - 250));
        assert_eq!(path_liveness.state(), PathState::Up);
        path_liveness.missed(ms(1500), ms(1500 - 250));
        assert_eq!((path_liveness.state(), path_liveness.is_suspect()), (PathState::Down, false));
        path_liveness.answered(ms(0), ms(0), Condition::default());
        assert_eq!(path_liveness.state(), PathState::Up);
    }

    #[test]
    fn whoever_was_never_heard_is_silent_too() {
        let mut path_liveness = PathLiveness::default();
        (1..=3).for_each(|_| path_liveness.missed(ms(0), ms(0)));
        assert_eq!(path_liveness.state(), PathState::Down);
    }

    #[test]
    fn a_kernel_that_refuses_has_an_open_way_though_it_does_so_once_a_second_only() {
        let mut path_liveness = PathLiveness::default();
        path_liveness.answered(ms(0), ms(0), Condition::default());
        // Its allowance first, then one a second.
        for probe in 1..100 {
            let now = 250 * probe;
            if probe <= 6 || probe % 4 == 0 {
                path_liveness.refused(ms(now));
            } else {
                path_liveness.missed(ms(now + 250), ms(now));
            }
            assert_eq!(path_liveness.state(), PathState::AgentAway, "{now}");
        }
        path_liveness.missed(ms(24_750 + 3_500), ms(28_000));
        assert_eq!(path_liveness.state(), PathState::Down);
    }

    #[test]
    fn a_node_that_dies_soon_after_its_agent_is_noticed_as_soon_as_any() {
        let mut path_liveness = PathLiveness::default();
        path_liveness.answered(ms(9_000), ms(9_000), Condition::default());
        path_liveness.refused(ms(9_250));
        for now in [9_500, 9_750] {
            path_liveness.missed(ms(now + 250), ms(now));
            assert_eq!(path_liveness.state(), PathState::AgentAway);
        }
        path_liveness.missed(ms(10_250), ms(10_000));
        assert_eq!(path_liveness.state(), PathState::Down);
    }
}
