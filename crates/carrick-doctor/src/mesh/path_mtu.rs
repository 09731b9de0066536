//! The path MTUs that the probes found.

use std::collections::{BTreeMap, BTreeSet};

use carrick_probe::{PathKind, ProbedPath};
use carrick_topology::constants::LEAST_DEVICE_MTU;
use carrick_topology::{NodeName, NodePlan};

use super::common_end::{Pair, by_common_end};
use crate::finding::listed;
use crate::{Check, Finding, Observations};

/// Packets of the device's size pass on every path.
pub(super) fn path_mtu(observations: &Observations) -> Vec<Finding> {
    [PathKind::Tunnel, PathKind::Inside].into_iter().flat_map(|kind| of_kind(observations, kind)).collect()
}

fn of_kind(observations: &Observations, kind: PathKind) -> Vec<Finding> {
    let mut narrow: BTreeMap<Pair<'_>, Sizes> = BTreeMap::new();
    let mut wide = BTreeSet::new();
    for (node, pages) in observations.answered() {
        let Some(plan) = pages.plan() else { continue };
        for path in pages.status.paths.iter().filter(|path| path.kind == kind) {
            match sizes(plan, path) {
                Some(sizes) if sizes.passes < sizes.sent => drop(narrow.insert((node, &path.to), sizes)),
                Some(_) => drop(wide.insert((node, &path.to))),
                None => {}
            }
        }
    }
    let explained = by_common_end(narrow.keys().copied().collect(), &wide);
    explained.into_iter().filter_map(|(node, others)| finding(kind, node, others, &narrow)).collect()
}

/// Sizes of IP packets, in bytes.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    passes: u32,
    sent: u32,
}

fn sizes(plan: &NodePlan, path: &ProbedPath) -> Option<Sizes> {
    Some(Sizes { passes: path.mtu?, sent: plan.probes.targets.get(&path.to)?.device_mtu })
}

fn finding(
    kind: PathKind,
    node: &NodeName,
    others: BTreeSet<&NodeName>,
    narrow: &BTreeMap<Pair<'_>, Sizes>,
) -> Option<Finding> {
    let between =
        |(from, to): &Pair<'_>| (*from == node && others.contains(to)) || (*to == node && others.contains(from));
    let sizes: Vec<Sizes> = narrow.iter().filter(|(pair, _)| between(pair)).map(|(_, sizes)| *sizes).collect();
    let passes = sizes.iter().map(|sizes| sizes.passes).min()?;
    let sent = sizes.iter().map(|sizes| sizes.sent).max()?;
    let segment = match kind {
        PathKind::Tunnel => "in the tunnels",
        PathKind::Inside => "inside the location",
    };
    let text = format!(
        "packets above {passes} bytes do not pass {segment} between this node and {}; the devices send up to {sent} bytes",
        listed(&others)
    );
    let finding = if passes < LEAST_DEVICE_MTU && kind == PathKind::Tunnel {
        Finding::problem(
            Check::PathMtu,
            format!("{text}, and IPv6 needs {LEAST_DEVICE_MTU} bytes"),
            "raise the MTU of the narrow link on the path; until then, the mesh sends smaller IPv4 packets",
        )
    } else {
        Finding::warning(
            Check::PathMtu,
            text,
            "raise the MTU of the narrow link on the path; until then, the mesh sends smaller packets",
        )
    };
    Some(finding.on(node).towards(others))
}

#[cfg(test)]
mod tests {
    use carrick_probe::PathKind;

    use crate::fixtures::{diagnosed, path};

    #[test]
    fn a_narrow_path_is_named_by_its_segment() {
        let with = |kind, mtu| {
            diagnosed(|mesh| {
                let to = if kind == PathKind::Tunnel { "b1" } else { "a2" };
                mesh.status("a1").paths = vec![path(to, kind, Some(mtu))];
                let status = mesh.status(to);
                status.paths = vec![path("a1", kind, Some(mtu))];
            })
        };
        let narrow = with(PathKind::Tunnel, 1300);
        assert_eq!((narrow.problems(), narrow.warnings()), (vec![], vec!["path-mtu a1".to_owned()]));
        assert!(narrow.texts().contains(
            "above 1300 bytes do not pass in the tunnels between this node and b1; the devices send up to 1440"
        ));
        assert_eq!(with(PathKind::Tunnel, 1250).problems(), ["path-mtu a1"]);
        assert_eq!(with(PathKind::Tunnel, 1440).warnings(), [""; 0]);
        assert_eq!(with(PathKind::Inside, 1300).problems(), [""; 0]);
    }

    #[test]
    fn the_node_behind_the_narrow_link_is_named_once() {
        let found = diagnosed(|mesh| {
            for (node, paths) in [("a1", ["b1", "c1"]), ("c1", ["b1", "a1"]), ("b1", ["a1", "c1"])] {
                let mtu = |to: &str| if node == "b1" || to == "b1" { 1300 } else { 1440 };
                mesh.status(node).paths = paths.map(|to| path(to, PathKind::Tunnel, Some(mtu(to)))).into();
            }
        });
        assert_eq!(found.warnings(), ["path-mtu b1"]);
    }
}
