//! Compares the nodes' clocks, each through the clock of the caller.

use carrick_topology::NodeName;

use crate::{Check, Finding, Observations, Pages};

/// How far clocks may differ, in milliseconds, in addition to the time that the request took.
const TOLERANCE_MS: i64 = 2_000;

/// The clocks of all nodes agree with each other and with the caller's clock.
pub(super) fn clock(observations: &Observations) -> Vec<Finding> {
    let clocks: Vec<(&NodeName, Offset)> =
        observations.answered().filter_map(|(node, pages)| Some((node, Offset::of(pages)?))).collect();
    let own = own_offset(&clocks.iter().map(|(_, offset)| *offset).collect::<Vec<_>>());
    let mut findings = Vec::new();
    if own.abs() > TOLERANCE_MS {
        findings.push(Finding::warning(
            Check::Clock,
            format!("the clock of this machine is {} the clocks of the nodes", difference(own.saturating_neg())),
            "synchronize the clock of this machine with a time server",
        ));
    }
    let off = clocks.into_iter().filter_map(|(node, offset)| {
        let ahead = offset.beyond(own)?;
        let finding = Finding::problem(
            Check::Clock,
            format!("the clock is {} the clocks of the other nodes", difference(ahead)),
            "synchronize the node's clock with a time server: WireGuard refuses handshakes after a step back, and \
             certificates may be invalid",
        );
        Some(finding.on(node))
    });
    findings.extend(off);
    findings
}

/// The range within which a node's clock is ahead of the caller's clock, in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Offset {
    min: i64,
    max: i64,
}

impl Offset {
    fn of(pages: &Pages) -> Option<Self> {
        let node = i64::try_from(pages.checks.as_ref()?.unix_ms).ok().filter(|node| *node > 0)?;
        let (from, to) = (i64::try_from(pages.asked.from_ms).ok()?, i64::try_from(pages.asked.to_ms).ok()?);
        Some(Self { min: node.saturating_sub(to), max: node.saturating_sub(from) })
    }

    const fn middle(self) -> i64 {
        self.min.midpoint(self.max)
    }

    /// The least difference to another offset, in milliseconds; `None` if it is within the tolerance.
    fn beyond(self, other: i64) -> Option<i64> {
        let (min, max) = (self.min.saturating_sub(other), self.max.saturating_sub(other));
        let certain = if min > 0 { min } else { max.min(0) };
        (certain.abs() > TOLERANCE_MS).then_some(certain)
    }
}

/// How far most nodes are ahead of the caller's clock, in milliseconds. If the nodes disagree about it, the caller's clock is taken to be
/// right, and the result is 0.
fn own_offset(offsets: &[Offset]) -> i64 {
    let mut middles: Vec<i64> = offsets.iter().map(|offset| offset.middle()).collect();
    middles.sort_unstable();
    let median = middles.get(middles.len() / 2).copied().unwrap_or_default();
    let agreeing = offsets.iter().filter(|offset| offset.beyond(median).is_none()).count();
    let is_own_fault = agreeing * 2 > offsets.len() && offsets.iter().filter(|it| it.beyond(0).is_none()).count() == 0;
    if is_own_fault { median } else { 0 }
}

fn difference(ahead_ms: i64) -> String {
    let seconds = ahead_ms.unsigned_abs() / 1000;
    let (amount, unit) = if seconds < 120 { (seconds, "s") } else { (seconds / 60, "min") };
    format!("{amount} {unit} {}", if ahead_ms > 0 { "ahead of" } else { "behind" })
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{NOW_MS, diagnosed};

    #[test]
    fn a_wrong_clock_is_named_with_its_direction() {
        let behind = diagnosed(|mesh| mesh.checks("b1").unix_ms = NOW_MS - 40_000);
        assert_eq!(behind.problems(), ["clock b1"]);
        assert!(behind.texts().contains("is 39 s behind") || behind.texts().contains("is 40 s behind"));
        let ahead = diagnosed(|mesh| mesh.checks("b1").unix_ms = NOW_MS + 3_600_000);
        assert!(ahead.texts().contains("min ahead of"));
    }

    #[test]
    fn the_duration_of_the_request_is_no_difference_of_clocks() {
        let slow = diagnosed(|mesh| {
            mesh.pages("b1").asked.from_ms = NOW_MS - 30_000;
            mesh.pages("b1").asked.to_ms = NOW_MS + 1_000;
        });
        assert_eq!((slow.problems(), slow.warnings()), (vec![], vec![]));
    }

    #[test]
    fn a_wrong_clock_of_the_caller_is_no_problem_of_a_node() {
        let found = diagnosed(|mesh| {
            for node in ["a1", "a2", "b1", "c1"] {
                mesh.checks(node).unix_ms = NOW_MS - 600_000;
            }
        });
        assert_eq!((found.problems(), found.warnings()), (vec![], vec!["clock -".to_owned()]));
        assert!(found.texts().contains("this machine is 10 min ahead of") || found.texts().contains("9 min ahead of"));
    }
}
