//! Converts `Peer` objects to the model.

use std::collections::{BTreeMap, BTreeSet};

use carrick_topology::ObjectName;
use carrick_topology::model::{CreationTime, SecretReference};
use carrick_topology::{Endpoint, LocationName, Peer, PeerName, PublicKey, Warning};
use serde::Deserialize as _;
use serde_json::Value;

use super::PeerSpec;
use crate::annotations::reader::Reader;
use crate::annotations::value;

/// The part of a Peer object's metadata that the mesh needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerMetadata {
    /// `metadata.name`.
    pub name: PeerName,
    /// `metadata.creationTimestamp`.
    pub created: CreationTime,
}

/// A peer, and the values that are ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsedPeer {
    /// The peer. `None` if the object cannot be used; a warning says why.
    pub peer: Option<Peer>,
    /// One for each value that could not be read; all are about this peer.
    pub warnings: BTreeSet<Warning>,
}

/// Reads a Peer's `spec`. The schema in the cluster may be an older one, so nothing is taken for granted.
///
/// Without a public key, or without any allowed IP, there is no peer; any other bad value is ignored alone. An incomplete
/// reference to a preshared key rejects the peer: the device must not connect without its preshared key.
#[must_use]
pub fn parse_peer(metadata: PeerMetadata, spec: &Value) -> ParsedPeer {
    let object = ObjectName::Peer(metadata.name.clone());
    let nothing = BTreeMap::new();
    let mut reader = Reader::new(object, &nothing);
    let peer = match PeerSpec::deserialize(spec) {
        Ok(spec) => convert(&mut reader, metadata, &spec),
        Err(error) => {
            reader.warn("spec", String::new(), &error.to_string());
            None
        }
    };
    ParsedPeer { peer, warnings: reader.into_warnings() }
}

fn convert(reader: &mut Reader<'_>, metadata: PeerMetadata, spec: &PeerSpec) -> Option<Peer> {
    let public_key = reader.read("spec.publicKey", &spec.public_key, value::parsed::<PublicKey>);
    let allowed_ips =
        reader.read_all("spec.allowedIPs", spec.allowed_ips.iter().map(|cidr| cidr.trim()), value::network_of_operator);
    let endpoint = spec.endpoint.as_deref().map(str::trim).filter(|text| !text.is_empty());
    let endpoint = endpoint.and_then(|text| reader.read("spec.endpoint", text, value::parsed::<Endpoint>));
    let persistent_keepalive = spec
        .persistent_keepalive
        .and_then(|seconds| reader.read("spec.persistentKeepalive", &seconds.to_string(), value::keepalive_seconds));
    let location = spec.location.as_deref().map(str::trim).filter(|text| !text.is_empty());
    let location = location.and_then(|text| reader.read("spec.location", text, value::parsed::<LocationName>));
    let preshared_key = spec
        .preshared_key_secret_ref
        .as_ref()
        .map(|reference| SecretReference { name: reference.name.clone(), key: reference.key.clone() });
    let incomplete =
        preshared_key.as_ref().is_some_and(|reference| reference.name.is_empty() || reference.key.is_empty());
    if incomplete {
        reader.warn("spec.presharedKeySecretRef", String::new(), "write a Secret's name and a key in it");
    }
    if spec.allowed_ips.is_empty() {
        reader.warn("spec.allowedIPs", String::new(), "write at least one network");
    }
    public_key.filter(|_| !allowed_ips.is_empty() && !incomplete).map(|public_key| Peer {
        name: metadata.name,
        created: metadata.created,
        public_key,
        allowed_ips,
        endpoint,
        persistent_keepalive,
        preshared_key,
        location,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    fn parse(spec: &Value) -> ParsedPeer {
        parse_peer(PeerMetadata { name: "laptop".parse().unwrap(), created: 9 }, spec)
    }

    fn messages(parsed: &ParsedPeer) -> Vec<String> {
        parsed.warnings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_field_is_read() {
        let parsed = parse(&json!({
            "publicKey": KEY, "allowedIPs": ["192.168.7.1/24", "fd00:7::/64"], "endpoint": "office.example:51820",
            "persistentKeepalive": 25, "presharedKeySecretRef": {"name": "psk", "key": "laptop"}, "location": "basel",
        }));
        assert_eq!(messages(&parsed), [""; 0]);
        let peer = parsed.peer.unwrap();
        assert_eq!((peer.name.as_str(), peer.created, peer.persistent_keepalive), ("laptop", 9, Some(25)));
        assert_eq!(peer.public_key.to_string(), KEY);
        let allowed: Vec<_> = peer.allowed_ips.iter().map(ToString::to_string).collect();
        assert_eq!(allowed, ["192.168.7.0/24", "fd00:7::/64"]);
        assert_eq!(peer.endpoint.unwrap().to_string(), "office.example:51820");
        assert_eq!(peer.preshared_key, Some(SecretReference { name: "psk".into(), key: "laptop".into() }));
        assert_eq!(peer.location.unwrap().as_str(), "basel");
    }

    #[test]
    fn a_bad_element_or_option_is_ignored_alone() {
        let parsed = parse(&json!({
            "publicKey": KEY, "allowedIPs": ["192.168.7.0/24", "192.168.7.0/40"], "endpoint": "office.example:0",
            "persistentKeepalive": -1,
        }));
        assert_eq!(parsed.warnings.len(), 3, "{:?}", messages(&parsed));
        let peer = parsed.peer.unwrap();
        assert_eq!((peer.allowed_ips.len(), peer.endpoint, peer.persistent_keepalive), (1, None, None));
    }

    #[test]
    fn a_network_that_is_wider_than_any_of_an_operator_is_ignored() {
        let wide = ["0.0.0.0/0", "128.0.0.0/1", "0.0.0.0/7", "::/0", "8000::/1", "2000::/15"];
        for wide in wide {
            let parsed = parse(&json!({"publicKey": KEY, "allowedIPs": [wide, "11.0.0.0/8", "2001::/16", "fc00::/7"]}));
            let messages = messages(&parsed);
            assert!(
                messages.len() == 1 && messages[0].contains(wide) && messages[0].contains("too wide"),
                "{messages:?}"
            );
            assert_eq!(parsed.peer.unwrap().allowed_ips.len(), 3, "{wide}");
        }
    }

    #[test]
    fn what_a_peer_cannot_do_without_leaves_it_out() {
        for (spec, field) in [
            (json!({"publicKey": "c2hvcnQ=", "allowedIPs": ["10.9.0.0/16"]}), "spec.publicKey"),
            (json!({"publicKey": KEY, "allowedIPs": []}), "spec.allowedIPs"),
            (json!({"publicKey": KEY, "allowedIPs": ["x"]}), "spec.allowedIPs"),
            (json!({"publicKey": KEY, "allowedIPs": "10.9.0.0/16"}), "spec"),
            (json!({"publicKey": 7}), "spec"),
            (json!(null), "spec"),
            (
                json!({"publicKey": KEY, "allowedIPs": ["10.9.0.0/16"], "presharedKeySecretRef": {"name": "", "key": "k"}}),
                "spec.presharedKeySecretRef",
            ),
        ] {
            let parsed = parse(&spec);
            assert_eq!(parsed.peer, None, "{spec}");
            assert!(parsed.warnings.iter().any(|warning| warning.field == field), "{spec}: {:?}", messages(&parsed));
        }
    }
}
