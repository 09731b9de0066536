//! Which name is due when, and what it last resolved to: no I/O, no clock.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use carrick_topology::model::DnsName;

/// The addresses of the names, for [`carrick_topology::model::LocalFacts::resolved`]. A name that never resolved is absent.
pub(in crate::agent) type Resolved = BTreeMap<DnsName, BTreeSet<IpAddr>>;

/// The time between two resolutions of a name.
const INTERVAL: Duration = Duration::from_secs(60);
/// The least time between two resolutions, when the core requests them.
const LEAST_INTERVAL: Duration = Duration::from_secs(5);

/// The wanted names.
#[derive(Debug, Default)]
pub(super) struct Schedule(BTreeMap<DnsName, Entry>);

#[derive(Debug)]
struct Entry {
    addresses: BTreeSet<IpAddr>,
    has_failed: bool,
    last_started: Option<Instant>,
    /// `None` while a resolution is in progress.
    due: Option<Instant>,
}

/// The result of a resolution.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// No endpoint has this name any more.
    NotWanted,
    /// The addresses as before.
    Same,
    /// The addresses as before, after failures.
    Recovered,
    /// Other addresses.
    Changed,
    /// A first failure; the last addresses stay.
    FailedKept(String),
    /// A first failure, and there are no addresses.
    FailedNone(String),
    /// Not the first failure.
    FailedAgain,
}

impl Schedule {
    /// Replaces the names; new ones are due at once.
    pub(super) fn want(&mut self, names: &BTreeSet<DnsName>, now: Instant) {
        self.0.retain(|name, _| names.contains(name));
        for name in names {
            self.0.entry(name.clone()).or_insert_with(|| Entry {
                addresses: BTreeSet::new(),
                has_failed: false,
                last_started: None,
                due: Some(now),
            });
        }
    }

    /// Brings a name's look-up forward.
    pub(super) fn refresh(&mut self, name: &DnsName, now: Instant) {
        if let Some(entry) = self.0.get_mut(name) {
            let soonest = entry.last_started.map_or(now, |started| (started + LEAST_INTERVAL).max(now));
            entry.due = entry.due.map(|due| due.min(soonest));
        }
    }

    /// The names that are due. Their resolutions count as in progress from now on.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<DnsName> {
        let due = self.0.iter_mut().filter(|(_, entry)| entry.due.is_some_and(|due| due <= now));
        due.map(|(name, entry)| {
            entry.due = None;
            entry.last_started = Some(now);
            name.clone()
        })
        .collect()
    }

    /// The time at which the next name is due.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.0.values().filter_map(|entry| entry.due).min()
    }

    /// A look-up has ended.
    pub(super) fn finish(&mut self, name: &DnsName, answer: Result<BTreeSet<IpAddr>, String>, now: Instant) -> Outcome {
        let Some(entry) = self.0.get_mut(name) else { return Outcome::NotWanted };
        entry.due = Some(entry.last_started.unwrap_or(now) + INTERVAL);
        let had_failed = entry.has_failed;
        match answer.and_then(usable) {
            Ok(addresses) => {
                entry.has_failed = false;
                if entry.addresses == addresses {
                    return if had_failed { Outcome::Recovered } else { Outcome::Same };
                }
                entry.addresses = addresses;
                Outcome::Changed
            }
            Err(error) => {
                entry.has_failed = true;
                match (had_failed, entry.addresses.is_empty()) {
                    (true, _) => Outcome::FailedAgain,
                    (false, true) => Outcome::FailedNone(error),
                    (false, false) => Outcome::FailedKept(error),
                }
            }
        }
    }

    /// The addresses of the names.
    pub(super) fn resolved(&self) -> Resolved {
        let known = self.0.iter().filter(|(_, entry)| !entry.addresses.is_empty());
        known.map(|(name, entry)| (name.clone(), entry.addresses.clone())).collect()
    }
}

/// The addresses that another node can have: some hosts resolve their own name to a loopback address.
fn usable(addresses: BTreeSet<IpAddr>) -> Result<BTreeSet<IpAddr>, String> {
    let usable: BTreeSet<IpAddr> = addresses
        .into_iter()
        .map(|address| address.to_canonical())
        .filter(|address| !address.is_loopback() && !address.is_unspecified() && !address.is_multicast())
        .collect();
    if usable.is_empty() { Err("the name has no address that could be dialled".to_owned()) } else { Ok(usable) }
}
