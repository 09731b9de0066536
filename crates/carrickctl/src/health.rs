//! What is not well with an agent, one rule for all commands.

use carrick_probe::{PathKind, PathState};
use carrick_status::{PeerState, StatusPage};
use carrick_topology::plan::{PeerIdentity, WireGuardPeer};
use serde::Serialize;

use crate::snapshot::{Agent, Answer};

/// The state of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TunnelState {
    /// A session is open.
    Up,
    /// There was a session, and nothing keeps one open while nothing is sent.
    Idle,
    /// There was a session, and something should have kept it open.
    Stale,
    /// There never was a session.
    Never,
    /// The device has no such peer.
    Missing,
}

impl TunnelState {
    /// The state of a tunnel that a plan wants, by what the device says of it.
    #[must_use]
    pub fn of(wanted: &WireGuardPeer, held: Option<&PeerState>) -> Self {
        match held {
            None => Self::Missing,
            Some(held) if held.seconds_since_handshake.is_none() => Self::Never,
            Some(held) if held.has_session() => Self::Up,
            Some(_) if wanted.persistent_keepalive.is_some() => Self::Stale,
            Some(_) => Self::Idle,
        }
    }

    /// Whether packets can be expected to pass. Nobody knows that of outside devices, which come and go.
    #[must_use]
    pub fn is_healthy(self, identity: &PeerIdentity) -> bool {
        match identity {
            PeerIdentity::Node(_) => matches!(self, Self::Up | Self::Idle),
            PeerIdentity::Outside(_) => self != Self::Missing,
        }
    }

    /// The state in a word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Idle => "idle",
            Self::Stale => "stale",
            Self::Never => "no handshake",
            Self::Missing => "missing",
        }
    }
}

/// What is not well with an agent, in words; empty when all is well.
#[must_use]
pub fn problems(agent: &Agent) -> Vec<String> {
    match &agent.answer {
        Answer::NoAgent => Vec::new(),
        Answer::Unreachable(error) => vec![error.to_string()],
        Answer::Page(page) => of_page(page),
    }
}

fn of_page(page: &StatusPage) -> Vec<String> {
    let mut problems = Vec::new();
    if !page.ready {
        let reason = if page.waiting.is_empty() { "starting" } else { &page.waiting };
        problems.push(format!("not ready: {reason}"));
    }
    problems.extend(page.failures.iter().map(|failure| format!("failed: {failure}")));
    if let Some(plan) = &page.plan {
        let broken = plan.wireguard.peers.iter().filter_map(|(key, wanted)| {
            let state = TunnelState::of(wanted, page.peers.get(key));
            (!state.is_healthy(&wanted.identity))
                .then(|| format!("tunnel to {}: {}", name_of(&wanted.identity), state.word()))
        });
        problems.extend(broken);
    }
    let down = page.paths.iter().filter(|path| path.state == PathState::Down);
    problems.extend(down.map(|path| match path.kind {
        PathKind::Tunnel => format!("path to {} is down", path.to),
        PathKind::Inside => format!("path to {} inside the location is down", path.to),
    }));
    problems
}

/// The name of who stands behind a peer.
#[must_use]
pub fn name_of(identity: &PeerIdentity) -> &str {
    match identity {
        PeerIdentity::Node(name) => name.as_str(),
        PeerIdentity::Outside(name) => name.as_str(),
    }
}
