//! The `Mesh` resource: `meshes.carrick.dev/v1alpha1`, cluster-scoped. One object counts, which is named [`MESH_NAME`].
//!
//! `deploy/crd/meshes.carrick.dev.yaml` is made from these types: `UPDATE_CRD=1 cargo test -p carrick-kube --test crd`
//! writes it, and the same test without the variable fails when it is stale.

mod convert;

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

pub use carrick_topology::model::MESH_NAME;
pub use convert::{ParsedMesh, parse_mesh};

/// The settings that all nodes of the cluster share.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "carrick.dev",
    version = "v1alpha1",
    kind = "Mesh",
    plural = "meshes",
    derive = "PartialEq",
    doc = "The settings that all nodes of the cluster share. One object counts: the one named `default`. Without it, defaults hold.",
    validation = Rule::new("self.metadata.name == 'default'").message("the Mesh must be named `default`: the cluster has one"),
    printcolumn = r#"{"name":"Cluster-CIDRs","type":"string","jsonPath":".spec.clusterCIDRs"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct MeshSpec {
    /// The networks in which `allowed-location-cidrs` and public `internal-addresses` of Nodes count. The list replaces the default:
    /// private, shared and unique local addresses (10.0.0.0/8, 100.64.0.0/10, 172.16.0.0/12, 192.168.0.0/16, fc00::/7).
    #[serde(default, rename = "permittedLocationCIDRs", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256), inner(length(min = 4, max = 49)))]
    #[x_kube(
        merge_strategy = ListMerge::Set,
        validation = Rule::new("self.all(cidr, isCIDR(cidr))").message("must be CIDRs, such as 192.168.7.0/24 or fd00:7::/64")
    )]
    pub permitted_location_cidrs: Option<Vec<String>>,

    /// The networks of all pods of the cluster, now and later.
    #[serde(default, rename = "clusterCIDRs", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256), inner(length(min = 4, max = 49)))]
    #[x_kube(
        merge_strategy = ListMerge::Set,
        validation = Rule::new("self.all(cidr, isCIDR(cidr))").message("must be CIDRs, such as 192.168.7.0/24 or fd00:7::/64")
    )]
    pub cluster_cidrs: Option<Vec<String>>,
}
