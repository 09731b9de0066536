//! Peer objects: from the bytes that the API server sends to the change that an agent gets.

use carrick_topology::{Cluster, Peer};
use serde_json::Value;

use super::cluster::{LABEL, check_others_reach_each_other, check_warnings, saved, view};
use crate::objects::Objects;
use crate::peer::{PeerMetadata, PeerSpec, SecretKeyReference, parse_peer};
use crate::watch::follow::Signal;
use crate::watch::object::PeerObject;

/// The fields that a peer can do without.
const OPTIONAL: [&str; 3] = ["endpoint", "persistentKeepalive", "location"];

/// Reads `bytes` as a Peer object, and as a document that `kubectl` saved.
///
/// # Panics
///
/// Something does not hold that must.
pub fn check(bytes: &[u8]) {
    if let Ok(document) = serde_json::from_slice::<Value>(bytes) {
        let mut objects = Objects::default();
        if let Err(error) = objects.add(document) {
            assert!(!error.to_string().is_empty());
        }
        let cluster = objects.cluster(LABEL);
        assert!(cluster.nodes.len() == objects.nodes.len() && cluster.peers.len() <= objects.peers.len());
    }
    let Ok(object) = serde_json::from_slice::<PeerObject>(bytes) else { return };
    let Some(metadata) = object.peer_metadata() else { return };
    let parsed = parse_peer(metadata.clone(), &object.spec);
    check_warnings(&parsed.warnings, metadata.name.as_str());
    check_changes(&object);
    let Some(peer) = parsed.peer else {
        assert!(!parsed.warnings.is_empty(), "a peer is ignored and no warning says so");
        return;
    };
    assert!(!peer.allowed_ips.is_empty() && peer.allowed_ips.iter().all(|network| *network == network.trunc()));
    check_each_value_alone(&metadata, &object.spec, &peer);
    check_written(&metadata, &peer);
    let mut cluster = Cluster::default();
    cluster.insert_peer(peer);
    check_others_reach_each_other(cluster);
}

/// Without a field that it can do without, the peer is the same but for that field.
fn check_each_value_alone(metadata: &PeerMetadata, spec: &Value, peer: &Peer) {
    for field in OPTIONAL {
        let mut without = spec.clone();
        without.as_object_mut().and_then(|spec| spec.remove(field));
        let mut expected = peer.clone();
        match field {
            "endpoint" => expected.endpoint = None,
            "location" => expected.location = None,
            _ => expected.persistent_keepalive = None,
        }
        assert_eq!(parse_peer(metadata.clone(), &without).peer, Some(expected), "without {field}");
    }
}

/// Written as a Peer object again, the peer is read as the same.
fn check_written(metadata: &PeerMetadata, peer: &Peer) {
    let spec = PeerSpec {
        public_key: peer.public_key.to_string(),
        allowed_ips: peer.allowed_ips.iter().map(ToString::to_string).collect(),
        endpoint: peer.endpoint.as_ref().map(ToString::to_string),
        persistent_keepalive: peer.persistent_keepalive.map(i32::from),
        preshared_key_secret_ref: peer
            .preshared_key
            .as_ref()
            .map(|reference| SecretKeyReference { name: reference.name.clone(), key: reference.key.clone() }),
        location: peer.location.as_ref().map(ToString::to_string),
    };
    let again = parse_peer(metadata.clone(), &serde_json::to_value(spec).unwrap());
    assert_eq!(again.peer.as_ref(), Some(peer));
    assert!(again.warnings.is_empty(), "{:?}", again.warnings);
}

/// An object is one change at most, and none when it comes again or was on the disk. Its deletion leaves nothing behind.
fn check_changes(object: &PeerObject) {
    let mut cluster = Cluster::default();
    let mut view = view(&cluster);
    let changes = view.take_peer(Signal::Applied(object.clone()));
    assert_eq!(changes.len(), 1, "{changes:?}");
    changes.into_iter().for_each(|change| change.apply(&mut cluster));
    assert_eq!(view.take_peer(Signal::Applied(object.clone())), []);
    if !cluster.peers.is_empty() {
        assert_eq!(super::cluster::view(&saved(&cluster)).take_peer(Signal::Applied(object.clone())), []);
    }
    view.take_peer(Signal::Deleted(object.clone())).into_iter().for_each(|change| change.apply(&mut cluster));
    assert_eq!(cluster, Cluster::default());
}
