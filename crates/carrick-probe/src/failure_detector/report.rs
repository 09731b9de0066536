//! What the failure detector evaluates.

use carrick_topology::plan::PathKind;
use carrick_topology::{LocationName, NodeName};

use crate::Now;
use crate::flap_count::FlapCount;
use crate::path_use::PathUse;
use crate::probed_path::PathState;

/// What is known of one gateway at the time of an evaluation.
#[derive(Clone, Debug)]
pub(crate) struct Report<'a> {
    pub(crate) node: &'a NodeName,
    pub(crate) location: &'a LocationName,
    pub(crate) kind: PathKind,
    pub(crate) state: PathState,
    /// The flap count that the gateway answers with.
    pub(crate) flap_count: FlapCount,
    /// How often this node flapped, as the gateway counts.
    pub(crate) counted_flaps: FlapCount,
    /// What the gateway says of the path to this node, in a probe that came since the gateway answers.
    pub(crate) path_use: PathUse,
    /// When the latest probe was sent that the gateway's agent answered.
    pub(crate) answered_at: Option<Now>,
    /// When the probes were sent of which none was answered.
    pub(crate) silent_since: Option<Now>,
    /// Since when the gateway is well, as it says.
    pub(crate) well_since: Option<Now>,
    /// Since when the gateway drains, as it says.
    pub(crate) draining_since: Option<Now>,
    /// Since when the gateway says that it hears no peer on its other side.
    pub(crate) isolated_since: Option<Now>,
    /// Since when the gateway says that it hears a peer there.
    pub(crate) connected_since: Option<Now>,
}

impl Report<'_> {
    /// Whether the gateway was silent when that other one was not. Both may have become silent at the same instant, and one may be noticed
    /// first.
    pub(super) fn is_silent_beside(&self, other: &Report<'_>) -> bool {
        other.answered_at > self.silent_since
    }

    /// Whether a well gateway shows that its location uses it. Through a tunnel it answers only if it knows this node as a peer. Inside the
    /// location any node answers, and one that was cut off for a moment hears it first by chance.
    pub(super) const fn has_taken_over(&self) -> bool {
        match self.kind {
            PathKind::Tunnel => true,
            PathKind::Inside => self.connected_since.is_some(),
        }
    }

    /// Whether the next answer of any gateway of the location may change the result.
    pub(crate) fn awaits_answer(&self) -> bool {
        self.state == PathState::Down || self.isolated_since.is_some()
    }
}
