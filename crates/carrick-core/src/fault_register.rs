//! The faults in force, and for how long they have been.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use carrick_backoff::Now;

use crate::fault::{Consequence, Fault};

/// A fault that lasts this long is reported as an Event, and takes new pods away if that is its [`Consequence`]. What is over earlier, such
/// as the restart of a userspace data path, does neither.
pub const FAULT_PATIENCE: Duration = Duration::from_secs(30);

/// What found a fault. Each report of a source replaces the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultSource {
    /// The core itself, from what it waits for and the state of the API.
    Core,
    /// The thread that applies plans.
    Kernel,
    /// The writer of the pod network's files.
    PodFiles,
    /// The thread that restores the host's ends of pods.
    PodRoutes,
    /// The thread that restores the CNI plugin's nftables table.
    PodFirewall,
    /// The writer of the saved state.
    SavedState,
    /// The writer of the own annotations.
    Publication,
    /// The look at the admission policies.
    AdmissionPolicies,
    /// The prober.
    Probes,
    /// The sockets of the prober.
    ProbePort,
}

/// Keeps the faults of all sources.
#[derive(Debug, Default)]
pub(crate) struct FaultRegister {
    /// Each fault with the moment from which it has been in force.
    by_source: BTreeMap<FaultSource, BTreeMap<Fault, Now>>,
    /// The lasting faults that were told.
    told: BTreeSet<Fault>,
}

impl FaultRegister {
    /// Takes over all faults that a source knows.
    pub(crate) fn set(&mut self, now: Now, source: FaultSource, faults: BTreeSet<Fault>) {
        let before = self.by_source.entry(source).or_default();
        let since = |fault: Fault| {
            let since = before.get(&fault).copied().unwrap_or(now);
            (fault, since)
        };
        *before = faults.into_iter().map(since).collect();
    }

    /// All faults in force.
    pub(crate) fn all(&self) -> BTreeSet<Fault> {
        self.in_force().map(|(fault, _)| fault.clone()).collect()
    }

    /// The first fault that takes new pods away, and whether one of these has lasted.
    pub(crate) fn blocking(&self, now: Now) -> Option<(&Fault, Lasting)> {
        let mut blocking = self.in_force().filter(|(fault, _)| fault.consequence() == Consequence::NoNewPods);
        let first = blocking.next()?;
        let lasting = std::iter::once(first).chain(blocking).find(|(_, since)| is_lasting(now, *since));
        Some(lasting.map_or((first.0, Lasting::NotYet), |(fault, _)| (fault, Lasting::Yes)))
    }

    /// The faults that have lasted, if they are others than those that this returned before.
    pub(crate) fn take_told(&mut self, now: Now) -> Option<BTreeSet<Fault>> {
        let lasting: BTreeSet<Fault> =
            self.in_force().filter(|(_, since)| is_lasting(now, *since)).map(|(fault, _)| fault.clone()).collect();
        (lasting != self.told).then(|| {
            self.told.clone_from(&lasting);
            lasting
        })
    }

    /// When the next fault will have lasted.
    pub(crate) fn due(&self) -> Option<Now> {
        let untold = self.in_force().filter(|(fault, _)| !self.told.contains(*fault));
        untold.map(|(_, since)| since + FAULT_PATIENCE).min()
    }

    fn in_force(&self) -> impl Iterator<Item = (&Fault, Now)> {
        self.by_source.values().flatten().map(|(fault, since)| (fault, *since))
    }
}

/// Whether a fault has been in force for [`FAULT_PATIENCE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lasting {
    /// It has.
    Yes,
    /// It may be over soon.
    NotYet,
}

fn is_lasting(now: Now, since: Now) -> bool {
    now >= since + FAULT_PATIENCE
}
