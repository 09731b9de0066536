//! The values that the plans ignore.

use std::collections::{BTreeMap, BTreeSet};

use carrick_topology::NodeName;
use carrick_topology::constants::{ROUTING_TABLE, RULE_PRIORITY};
use carrick_topology::model::MESH_NAME;
use carrick_topology::{ObjectName, Warning, WarningReason};

use super::misspelt_key;
use crate::finding::listed;
use crate::{Check, Finding, Observations};

/// The warnings of all plans, each as one finding.
pub(super) fn warnings(observations: &Observations) -> Vec<Finding> {
    let mut seen: BTreeMap<&Warning, BTreeSet<&NodeName>> = BTreeMap::new();
    for (node, pages) in observations.answered() {
        for warning in pages.plan().into_iter().flat_map(|plan| &plan.warnings) {
            seen.entry(warning).or_default().insert(node);
        }
    }
    seen.into_iter().filter(|(warning, _)| !is_reported_elsewhere(observations, warning)).map(finding).collect()
}

/// If both agents answer, their settings are compared directly.
fn is_reported_elsewhere(observations: &Observations, warning: &Warning) -> bool {
    match (&warning.object, &warning.reason) {
        (ObjectName::Node(one), WarningReason::SettingsDiffer(other)) => {
            [one, other].into_iter().all(|node| observations.pages(node).is_some())
        }
        // The check of the keys reports the key, which the proof does not fit.
        (ObjectName::Node(one), _) if warning.field == "carrick.dev/public-key-proof" => {
            observations.pages(one).and_then(|pages| pages.latest()).is_some_and(|checks| {
                let published = checks.own_node.as_ref().and_then(|own| own.public_key);
                published.is_some() && published != checks.public_key
            })
        }
        _ => false,
    }
}

fn finding((warning, reporters): (&Warning, BTreeSet<&NodeName>)) -> Finding {
    let (check, remedy) = match &warning.reason {
        WarningReason::KeyOfOther(_) | WarningReason::AddressOfOther(_) => (
            Check::OverlappingCidrs,
            format!(
                "if {} was cloned with its state directory, empty the directory; otherwise find out what writes {}",
                warning.object, warning.field
            ),
        ),
        WarningReason::AlreadyClaimed(_) | WarningReason::OverlapsCluster(_) => (
            Check::OverlappingCidrs,
            format!("change {} of {}, so that no two objects claim the same addresses", warning.field, warning.object),
        ),
        WarningReason::OverlapsOwnSubnet(_) | WarningReason::PartOfOwnSubnet(_) if warning.field == "mesh-cidr" => (
            Check::OverlappingCidrs,
            "choose a mesh CIDR (`--mesh-cidr`) that overlaps no network of a node, on all nodes".to_owned(),
        ),
        WarningReason::OverlapsOwnSubnet(_) | WarningReason::PartOfOwnSubnet(_) => (
            Check::OverlappingCidrs,
            format!("renumber one of the two networks if {} must reach the other one", listed(&reporters)),
        ),
        WarningReason::MeshAddressTowards { node, .. } => (
            Check::OverlappingCidrs,
            format!(
                "renumber the network of {node} or that of {} if servers there must see the internal address; otherwise allow the mesh address",
                listed(&reporters)
            ),
        ),
        WarningReason::OutsidePermittedCidrs => (
            Check::IgnoredValues,
            format!(
                "correct {} of {}, or add its network to spec.permittedLocationCIDRs of the Mesh {MESH_NAME}",
                warning.field, warning.object
            ),
        ),
        WarningReason::OutsideInternalCidrs => (
            Check::IgnoredValues,
            format!(
                "correct {} of {}, or add its network to spec.internalCIDRs of the Mesh {MESH_NAME}",
                warning.field, warning.object
            ),
        ),
        WarningReason::OutsideClusterCidrs => (
            Check::IgnoredValues,
            format!(
                "add the pod CIDRs of {} to spec.clusterCIDRs of the Mesh {MESH_NAME}, or a network that contains those of all nodes",
                warning.object
            ),
        ),
        WarningReason::RoutedElsewhere(_) | WarningReason::RoutedToInternet(_) => (
            Check::LocationNetwork,
            format!(
                "if {} and {} share no network, give them different locations, by the label of --topology-label or by the annotation carrick.dev/location; otherwise correct the route on {}",
                listed(&reporters),
                warning.object,
                listed(&reporters)
            ),
        ),
        WarningReason::NoMeshAddress => (
            Check::IgnoredValues,
            format!(
                "set a mesh CIDR of this family with more addresses than nodes (spec.meshCIDRs of the Mesh {MESH_NAME}, or --mesh-cidr of all agents); if {} has just joined, wait until it has published its address",
                warning.object
            ),
        ),
        WarningReason::LocationMissing(label) => (
            Check::LocationNetwork,
            format!(
                "give each node that shares no network with the others a location of its own: `kubectl label node {} {label}=LOCATION`",
                listed(&reporters)
            ),
        ),
        WarningReason::RuleBefore { .. } => (
            Check::RoutingRules,
            format!(
                "find the program that made the rule, and let it use a priority above {RULE_PRIORITY}, or lead packets for the mesh past it: `ip rule add to NETWORK lookup {ROUTING_TABLE} priority PRIORITY` with a lower priority than that of the rule"
            ),
        ),
        WarningReason::UnknownVariable(nearest) => (
            Check::IgnoredValues,
            format!(
                "write `{nearest}` in the environment of the agent (deploy/settings.env, or settings.environment of the chart), or remove `{}`",
                warning.value
            ),
        ),
        WarningReason::SharedEndpoint(_) | WarningReason::OwnAddress(_) => (
            Check::SharedEndpoint,
            format!(
                "on {}, start the agent with --internal-cidr and the network in which the nodes have different addresses, or set carrick.dev/endpoint to an address that belongs to this node alone",
                warning.object
            ),
        ),
        WarningReason::UnknownKey(nearest) => (Check::IgnoredValues, misspelt_key::remedy(warning, nearest)),
        WarningReason::FamilyMissing(_) => (
            Check::IgnoredValues,
            format!("boot {} with ipv6.disable=0 if its pods need IPv6; otherwise nothing", warning.object),
        ),
        WarningReason::OverriddenByMesh(_) => {
            (Check::SharedSettings, format!("remove the flag from the agent, or change the Mesh {MESH_NAME}"))
        }
        WarningReason::SettingsDiffer(_) => {
            (Check::SharedSettings, "set them in the Mesh, or give all agents the same flags".to_owned())
        }
        WarningReason::PreventsDrain(_) => (
            Check::AgentVersion,
            format!(
                "upgrade the agent of {}. If it is not older than the others, find out what runs on that node: it publishes a wrong protocol",
                warning.object
            ),
        ),
        _ => (
            Check::IgnoredValues,
            format!("correct {} of {}; docs/annotations.md describes the valid values", warning.field, warning.object),
        ),
    };
    let finding = Finding::warning(check, warning.to_string(), remedy);
    if warning.reason.concerns_single_nodes() {
        return match reporters.first() {
            Some(node) => finding.on(node).towards(reporters.iter().copied().skip(1)),
            None => finding,
        };
    }
    match &warning.object {
        ObjectName::Node(node) => finding.on(node),
        ObjectName::Peer(_) | ObjectName::Location(_) | ObjectName::Mesh => finding,
    }
}

