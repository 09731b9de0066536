//! The targets of a node's probes, found by name and by address.

use std::collections::BTreeMap;
use std::net::IpAddr;

use carrick_topology::NodeName;
use carrick_topology::handover::Decapsulation;
use carrick_topology::plan::{PathKind, ProbePlan};

use crate::Now;
use crate::pacing::Pacing;
use crate::target::Target;

/// All targets of a plan.
#[derive(Debug, Default)]
pub(crate) struct Targets {
    by_name: BTreeMap<NodeName, Target>,
    by_address: BTreeMap<IpAddr, NodeName>,
}

impl Targets {
    /// Takes the targets of this plan, and keeps what is known of those that stay.
    pub(crate) fn set_plan(&mut self, now: Now, plan: &ProbePlan) {
        self.by_name.retain(|name, target| plan.targets.get(name) == Some(target.planned()));
        for (position, (name, planned)) in (0_u32..).zip(&plan.targets) {
            let first_probe = Pacing::first_probe(now, position);
            self.by_name.entry(name.clone()).or_insert_with(|| Target::new(planned.clone(), first_probe));
        }
        self.by_address = self.by_name.iter().map(|(name, target)| (target.planned().to, name.clone())).collect();
    }

    pub(crate) fn len(&self) -> usize {
        self.by_name.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&NodeName, &Target)> {
        self.by_name.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (&NodeName, &mut Target)> {
        self.by_name.iter_mut()
    }

    pub(crate) fn get(&self, name: &NodeName) -> Option<&Target> {
        self.by_name.get(name)
    }

    /// The target with this address.
    pub(crate) fn at(&self, address: IpAddr) -> Option<&Target> {
        self.by_name.get(self.by_address.get(&address)?)
    }

    /// The target with this address, and its name.
    pub(crate) fn at_mut(&mut self, address: IpAddr) -> Option<(NodeName, &mut Target)> {
        let name = self.by_address.get(&address)?;
        let target = self.by_name.get_mut(name)?;
        Some((name.clone(), target))
    }

    /// Whether any target is probed by a path of this kind.
    pub(crate) fn has(&self, kind: PathKind) -> bool {
        self.by_name.values().any(|target| target.planned().kind == kind)
    }

    /// When the next probe to any target is due.
    pub(crate) fn next_probe(&self) -> Option<Now> {
        self.by_name.values().map(Target::next_probe).min()
    }

    /// When the next probe to any target is missed.
    pub(crate) fn next_expiry(&self) -> Option<Now> {
        self.by_name.values().filter_map(Target::next_expiry).min()
    }

    /// The target to probe now: one whose state is not settled, or the one that has been due the longest.
    pub(crate) fn most_due(&mut self, now: Now) -> Option<(&NodeName, &mut Target)> {
        let due = self.by_name.iter_mut().filter(|(_, target)| target.next_probe() <= now);
        due.min_by_key(|(_, target)| (target.is_settled(), target.next_probe()))
    }

    /// Probes the nodes of the same location without the wait for the interval.
    pub(crate) fn probe_location_of(&mut self, now: Now, node: &NodeName) {
        let Some(location) = self.by_name.get(node).map(|target| target.planned().location.clone()) else { return };
        let neighbours = self.by_name.values_mut().filter(|target| target.planned().location == location);
        neighbours.for_each(|target| target.probe_now(now));
    }

    /// The paths whose MTU is less than the devices permit, in bytes.
    pub(crate) fn narrow_mtus(&self) -> BTreeMap<NodeName, u32> {
        let narrow = |(name, target): (&NodeName, &Target)| Some((name.clone(), target.narrow_mtu()?));
        self.by_name.iter().filter_map(narrow).collect()
    }

    /// What the targets decapsulate already.
    pub(crate) fn decapsulating(&self) -> BTreeMap<NodeName, Decapsulation> {
        let decapsulation = |(name, target): (&NodeName, &Target)| Some((name.clone(), target.decapsulation()?));
        self.by_name.iter().filter_map(decapsulation).collect()
    }
}
