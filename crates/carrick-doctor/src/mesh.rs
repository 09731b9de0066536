//! Checks that combine the pages of several agents.

mod admission;
mod agents;
mod clock;
mod common_end;
mod endpoints;
mod faults;
mod keys;
mod misspelt_key;
mod nat;
mod path_mtu;
mod probes;
mod reachability;
mod tunnel;
mod unexamined;
mod warnings;

pub use tunnel::needs_second_sample;
pub(crate) use unexamined::unexamined;

use crate::{Finding, Observations, Severity};

type MeshCheck = fn(&Observations) -> Vec<Finding>;

const CHECKS: [MeshCheck; 13] = [
    agents::reachable,
    faults::faults,
    agents::version,
    agents::shared_settings,
    admission::policies,
    clock::clock,
    endpoints::endpoints,
    warnings::warnings,
    keys::keys,
    reachability::reachability,
    nat::kind,
    path_mtu::path_mtu,
    probes::probe_port,
];

/// The findings of all checks of the mesh.
pub(crate) fn findings(observations: &Observations) -> Vec<Finding> {
    let mut found: Vec<Finding> = CHECKS.iter().flat_map(|check| check(observations)).collect();
    let is_explained = |consequence: &Finding| {
        let mut causes = found.iter().filter(|finding| finding.severity == Severity::Problem);
        causes.any(|cause| consequence.node.as_ref().is_some_and(|node| cause.concerns(node)))
    };
    let consequences: Vec<Finding> = faults::consequences(observations).filter(|own| !is_explained(own)).collect();
    found.extend(consequences);
    found
}
