//! Which node carries each network of a location that is not a node's.

use std::collections::BTreeSet;

use ipnet::IpNet;

use super::index::MemberIndex;
use super::member::{ClusterClaims, Member};
use crate::model::Settings;
use crate::{ObjectName, Warning, WarningReason};

enum Claimed {
    /// No node declared it before.
    First,
    /// Another node of the same location declared it before.
    Again,
}

/// Gives each allowed-location CIDR to the oldest node that declares it; nodes of its location that declare the same
/// CIDR are further exits.
pub(super) fn settle(
    members: &mut [Member<'_>],
    settings: &Settings,
    claims: &mut ClusterClaims<'_>,
    warnings: &mut BTreeSet<Warning>,
) {
    let mut by_age: Vec<MemberIndex> = members.iter().map(|member| member.index).collect();
    by_age.sort_by_key(|index| members[index.0].node.age());
    for index in by_age {
        let node = members[index.0].node;
        for cidr in node.allowed_location_cidrs.iter().map(IpNet::trunc) {
            let is_permitted = settings.permitted_location_cidrs.iter().any(|permitted| permitted.contains(&cidr));
            let settled = match is_permitted {
                true => settle_cidr(members, claims, index, cidr),
                false => Err(WarningReason::OutsidePermittedCidrs),
            };
            match settled {
                Ok(Claimed::First) => {
                    members[index.0].owned_cidrs.push(cidr);
                    members[index.0].exit_cidrs.push(cidr);
                }
                Ok(Claimed::Again) => members[index.0].exit_cidrs.push(cidr),
                Err(reason) => {
                    let object = ObjectName::Node(node.name.clone());
                    warnings.insert(Warning::new(object, "allowed-location-cidrs", cidr, reason));
                }
            }
        }
    }
    for (cidr, index) in &claims.location_networks {
        // They are disjoint, except for networks that overlap within one location: there the first one counts.
        let _ = claims.outside_networks.claim(*cidr, members[index.0].object());
    }
}

fn settle_cidr(
    members: &[Member<'_>],
    claims: &mut ClusterClaims<'_>,
    index: MemberIndex,
    cidr: IpNet,
) -> Result<Claimed, WarningReason> {
    if let Some(owner) = claims.ranges.overlap(&cidr) {
        return Err(owner.reason());
    }
    // A wider network may contain internal addresses: their routes have longer prefixes. A network of the same length would have two routes.
    if let Some(owner) = claims.addresses.owner_of(&cidr) {
        return Err(WarningReason::OverlapsCluster(format!("an internal address of {}", owner.object())));
    }
    let overlaps = |other: &IpNet| other.contains(&cidr) || cidr.contains(other);
    let mut claimed = Claimed::First;
    for (other, owner) in claims.location_networks.iter().filter(|(other, _)| overlaps(other)) {
        let owner = &members[owner.0];
        if owner.location != members[index.0].location {
            return Err(WarningReason::AlreadyClaimed(owner.object()));
        }
        if *other == cidr {
            claimed = Claimed::Again;
        }
    }
    if matches!(claimed, Claimed::First) {
        claims.location_networks.push((cidr, index));
    }
    Ok(claimed)
}
