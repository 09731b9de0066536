//! The state of one path, from answers, refusals and missed probes.

use std::time::Duration;

use carrick_topology::model::Duty;
use carrick_topology::plan::PathKind;

use crate::Now;
use crate::flap_count::FlapCount;
use crate::heard_peers::{HeardPeers, Reachability};
use crate::packet::Condition;
use crate::probed_path::PathState;

/// A path is down after this many missed probes in a row.
const DETECTION_MULTIPLIER: u32 = 3;

/// A kernel without an agent refuses one probe a second once its allowance is used up. Three refusals in a row may get lost.
const REFUSAL_TIMEOUT: Duration = Duration::from_millis(3_500);

/// A kernel that refused a probe is not down before this time, whatever its allowance seems to be: a busy machine refuses late, and the allowance
/// is shared with other programs. Of the refusals at the limit of the rate, one may get lost.
const SHORTEST_REFUSAL_TIMEOUT: Duration = Duration::from_millis(2_250);

/// Signs of life of the other end.
#[derive(Debug, Default)]
pub(crate) struct PathLiveness {
    state: Option<Heard>,
    missed: u32,
    /// When the latest probe was sent that the agent of the other end answered.
    answered_at: Option<Now>,
    /// When the probes were sent of which none was answered.
    silent_since: Option<Now>,
    /// Since when the other end says that it hears no peer.
    isolated_since: BySide,
    /// Since when the other end says that it hears a peer.
    connected_since: BySide,
    allowance: Allowance,
    /// Since when the other end is well, as it says.
    well_since: Option<Now>,
    /// Since when it drains, as it says.
    draining_since: Option<Now>,
}

/// Moments on both sides of a node.
#[derive(Clone, Copy, Debug, Default)]
struct BySide {
    tunnels: Option<Now>,
    inside: Option<Now>,
}

/// What was heard last.
#[derive(Clone, Copy, Debug)]
enum Heard {
    Agent { heard_peers: HeardPeers, flap_count: FlapCount },
    Kernel { at: Now },
    Nothing,
}

impl PathLiveness {
    /// The agent of the other end answered a probe that was sent then.
    pub(crate) fn answered(&mut self, now: Now, sent_at: Now, condition: Condition) {
        let Condition { heard_peers, duty, well_ms, flap_count, .. } = condition;
        let since = now.checked_sub(Duration::from_millis(well_ms.into()));
        (self.well_since, self.draining_since) = match duty {
            Duty::Serving => (since, None),
            Duty::Draining => (None, Some(since.unwrap_or_default())),
        };
        self.state = Some(Heard::Agent { heard_peers, flap_count });
        let since = |before: BySide, reachability| {
            let one = |before: Option<Now>, said| (said == reachability).then(|| before.unwrap_or(now));
            BySide { tunnels: one(before.tunnels, heard_peers.tunnels), inside: one(before.inside, heard_peers.inside) }
        };
        self.isolated_since = since(self.isolated_since, Reachability::NoPeer);
        self.connected_since = since(self.connected_since, Reachability::SomePeer);
        self.answered_at = self.answered_at.max(Some(sent_at));
        self.note_alive();
    }

    /// The kernel of the other end sent one of the refusals that its limit of a rate permits.
    pub(crate) fn note_refusal(&mut self, now: Now) {
        self.allowance.take_one(now);
    }

    /// The kernel of the other end said then that no agent listens, and no agent answered the probe: the path to it is open. What the agent
    /// said before stays as it is, because the kernel says nothing of it.
    pub(crate) fn refused(&mut self, refused_at: Now, sent_at: Now) {
        if self.answered_at > Some(sent_at) {
            return;
        }
        self.state = Some(Heard::Kernel { at: refused_at });
        self.note_alive();
    }

    const fn note_alive(&mut self) {
        self.silent_since = None;
        self.missed = 0;
    }

