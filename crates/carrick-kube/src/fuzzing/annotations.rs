//! Node objects: from the bytes that the API server sends to the change that an agent gets.

use std::collections::{BTreeMap, BTreeSet};

use carrick_topology::model::InternalAddresses;
use carrick_topology::{Cluster, Node, Warning};
use serde_json::{Map, Value};

use super::cluster::{LABEL, check_others_reach_each_other, check_warnings, saved, view};
use crate::annotations::{NodeMetadata, PREFIX, Published, key, parse_node, published_annotations};
use crate::watch::follow::Signal;
use crate::watch::object::{NodeObject, OwnNodeObject};

/// Up to so many annotations, each one without an effect has a warning.
const MOST_NAMED_ALONE: usize = 8;

/// Reads `bytes` as a Node object.
///
/// # Panics
///
/// Something does not hold that must.
pub fn check(bytes: &[u8]) {
    if let Ok(object) = serde_json::from_slice::<OwnNodeObject>(bytes)
        && let Some(own) = object.into_own_node()
    {
        assert!(own.pod_cidrs.iter().all(|cidr| *cidr == cidr.trunc()), "{own:?}");
    }
    let Ok(object) = serde_json::from_slice::<NodeObject>(bytes) else { return };
    let Some(metadata) = object.clone().into_metadata() else { return };
    assert!(metadata.annotations.keys().all(|key| key.starts_with(PREFIX)), "{metadata:?}");
    check_each_value_alone(&metadata);
    check_changes(&object, &metadata);

    let node = parse_node(&metadata, LABEL).node;
    check_publication(&node);
    let mut cluster = Cluster::default();
    cluster.insert_node(node);
    check_others_reach_each_other(cluster);
}

/// A value sets a field of its own, or gives a warning of its own, and changes nothing else.
fn check_each_value_alone(metadata: &NodeMetadata) {
    let whole = parse_node(metadata, LABEL);
    check_warnings(&whole.warnings, metadata.name.as_str());
    let nothing = fields(&parse_node(&only(metadata, &[]), LABEL).node);
    let mut expected = nothing.clone();
    let mut warnings: BTreeSet<Warning> = BTreeSet::new();
    for keys in groups(metadata) {
        let alone = parse_node(&only(metadata, &keys), LABEL);
        warnings.extend(alone.warnings);
        for (field, value) in fields(&alone.node) {
            if nothing[&field] != value {
                let before = expected.insert(field.clone(), value);
                assert_eq!(before.as_ref(), nothing.get(&field), "two annotations set {field}");
            }
        }
    }
    assert_eq!(fields(&whole.node), expected);
    // Of keys without an effect, the first few are named.
    if metadata.annotations.len() <= MOST_NAMED_ALONE {
        assert_eq!(whole.warnings, warnings);
    } else {
        assert!(whole.warnings.is_subset(&warnings));
    }
    assert_eq!(serde_json::from_value::<Node>(Value::Object(expected)).unwrap(), whole.node);
}

/// The keys that belong together: an annotation before a label, and one annotation before another.
fn groups(metadata: &NodeMetadata) -> Vec<Vec<&str>> {
    let together = [vec![key::LOCATION, LABEL], vec![key::INTERNAL_ADDRESSES, key::ADVERTISED_INTERNAL_ADDRESSES]];
    let is_alone = |key: &&str| together.iter().all(|group| !group.contains(key));
    let labels = metadata.labels.keys().filter(|label| !metadata.annotations.contains_key(*label));
    let alone =
        metadata.annotations.keys().chain(labels).map(String::as_str).filter(is_alone).map(|key| vec![key]).collect();
    [Vec::from(together.clone()), alone].concat()
}

fn only(metadata: &NodeMetadata, keys: &[&str]) -> NodeMetadata {
    let chosen = |map: &BTreeMap<String, String>| {
        map.iter()
            .filter(|(key, _)| keys.contains(&key.as_str()))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    };
    NodeMetadata { annotations: chosen(&metadata.annotations), labels: chosen(&metadata.labels), ..metadata.clone() }
}

fn fields(node: &Node) -> Map<String, Value> {
    match serde_json::to_value(node).unwrap() {
        Value::Object(fields) => fields,
        other => panic!("{other}"),
    }
}

/// What an agent would publish of this node is read back as the same.
fn check_publication(node: &Node) {
    let published = Published {
        public_key: node.public_key,
        public_key_proof: node.public_key_proof,
        pod_cidrs: node.pod_cidrs.clone(),
        mesh_addresses: node.mesh_addresses.clone(),
        advertised_endpoints: node.advertised_endpoints.clone(),
        advertised_internal_addresses: match &node.internal_addresses {
            InternalAddresses::Advertised(addresses) => addresses.clone(),
            InternalAddresses::Forced(_) | InternalAddresses::None => BTreeSet::new(),
        },
        observed_endpoints: node.observed_endpoints.clone(),
        agent: node.agent.clone(),
    };
    let metadata = NodeMetadata {
        name: node.name.clone(),
        created: node.created,
        annotations: published_annotations(&published),
        labels: BTreeMap::new(),
    };
    let again = parse_node(&metadata, LABEL);
    assert_eq!(again.warnings, BTreeSet::new());
    let expected = Node {
        public_key: published.public_key,
        public_key_proof: published.public_key_proof,
        pod_cidrs: published.pod_cidrs,
        mesh_addresses: published.mesh_addresses,
        internal_addresses: InternalAddresses::Advertised(published.advertised_internal_addresses),
        advertised_endpoints: published.advertised_endpoints,
        observed_endpoints: published.observed_endpoints,
        agent: published.agent,
        ..Node::new(node.name.clone(), node.created)
    };
    assert_eq!(again.node, expected);
}

/// An object is one change, and none when it comes again or was on the disk. Its deletion leaves nothing behind.
fn check_changes(object: &NodeObject, metadata: &NodeMetadata) {
    let mut cluster = Cluster::default();
    let mut view = view(&cluster);
    let changes = view.take_node(Signal::Applied(object.clone()));
    assert_eq!(changes.len(), 1, "{changes:?}");
    changes.into_iter().for_each(|change| change.apply(&mut cluster));
    assert_eq!(view.take_node(Signal::Applied(object.clone())), []);
    assert_eq!(super::cluster::view(&saved(&cluster)).take_node(Signal::Applied(object.clone())), []);
    assert!(cluster.nodes.contains_key(&metadata.name) && cluster.nodes.len() == 1);

    view.take_node(Signal::Deleted(object.clone())).into_iter().for_each(|change| change.apply(&mut cluster));
    assert_eq!(cluster, Cluster::default());
}
