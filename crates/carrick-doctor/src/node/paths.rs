//! What the probes of a node say of sizes.

use carrick_probe::{Path, PathKind};
use carrick_topology::NodePlan;
use carrick_topology::contract::{LEAST_DEVICE_MTU, VXLAN_OVERHEAD_V4, VXLAN_OVERHEAD_V6};

use super::Subject;
use crate::{Check, Finding};

/// What devices send passes on every path.
pub(super) fn path_mtu(subject: &Subject<'_>) -> Vec<Finding> {
    let Some(plan) = subject.plan() else { return Vec::new() };
    subject.status.paths.iter().filter_map(|path| narrow(plan, path)).collect()
}

fn narrow(plan: &NodePlan, path: &Path) -> Option<Finding> {
    let (device, largest) = match path.kind {
        PathKind::Tunnel => (&plan.wireguard.device, plan.wireguard.mtu),
        PathKind::Inside => {
            let overhead = if path.address.is_ipv4() { VXLAN_OVERHEAD_V4 } else { VXLAN_OVERHEAD_V6 };
            (&plan.vxlan.device, plan.vxlan.mtu + overhead)
        }
    };
    let mtu = path.mtu.filter(|mtu| *mtu < largest)?;
    let segment = match path.kind {
        PathKind::Tunnel => {
            format!("{} in the tunnel between the locations {} and {}", path.to, plan.location.name, path.location)
        }
        PathKind::Inside => format!("{} inside the location {}", path.to, path.location),
    };
    let text = format!("packets above {mtu} bytes do not pass to {segment}; {device} sends up to {largest}");
    let finding = if mtu < LEAST_DEVICE_MTU && path.kind == PathKind::Tunnel {
        Finding::problem(
            Check::PathMtu,
            format!("{text}, and IPv6 needs {LEAST_DEVICE_MTU}"),
            "find the link with the small MTU on the way and raise it; TCP is clamped meanwhile",
        )
    } else {
        Finding::warning(
            Check::PathMtu,
            text,
            "find the link with the small MTU on the way and raise it; the mesh sends smaller packets meanwhile",
        )
    };
    Some(finding.towards([&path.to]))
}

#[cfg(test)]
mod tests {
    use carrick_probe::PathKind;

    use crate::testing::{diagnosed, path};

    #[test]
    fn a_narrow_path_is_named_by_its_segment() {
        let with = |kind, mtu| {
            diagnosed(|mesh| {
                let to = if kind == PathKind::Tunnel { "b1" } else { "a2" };
                mesh.status("a1").paths = vec![path(to, kind, Some(mtu))];
            })
        };
        let narrow = with(PathKind::Tunnel, 1300);
        assert_eq!(narrow.warnings(), ["path-mtu a1"]);
        assert!(narrow.texts().contains("above 1300 bytes do not pass to b1"), "{}", narrow.texts());
        assert_eq!(with(PathKind::Tunnel, 1250).problems(), ["path-mtu a1"]);
        assert_eq!(with(PathKind::Tunnel, 1440).problems(), [""; 0]);
        assert_eq!(with(PathKind::Inside, 1300).warnings(), ["path-mtu a1"]);
        assert_eq!(with(PathKind::Inside, 1500).warnings(), [""; 0]);
    }
}
