//! The objects as they come over the wire, reduced while they are read.
//!
//! A Node's metadata is some kilobytes, most of it `managedFields` and other people's annotations; at 1,000 nodes this is what decides
//! the agent's memory. So these types read only what is needed, and never hold the rest.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use carrick_topology::model::CreationTime;
use ipnet::IpNet;
use k8s_openapi::ClusterResourceScope;
use k8s_openapi::api::core::v1::Node as KubeNode;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::Resource;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

use crate::annotations::{NodeMetadata, PREFIX};
use crate::mesh::{MESH_NAME, Mesh};
use crate::own_node::OwnNode;
use crate::peer::{Peer, PeerMetadata};

/// A Node, asked for as metadata only.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct NodeObject {
    #[serde(deserialize_with = "reduced_metadata")]
    metadata: ObjectMeta,
}

/// The own Node, in full.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct OwnNodeObject {
    #[serde(deserialize_with = "reduced_metadata")]
    metadata: ObjectMeta,
    #[serde(default)]
    spec: OwnNodeSpec,
    #[serde(default)]
    status: OwnNodeStatus,
}

/// A Peer. Its `spec` is parsed later, so that an object of another format harms only itself.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct PeerObject {
    #[serde(deserialize_with = "reduced_metadata")]
    metadata: ObjectMeta,
    #[serde(default)]
    pub(crate) spec: serde_json::Value,
}

/// A Mesh; its `spec` is read later, field by field.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct MeshObject {
    #[serde(deserialize_with = "reduced_metadata")]
    metadata: ObjectMeta,
    #[serde(default)]
    pub(crate) spec: serde_json::Value,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct OwnNodeSpec {
    #[serde(rename = "podCIDR")]
    pod_cidr: Option<String>,
    #[serde(rename = "podCIDRs")]
    pod_cidrs: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct OwnNodeStatus {
    addresses: Vec<StatusAddress>,
}

#[derive(Clone, Debug, Deserialize)]
struct StatusAddress {
    #[serde(rename = "type")]
    type_: String,
    address: String,
}

impl NodeObject {
    /// `None` for an object without a name, which the API never sends.
    pub(crate) fn into_metadata(self) -> Option<NodeMetadata> {
        node_metadata(self.metadata)
    }
}

impl OwnNodeObject {
    pub(crate) fn into_own_node(self) -> Option<OwnNode> {
        let uid = self.metadata.uid.clone().unwrap_or_default();
        let addresses = self.status.addresses;
        let of_type = |type_: &str| {
            let chosen = addresses.iter().filter(|address| address.type_ == type_);
            chosen.filter_map(|address| address.address.parse().ok()).collect()
        };
        let first = self.spec.pod_cidr.filter(|_| self.spec.pod_cidrs.is_empty());
        let pod_cidrs = self.spec.pod_cidrs.into_iter().chain(first);
        Some(OwnNode {
            internal_ips: of_type("InternalIP"),
            external_ips: of_type("ExternalIP"),
            pod_cidrs: pod_cidrs.filter_map(|cidr| Some(cidr.parse::<IpNet>().ok()?.trunc())).collect::<BTreeSet<_>>(),
            metadata: node_metadata(self.metadata)?,
            uid,
        })
    }
}

impl PeerObject {
    pub(crate) fn peer_metadata(&self) -> Option<PeerMetadata> {
        let name = self.metadata.name.as_deref()?.parse().ok()?;
        Some(PeerMetadata { name, created: created(&self.metadata) })
    }
}

impl MeshObject {
    /// Whether it is the object that counts.
    pub(crate) fn is_the_one(&self) -> bool {
        self.metadata.name.as_deref() == Some(MESH_NAME)
    }
}

fn node_metadata(metadata: ObjectMeta) -> Option<NodeMetadata> {
    Some(NodeMetadata {
        created: created(&metadata),
        name: metadata.name?.parse().ok()?,
        annotations: metadata.annotations.unwrap_or_default(),
        labels: metadata.labels.unwrap_or_default(),
    })
}

fn created(metadata: &ObjectMeta) -> CreationTime {
    metadata.creation_timestamp.as_ref().map(|time| time.0.as_second()).unwrap_or_default()
}

/// Reads what is needed of `metadata`; the rest is skipped without being built.
fn reduced_metadata<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Reduced {
        name: Option<String>,
        uid: Option<String>,
        resource_version: Option<String>,
        creation_timestamp: Option<Time>,
        #[serde(default)]
        annotations: OwnAnnotations,
        #[serde(default)]
        labels: Option<BTreeMap<String, String>>,
    }
    let reduced = Reduced::deserialize(deserializer)?;
    Ok(ObjectMeta {
        name: reduced.name,
        uid: reduced.uid,
        resource_version: reduced.resource_version,
        creation_timestamp: reduced.creation_timestamp,
        annotations: Some(reduced.annotations.0),
        labels: reduced.labels,
        ..ObjectMeta::default()
    })
}