    /// A probe that was sent then had no answer in time.
    pub(crate) fn missed(&mut self, now: Now, sent_at: Now) {
        if let Some(Heard::Kernel { at }) = self.state
            && !self.allowance.is_left(sent_at)
            && now.saturating_sub(at) < REFUSAL_TIMEOUT
        {
            return;
        }
        self.missed = self.missed.saturating_add(1);
        // The first one may have been under way when the other end became silent.
        if self.missed == 2 {
            self.silent_since = Some(sent_at);
        }
        let is_down = match self.state {
            Some(Heard::Kernel { at }) => {
                let silence = now.saturating_sub(at);
                let may_be_missed = self.missed >= DETECTION_MULTIPLIER && silence >= SHORTEST_REFUSAL_TIMEOUT;
                may_be_missed || silence >= REFUSAL_TIMEOUT
            }
            Some(Heard::Agent { .. } | Heard::Nothing) | None => self.missed >= DETECTION_MULTIPLIER,
        };
        if is_down {
            self.silent_since = self.silent_since.or(Some(sent_at));
            self.state = Some(Heard::Nothing);
            self.connected_since = BySide::default();
        }
    }

    /// Whether a probe was missed and the path is not down yet: the next probes should not wait.
    pub(crate) fn is_suspected(&self) -> bool {
        (1..DETECTION_MULTIPLIER).contains(&self.missed)
    }

    pub(crate) const fn state(&self) -> PathState {
        match self.state {
            None => PathState::Unknown,
            Some(Heard::Agent { .. }) => PathState::Up,
            Some(Heard::Kernel { .. }) => PathState::AgentAway,
            Some(Heard::Nothing) => PathState::Down,
        }
    }

    pub(crate) const fn answered_at(&self) -> Option<Now> {
        self.answered_at
    }

    pub(crate) const fn well_since(&self) -> Option<Now> {
        self.well_since
    }

    pub(crate) const fn draining_since(&self) -> Option<Now> {
        self.draining_since
    }

    pub(crate) const fn silent_since(&self) -> Option<Now> {
        self.silent_since
    }

    /// Since when the other end says that it hears no peer by paths of this kind.
    pub(crate) const fn isolated_since(&self, kind: PathKind) -> Option<Now> {
        self.isolated_since.at(kind)
    }

    /// Since when the other end says that it hears a peer by paths of this kind.
    pub(crate) const fn connected_since(&self, kind: PathKind) -> Option<Now> {
        self.connected_since.at(kind)
    }

    /// Which peers the other end says that it hears.
    pub(crate) fn heard_peers(&self) -> HeardPeers {
        match self.state {
            Some(Heard::Agent { heard_peers, .. }) => heard_peers,
            Some(Heard::Kernel { .. } | Heard::Nothing) | None => HeardPeers::default(),
        }
    }

    /// The flap count that the other end answers with.
    pub(crate) fn flap_count(&self) -> FlapCount {
        match self.state {
            Some(Heard::Agent { flap_count, .. }) => flap_count,
            Some(Heard::Kernel { .. } | Heard::Nothing) | None => FlapCount::default(),
        }
    }
}

impl BySide {
    const fn at(self, kind: PathKind) -> Option<Now> {
        match kind {
            PathKind::Tunnel => self.tunnels,
            PathKind::Inside => self.inside,
        }
    }
}

