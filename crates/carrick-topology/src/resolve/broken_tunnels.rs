//! The tunnels of the planned node that are broken.

use std::collections::{BTreeMap, BTreeSet};

use super::index::MemberIndex;
use super::member::Member;
use crate::Liveness;
use crate::model::{Granularity, LocationName, NodeName, Settings};

/// The tunnels of the planned node that are broken.
#[derive(Debug, Default)]
pub(super) struct BrokenTunnels {
    /// The gateways at their other ends.
    pub(super) bypassed: BTreeSet<MemberIndex>,
    /// The gateway through which packets to all gateways of a location go.
    pub(super) detours: BTreeMap<LocationName, MemberIndex>,
}

impl BrokenTunnels {
    /// Those that the planned node's probes found.
    pub(super) fn new(members: &[Member<'_>], settings: &Settings, liveness: &Liveness) -> Self {
        let is_empty = liveness.bypassed.is_empty() && liveness.detours.is_empty();
        // In `full`, nodes of one location use tunnels, which accept no packets of other locations.
        if is_empty || settings.granularity == Granularity::Full {
            return Self::default();
        }
        let bypassed = members.iter().filter(|member| liveness.bypassed.contains(&member.node.name));
        let gateway = |name: &NodeName| {
            let is_gateway = |member: &&Member<'_>| member.node.name == *name && member.carrier == Some(member.index);
            members.iter().find(is_gateway).map(|member| member.index)
        };
        let detours = liveness.detours.iter();
        Self {
            bypassed: bypassed.map(|member| member.index).collect(),
            detours: detours.filter_map(|(location, name)| Some((location.clone(), gateway(name)?))).collect(),
        }
    }
}