/// The annotations under [`PREFIX`].
#[derive(Default)]
struct OwnAnnotations(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for OwnAnnotations {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OwnOnly;

        impl<'de> Visitor<'de> for OwnOnly {
            type Value = OwnAnnotations;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("annotations")
            }

            fn visit_unit<E>(self) -> Result<OwnAnnotations, E> {
                Ok(OwnAnnotations::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<OwnAnnotations, A::Error> {
                let mut own = BTreeMap::new();
                while let Some(key) = entries.next_key::<Cow<'de, str>>()? {
                    if key.starts_with(PREFIX) {
                        own.insert(key.into_owned(), entries.next_value()?);
                    } else {
                        entries.next_value::<serde::de::IgnoredAny>()?;
                    }
                }
                Ok(OwnAnnotations(own))
            }
        }

        deserializer.deserialize_any(OwnOnly)
    }
}

/// Implements `kube::Resource` for `$object`, like that of `$resource`.
macro_rules! resource {
    ($object:ty, $resource:ty, metadata_only: $metadata_only:literal) => {
        impl Resource for $object {
            type DynamicType = ();
            type Scope = ClusterResourceScope;

            fn metadata_api() -> bool {
                $metadata_only
            }

            fn kind(_: &()) -> Cow<'_, str> {
                <$resource>::kind(&())
            }

            fn group(_: &()) -> Cow<'_, str> {
                <$resource>::group(&())
            }

            fn version(_: &()) -> Cow<'_, str> {
                <$resource>::version(&())
            }

            fn plural(_: &()) -> Cow<'_, str> {
                <$resource>::plural(&())
            }

            fn meta(&self) -> &ObjectMeta {
                &self.metadata
            }

            fn meta_mut(&mut self) -> &mut ObjectMeta {
                &mut self.metadata
            }
        }
    };
}

resource!(NodeObject, KubeNode, metadata_only: true);
resource!(OwnNodeObject, KubeNode, metadata_only: false);
resource!(PeerObject, Peer, metadata_only: false);
resource!(MeshObject, Mesh, metadata_only: false);

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_node_is_reduced_to_what_the_mesh_needs() {
        let object: NodeObject = serde_json::from_value(json!({
            "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
            "metadata": {
                "name": "a", "uid": "u", "resourceVersion": "7", "creationTimestamp": "2026-01-02T03:04:05Z",
                "labels": {"topology.kubernetes.io/region": "basel"},
                "annotations": {"carrick.dev/gateway": "never", "other.dev/x": "y", "note": "\"escaped\""},
                "managedFields": [{"manager": "kubelet", "fieldsV1": {"f:metadata": {}}}],
            },
        }))
        .unwrap();
        assert_eq!(object.meta().managed_fields, None);
        let metadata = object.into_metadata().unwrap();
        assert_eq!((metadata.name.as_str(), metadata.created), ("a", 1_767_323_045));
        assert_eq!(metadata.annotations, BTreeMap::from([("carrick.dev/gateway".into(), "never".into())]));
        assert_eq!(metadata.labels.len(), 1);
    }

    #[test]
    fn empty_and_missing_metadata_is_read() {
        for metadata in [json!({"name": "a"}), json!({"name": "a", "annotations": null, "labels": null})] {
            let object: NodeObject = serde_json::from_value(json!({ "metadata": metadata })).unwrap();
            assert_eq!(object.into_metadata().unwrap().annotations, BTreeMap::new());
        }
    }

    #[test]
    fn the_own_node_has_its_addresses_and_pod_cidrs() {
        let object: OwnNodeObject = serde_json::from_value(json!({
            "metadata": {"name": "a", "uid": "u"},
            "spec": {"podCIDR": "10.244.1.0/24", "podCIDRs": ["10.244.1.0/24", "fd10:0:0:1::/64"], "taints": []},
            "status": {"images": [{"names": ["x"]}], "addresses": [
                {"type": "Hostname", "address": "a"}, {"type": "InternalIP", "address": "10.0.0.7"},
                {"type": "InternalIP", "address": "fd00::7"}, {"type": "ExternalIP", "address": "198.51.100.7"},
            ]},
        }))
        .unwrap();
        let own = object.into_own_node().unwrap();
        assert_eq!((own.internal_ips.len(), own.external_ips.len(), own.pod_cidrs.len()), (2, 1, 2));
        let bare: OwnNodeObject =
            serde_json::from_value(json!({"metadata": {"name": "a"}, "spec": {"podCIDR": "10.244.1.0/24"}})).unwrap();
        assert_eq!(bare.into_own_node().unwrap().pod_cidrs.len(), 1);
    }

    #[test]
    fn requests_go_where_the_resources_are() {
        assert_eq!(NodeObject::url_path(&(), None), "/api/v1/nodes");
        assert_eq!(PeerObject::url_path(&(), None), "/apis/carrick.dev/v1alpha1/peers");
        assert_eq!(MeshObject::url_path(&(), None), "/apis/carrick.dev/v1alpha1/meshes");
        assert!(NodeObject::metadata_api() && !OwnNodeObject::metadata_api());
    }
}
