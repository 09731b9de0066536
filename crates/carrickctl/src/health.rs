//! The faults of an agent, by the same rules for all commands.

use carrick_probe::{PathKind, PathState};
use carrick_status::{FaultSeverity, PeerState, StatusPage};
use carrick_topology::plan::{PeerIdentity, WireGuardPeer};
use serde::Serialize;

use crate::snapshot::{Agent, Answer};

/// The state of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TunnelState {
    /// The session is valid.
    Up,
    /// The last session has expired, and nothing keeps a session open while no packets are sent.
    Idle,
    /// The last session has expired, although keepalives should have renewed it.
    Stale,
    /// There was no handshake.
    Never,
    /// The device does not have the peer.
    Missing,
}

impl TunnelState {
    /// The state of a planned tunnel.
    #[must_use]
    pub fn of(planned: &WireGuardPeer, current: Option<&PeerState>) -> Self {
        match current {
            None => Self::Missing,
            Some(current) if current.seconds_since_handshake.is_none() => Self::Never,
            Some(current) if current.has_session() => Self::Up,
            Some(_) if planned.persistent_keepalive.is_some() => Self::Stale,
            Some(_) => Self::Idle,
        }
    }

    /// Whether the tunnel has no fault. The tunnel of an outside peer may be down, because outside devices connect and disconnect at any time.
    #[must_use]
    pub fn is_healthy(self, identity: &PeerIdentity) -> bool {
        match identity {
            PeerIdentity::Node(_) => matches!(self, Self::Up | Self::Idle),
            PeerIdentity::Outside(_) => self != Self::Missing,
        }
    }

    /// The state, for people.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Idle => "idle",
            Self::Stale => "stale",
            Self::Never => "no handshake",
            Self::Missing => "missing",
        }
    }
}

/// The faults of an agent, for people; empty if there are none.
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
        let fault = page.faults.iter().find(|fault| fault.severity == FaultSeverity::NotReady);
        let reason = match fault {
            Some(fault) => &fault.text,
            None if page.waiting.is_empty() => "starting",
            None => &page.waiting,
        };
        problems.push(format!("not ready: {reason}"));
    }
    problems.extend(page.failures.iter().map(|failure| format!("failed: {failure}")));
    if let Some(plan) = &page.plan {
        let broken = plan.wireguard.peers.iter().filter_map(|(key, planned)| {
            let state = TunnelState::of(planned, page.peers.get(key));
            (!state.is_healthy(&planned.identity))
                .then(|| format!("tunnel to {}: {}", name_of(&planned.identity), state.text()))
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

/// The name of a peer.
#[must_use]
pub fn name_of(identity: &PeerIdentity) -> &str {
    match identity {
        PeerIdentity::Node(name) => name.as_str(),
        PeerIdentity::Outside(name) => name.as_str(),
    }
}

/// Whether an identity is the node with this name.
#[must_use]
pub fn is_node(identity: &PeerIdentity, name: &str) -> bool {
    matches!(identity, PeerIdentity::Node(node) if node.as_str() == name)
}
