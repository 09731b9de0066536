//! Clocks, compared through the clock of whoever asks.

use carrick_topology::NodeName;

use crate::{Check, Finding, Observations, Pages};

/// How far clocks may be apart, in milliseconds, besides what asking took.
const TOLERANCE_MS: i64 = 2_000;

/// The clocks of all nodes agree with each other and with that of whoever asks.
pub(super) fn clock(observations: &Observations) -> Vec<Finding> {
    let clocks: Vec<(&NodeName, Offset)> =
        observations.answered().filter_map(|(node, pages)| Some((node, Offset::of(pages)?))).collect();
    let own = own_offset(&clocks.iter().map(|(_, offset)| *offset).collect::<Vec<_>>());
    let mut findings = Vec::new();
    if own.abs() > TOLERANCE_MS {
        findings.push(Finding::warning(
            Check::Clock,
            format!("the clock of this machine is {} those of the nodes", apart(own.saturating_neg())),
            "let this machine take its time from a time server",
        ));
    }
    let off = clocks.into_iter().filter_map(|(node, offset)| {
        let ahead = offset.beyond(own)?;
        let finding = Finding::problem(
            Check::Clock,
            format!("its clock is {} those of the other nodes", apart(ahead)),
            "let the node take its time from a time server: after a step back, WireGuard refuses its handshakes, and \
             certificates do not hold",
        );
        Some(finding.on(node))
    });
    findings.extend(off);
    findings
}

/// How far a node's clock is ahead of the clock of whoever asks: between these, in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Offset {
    least: i64,
    most: i64,
}

impl Offset {
    fn of(pages: &Pages) -> Option<Self> {
        let told = i64::try_from(pages.checks.as_ref()?.unix_ms).ok().filter(|told| *told > 0)?;
        let (from, to) = (i64::try_from(pages.asked.from_ms).ok()?, i64::try_from(pages.asked.to_ms).ok()?);
        Some(Self { least: told.saturating_sub(to), most: told.saturating_sub(from) })
    }

    const fn middle(self) -> i64 {
        self.least.midpoint(self.most)
    }

    /// How far it is surely from another one, if that is more than tolerable.
    fn beyond(self, other: i64) -> Option<i64> {
        let (least, most) = (self.least.saturating_sub(other), self.most.saturating_sub(other));
        let sure = if least > 0 { least } else { most.min(0) };
        (sure.abs() > TOLERANCE_MS).then_some(sure)
    }
}

/// How far most nodes are ahead of whoever asks. Two nodes that disagree cannot tell who is right: then whoever asks is.
fn own_offset(offsets: &[Offset]) -> i64 {
    let mut middles: Vec<i64> = offsets.iter().map(|offset| offset.middle()).collect();
    middles.sort_unstable();
    let median = middles.get(middles.len() / 2).copied().unwrap_or_default();
    let agreeing = offsets.iter().filter(|offset| offset.beyond(median).is_none()).count();
    let is_own_fault = agreeing * 2 > offsets.len() && offsets.iter().filter(|it| it.beyond(0).is_none()).count() == 0;
    if is_own_fault { median } else { 0 }
}

fn apart(ahead_ms: i64) -> String {
    let seconds = ahead_ms.unsigned_abs() / 1000;
    let (amount, unit) = if seconds < 120 { (seconds, "s") } else { (seconds / 60, "min") };
    format!("{amount} {unit} {}", if ahead_ms > 0 { "ahead of" } else { "behind" })
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{NOW_MS, diagnosed};

    #[test]
    fn a_clock_that_is_off_is_named_with_its_direction() {
        let behind = diagnosed(|mesh| mesh.checks("b1").unix_ms = NOW_MS - 40_000);
        assert_eq!(behind.problems(), ["clock b1"]);
        assert!(behind.texts().contains("is 39 s behind") || behind.texts().contains("is 40 s behind"));
        let ahead = diagnosed(|mesh| mesh.checks("b1").unix_ms = NOW_MS + 3_600_000);
        assert!(ahead.texts().contains("min ahead of"));
    }

    #[test]
    fn what_asking_took_is_no_skew() {
        let slow = diagnosed(|mesh| {
            mesh.pages("b1").asked.from_ms = NOW_MS - 30_000;
            mesh.pages("b1").asked.to_ms = NOW_MS + 1_000;
        });
        assert_eq!((slow.problems(), slow.warnings()), (vec![], vec![]));
    }

    #[test]
    fn a_wrong_clock_of_whoever_asks_is_nobody_elses_fault() {
        let found = diagnosed(|mesh| {
            for node in ["a1", "a2", "b1", "c1"] {
                mesh.checks(node).unix_ms = NOW_MS - 600_000;
            }
        });
        assert_eq!((found.problems(), found.warnings()), (vec![], vec!["clock -".to_owned()]));
        assert!(found.texts().contains("this machine is 10 min ahead of") || found.texts().contains("9 min ahead of"));
    }
}
