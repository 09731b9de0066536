//! The settings that all nodes share.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;

use carrick_topology::model::{LocalFacts, SharedSettings};
use carrick_topology::{Encapsulation, Granularity, Settings};

use crate::snapshot::Snapshot;

/// The greatest gateway count that is tried.
const MAX_GATEWAYS: usize = 8;

/// The most common settings of the agents, without each node's own facts.
pub(super) fn shared(snapshot: &Snapshot, notes: &mut Vec<String>) -> Settings {
    let mut by_hash: BTreeMap<String, (usize, &Settings)> = BTreeMap::new();
    let mut resolved = BTreeMap::new();
    for settings in snapshot.pages().filter_map(|(_, page)| page.settings.as_deref()) {
        by_hash.entry(settings.shared_hash()).or_insert((0, settings)).0 += 1;
        resolved.extend(settings.local.resolved.clone());
    }
    let most = by_hash.values().max_by_key(|(count, _)| *count);
    let mut shared = match most {
        Some((_, settings)) => (*settings).clone(),
        None => of_hashes(snapshot, notes),
    };
    shared.local = LocalFacts { resolved, ..LocalFacts::default() };
    shared
}

/// The settings whose hash is in the agents' annotations, if no agent answers.
fn of_hashes(snapshot: &Snapshot, notes: &mut Vec<String>) -> Settings {
    let default = Settings::default();
    let cluster = snapshot.objects.as_ref().map(|objects| objects.cluster(&default.topology_label)).unwrap_or_default();
    let hashes: BTreeSet<&str> =
        cluster.nodes.values().filter_map(|node| Some(node.agent.as_ref()?.settings.as_str())).collect();
    let Some(hash) = hashes.first() else {
        notes.push("the agents' settings are not known; the defaults and the Mesh are used".to_owned());
        return default.with_mesh(cluster.mesh.as_ref());
    };
    if hashes.len() > 1 {
        notes.push("the agents run with different settings; the settings of one agent are used for all".to_owned());
    }
    let mesh = cluster.mesh.as_ref();
    let found = candidates(&default).find(|settings| settings.published_hash(mesh) == **hash);
    let flags = found.unwrap_or_else(|| {
        notes.push(
            "the agents' mesh CIDRs, topology label or gateway counts are not known; the defaults are used".to_owned(),
        );
        default
    });
    let given = SharedSettings {
        granularity: Some(flags.granularity),
        encapsulation: Some(flags.encapsulation),
        active_gateways: Some(flags.active_gateways),
        standby_gateways: Some(flags.standby_gateways),
        ..SharedSettings::default()
    };
    // Which flags are set and which are left to their defaults is not known, so that no flag counts as overridden.
    let settings = flags.with_flags(given).with_mesh(mesh);
    Settings { flags: SharedSettings::default(), ..settings }
}

fn candidates(default: &Settings) -> impl Iterator<Item = Settings> + '_ {
    let granularities = [Granularity::Location, Granularity::Cross, Granularity::Full];
    let encapsulations = [Encapsulation::Always, Encapsulation::CrossSubnet, Encapsulation::Never];
    granularities.into_iter().flat_map(move |granularity| {
        encapsulations.into_iter().flat_map(move |encapsulation| {
            (1..=MAX_GATEWAYS).filter_map(NonZeroUsize::new).flat_map(move |active_gateways| {
                (0..=MAX_GATEWAYS).map(move |standby_gateways| Settings {
                    granularity,
                    encapsulation,
                    active_gateways,
                    standby_gateways,
                    ..default.clone()
                })
            })
        })
    })
}