#[cfg(test)]
mod tests {
    use carrick_topology::{ObjectName, Warning, WarningReason};

    use crate::fixtures::diagnosed;

    fn warning(field: &str, reason: WarningReason) -> Warning {
        Warning::new(ObjectName::Node("b1".parse().unwrap()), field, "10.42.1.0/24", reason)
    }

    #[test]
    fn a_warning_of_several_agents_is_one_finding() {
        let owner = ObjectName::Node("a1".parse().unwrap());
        let found = diagnosed(|mesh| {
            for node in ["a1", "a2", "b1"] {
                mesh.plan(node).warnings = [warning("pod-cidrs", WarningReason::AlreadyClaimed(owner.clone()))].into();
            }
        });
        assert_eq!(found.warnings(), ["overlapping-cidrs b1"]);
        assert!(found.texts().contains("is claimed by node `a1`, which is older"));
    }

    #[test]
    fn other_ignored_values_have_a_check_of_their_own() {
        let found = diagnosed(|mesh| {
            mesh.plan("a1").warnings = [warning("endpoint", WarningReason::Unreadable("host:port".to_owned()))].into();
        });
        assert_eq!(found.warnings(), ["ignored-values b1"]);
    }

    #[test]
    fn what_is_wrong_on_one_host_has_a_check_and_a_remedy_that_names_what_to_set() {
        let rule = WarningReason::RuleBefore { network: "10.42.2.0/24".parse().unwrap(), others: 2 };
        for (reason, finding, remedy) in [
            (rule, "routing-rules a1", "a priority above 1107"),
            (WarningReason::UnknownVariable("CARRICK_MTU".to_owned()), "ignored-values b1", "write `CARRICK_MTU`"),
            (WarningReason::LocationMissing("zone".to_owned()), "location-network b1", "zone=LOCATION"),
            (WarningReason::NoMeshAddress, "ignored-values b1", "spec.meshCIDRs"),
        ] {
            let found = diagnosed(|mesh| mesh.plan("a1").warnings = [warning("field", reason.clone())].into());
            assert_eq!(found.warnings(), [finding], "{reason:?}");
            assert!(found.remedies().contains(remedy), "{reason:?}: {}", found.remedies());
        }
    }

    #[test]
    fn an_endpoint_that_leads_to_two_nodes_has_a_check_of_its_own() {
        for (reason, on) in [
            (WarningReason::SharedEndpoint("b2".parse().unwrap()), "shared-endpoint b1"),
            (WarningReason::OwnAddress("a1".parse().unwrap()), "shared-endpoint a1"),
        ] {
            let found = diagnosed(|mesh| {
                mesh.plan("a1").warnings = [warning("advertised-endpoints", reason.clone())].into();
            });
            assert_eq!(found.warnings(), [on], "{reason:?}");
            assert!(found.remedies().contains("carrick.dev/endpoint"));
        }
    }

    #[test]
    fn a_node_that_keeps_a_gateway_from_draining_is_named_on_the_gateway() {
        let found = diagnosed(|mesh| {
            let reason = WarningReason::PreventsDrain("a1".parse().unwrap());
            let object = ObjectName::Node("b1".parse().unwrap());
            mesh.plan("a1").warnings = [Warning::new(object, "agent", "protocol=3", reason)].into();
        });
        assert_eq!(found.warnings(), ["agent-version a1"]);
        assert!(found.remedies().contains("upgrade the agent of node `b1`"), "{}", found.remedies());
    }

    #[test]
    fn an_overlap_with_a_nodes_own_subnet_is_about_that_node() {
        let found = diagnosed(|mesh| {
            let reason = WarningReason::OverlapsOwnSubnet("10.42.0.0/16".to_owned());
            mesh.plan("a1").warnings = [warning("internal-addresses", reason)].into();
        });
        assert_eq!(found.warnings(), ["overlapping-cidrs a1"]);
    }
}