/// How many refusals the kernel of the other end may send at once, as far as this node can tell: six, and one more each second
/// (`net.ipv4.icmp_ratelimit`; `XRLIM_BURST_FACTOR` in the kernel's net/ipv4/icmp.c and net/ipv6/icmp.c). The estimate is lower, so that
/// a refusal that the kernel could not send does not count as missed.
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
    fn a_path_is_down_after_three_missed_probes_in_a_row() {
        let mut path_liveness = PathLiveness::default();
        assert_eq!(path_liveness.state(), PathState::Unknown);
        path_liveness.answered(ms(0), ms(0), Condition::default());
        for now in [250, 500] {
            path_liveness.missed(ms(now), ms(now - 250));
            assert_eq!((path_liveness.state(), path_liveness.is_suspected()), (PathState::Up, true));
        }
        path_liveness.answered(ms(0), ms(0), Condition::default());
        path_liveness.missed(ms(1000), ms(1000 - 250));
        path_liveness.missed(ms(1250), ms(1250 - 250));
        assert_eq!(path_liveness.state(), PathState::Up);
        path_liveness.missed(ms(1500), ms(1500 - 250));
        assert_eq!((path_liveness.state(), path_liveness.is_suspected()), (PathState::Down, false));
        path_liveness.answered(ms(0), ms(0), Condition::default());
        assert_eq!(path_liveness.state(), PathState::Up);
    }

    #[test]
    fn a_path_that_was_never_up_is_down_too() {
        let mut path_liveness = PathLiveness::default();
        (1..=3).for_each(|_| path_liveness.missed(ms(0), ms(0)));
        assert_eq!(path_liveness.state(), PathState::Down);
    }

    #[test]
    fn a_kernel_that_refuses_one_probe_a_second_is_alive() {
        let mut path_liveness = PathLiveness::default();
        path_liveness.answered(ms(0), ms(0), Condition::default());
        // It uses its allowance first, then one refusal a second.
        for probe in 1..100 {
            let now = 250 * probe;
            if probe <= 6 || probe % 4 == 0 {
                path_liveness.note_refusal(ms(now));
                path_liveness.refused(ms(now), ms(now));
            } else {
                path_liveness.missed(ms(now + 250), ms(now));
            }
            assert_eq!(path_liveness.state(), PathState::AgentAway, "{now}");
        }
        path_liveness.missed(ms(24_750 + 3_500), ms(28_000));
        assert_eq!(path_liveness.state(), PathState::Down);
    }

    #[test]
    fn a_kernel_without_an_agent_does_not_change_what_its_agent_said() {
        let mut path_liveness = PathLiveness::default();
        let heard_peers = HeardPeers { tunnels: Reachability::NoPeer, inside: Reachability::SomePeer };
        path_liveness.answered(ms(0), ms(0), Condition { heard_peers, ..Condition::default() });
        path_liveness.note_refusal(ms(250));
        path_liveness.refused(ms(250), ms(250));
        assert_eq!(path_liveness.state(), PathState::AgentAway);
        assert_eq!(path_liveness.isolated_since(PathKind::Tunnel), Some(ms(0)));
        assert_eq!(path_liveness.connected_since(PathKind::Inside), Some(ms(0)));
    }

    #[test]
    fn a_node_that_dies_soon_after_its_agent_is_down_two_seconds_after_its_last_refusal() {
        let mut path_liveness = PathLiveness::default();
        path_liveness.answered(ms(9_000), ms(9_000), Condition::default());
        path_liveness.note_refusal(ms(9_250));
        path_liveness.refused(ms(9_250), ms(9_250));
        for now in (9_500..11_250).step_by(250) {
            path_liveness.missed(ms(now + 249), ms(now));
            assert_eq!(path_liveness.state(), PathState::AgentAway, "{now}");
        }
        path_liveness.missed(ms(11_500), ms(11_250));
        assert_eq!(path_liveness.state(), PathState::Down);
    }

    #[test]
    fn a_kernel_whose_allowance_is_used_by_others_is_alive() {
        let mut path_liveness = PathLiveness::default();
        path_liveness.answered(ms(0), ms(0), Condition::default());
        for probe in 1..100 {
            let now = 250 * probe;
            if probe % 4 == 0 {
                path_liveness.note_refusal(ms(now));
                path_liveness.refused(ms(now), ms(now));
            } else if probe > 4 {
                path_liveness.missed(ms(now + 250), ms(now));
            }
            assert_ne!(path_liveness.state(), PathState::Down, "{now}");
        }
    }
}
