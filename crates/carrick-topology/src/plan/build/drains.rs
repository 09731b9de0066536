//! Whether a gateway may drain.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Duty, NodeName};
use crate::plan::ProbeTarget;
use crate::resolve::{Member, Resolved};
use crate::{Warning, WarningReason};

/// Agents of this protocol and later ones know gateways that drain.
const DRAINS_SINCE: u32 = 4;

/// How many nodes the warnings name that keep this one from draining.
const MOST_NAMED: usize = 8;

/// A node drains once the agents of all nodes that send by it understand it: the others would go on to send by it while the new gateway carries
/// for the rest. These are the nodes of its location and the gateways that it probes and that probe it; each other node sends by the gateway of
/// its own location, whichever far gateway that one chooses.
pub(super) fn duty(
    resolved: &Resolved<'_>,
    me: &Member<'_>,
    targets: &BTreeMap<NodeName, ProbeTarget>,
    warnings: &mut BTreeSet<Warning>,
) -> Duty {
    if me.node.duty == Duty::Serving {
        return Duty::Serving;
    }
    let sends_by_me = |other: &&Member<'_>| other.location == me.location || targets.contains_key(&other.node.name);
    let protocol = |other: &Member<'_>| other.node.agent.as_ref().map(|agent| agent.protocol);
    let old = |other: &Member<'_>| {
        let protocol = protocol(other).filter(|protocol| *protocol < DRAINS_SINCE)?;
        let reason = WarningReason::PreventsDrain(me.node.name.clone());
        Some(Warning::new(other.object(), "agent", format_args!("protocol={protocol}"), reason))
    };
    let mut preventing = resolved.members.iter().filter(sends_by_me).filter_map(old).peekable();
    if preventing.peek().is_none() {
        return Duty::Draining;
    }
    warnings.extend(preventing.take(MOST_NAMED));
    Duty::Serving
}
