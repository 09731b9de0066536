//! Routing rules of other programs that the kernel asks before those of Carrick: which of them take packets out of the mesh.

use std::collections::BTreeSet;

use ipnet::IpNet;

use crate::model::PrecedingRule;
use crate::plan::{NextHop, Route};
use crate::resolve::{Member, Resolved};
use crate::{Warning, WarningReason};

/// Warns of each rule that decides on packets which the routes of the mesh are for.
pub(super) fn warn(resolved: &Resolved<'_>, me: &Member<'_>, routes: &[Route], warnings: &mut BTreeSet<Warning>) {
    let (outside, carried): (Vec<&Route>, Vec<&Route>) =
        routes.iter().partition(|route| matches!(route.next_hop, NextHop::Throw | NextHop::Unreachable));
    let thrown: Vec<IpNet> =
        outside.iter().filter(|route| route.next_hop == NextHop::Throw).map(|route| route.destination).collect();
    let carried: Vec<IpNet> = carried.iter().map(|route| route.destination).collect();
    let mesh_addresses = resolved.settings.mesh_cidrs.iter();
    let sources: Vec<IpNet> =
        carried.iter().chain(&me.pod_cidrs).chain(&me.internal_addresses).chain(mesh_addresses).copied().collect();
    for rule in &resolved.settings.local.preceding_rules {
        if rule.source.is_some_and(|source| !sources.iter().any(|own| overlap(&source, own))) {
            continue;
        }
        if let Some(reason) = reason(rule, &carried, &thrown) {
            let text = format!("{}: {}", rule.priority, rule.text);
            warnings.insert(Warning::new(me.object(), "rule", text, reason));
        }
    }
}

/// Networks of the host that stay outside the mesh are no loss.
fn reason(rule: &PrecedingRule, carried: &[IpNet], thrown: &[IpNet]) -> Option<WarningReason> {
    let decided: Vec<&IpNet> =
        rule.destinations.iter().filter(|decided| !thrown.iter().any(|thrown| thrown.contains(*decided))).collect();
    let mut taken = carried.iter().filter(|net| decided.iter().any(|decided| overlap(decided, net)));
    let network = *taken.next()?;
    Some(WarningReason::RuleBefore { network, others: taken.count() })
}

fn overlap(one: &IpNet, other: &IpNet) -> bool {
    one.contains(other) || other.contains(one)
}
