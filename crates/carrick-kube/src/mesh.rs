//! The `Mesh` resource: `meshes.carrick.dev/v1alpha1`, cluster-scoped. One object counts, which is named [`MESH_NAME`].
//!
//! `deploy/crd/meshes.carrick.dev.yaml` is made from these types: `UPDATE_CRD=1 cargo test -p carrick-kube --test crd`
//! writes it, and the same test without the variable fails when it is stale.

mod convert;

use std::collections::BTreeSet;

use kube::{CustomResource, CustomResourceExt as _, KubeSchema};
use serde::{Deserialize, Serialize};

pub use carrick_topology::model::MESH_NAME;
pub use convert::{ParsedMesh, parse_mesh};

/// The fields of `spec`, as the definition of the resource names them.
#[must_use]
pub fn fields() -> BTreeSet<String> {
    let versions = Mesh::crd().spec.versions.into_iter();
    let schemas =
        versions.filter_map(|version| version.schema?.open_api_v3_schema?.properties?.remove("spec")?.properties);
    schemas.flatten().map(|(name, _)| name).collect()
}

/// No network is wider than any of an operator. The agents have the same rule (`network_of_operator`), because the schema in the cluster
/// may be an older one.
pub(crate) const TOO_WIDE: &str = "self.all(one, !isCIDR(one) || cidr(one).prefixLength() >= (cidr(one).ip().family() == 4 ? 8 : 16) || cidr('fc00::/7').containsCIDR(one))";
pub(crate) const TOO_WIDE_MESSAGE: &str =
    "must have prefixes of at least /8 (IPv4) or /16 (IPv6), or be within fc00::/7";

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
    printcolumn = r#"{"name":"Granularity","type":"string","jsonPath":".spec.granularity"}"#,
    printcolumn = r#"{"name":"Encapsulation","type":"string","jsonPath":".spec.encapsulation"}"#,
    printcolumn = r#"{"name":"Cluster-CIDRs","type":"string","jsonPath":".spec.clusterCIDRs"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new(
        "!has(self.meshCIDRs) || !has(self.serviceCIDRs) || !self.meshCIDRs.exists(mesh, isCIDR(mesh) && self.serviceCIDRs.exists(service, isCIDR(service) && (cidr(mesh).containsCIDR(service) || cidr(service).containsCIDR(mesh))))"
    )
    .message("meshCIDRs must not overlap serviceCIDRs")
)]
pub struct MeshSpec {
    /// Which nodes have tunnels: gateways of different locations (`location`, the default), all nodes of different locations (`cross`), or
    /// all nodes (`full`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["location", "cross", "full"]))]
    pub granularity: Option<String>,

    /// When packets between nodes of one location travel in VXLAN: `always` (the default), between subnets only (`cross-subnet`), or
    /// `never`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["always", "cross-subnet", "never"]))]
    pub encapsulation: Option<String>,

    /// The number of gateways of a location that carry its traffic. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub active_gateways: Option<i32>,

    /// The number of further gateways of a location that keep their tunnels up, to take over. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 65535))]
    pub standby_gateways: Option<i32>,

    /// The CIDRs of the nodes' mesh addresses, one for each address family. A change renumbers all nodes: packets are lost until every
    /// node has published its new address. Default: 10.4.0.0/16 and fdca:7272:6963:6b00::/64.
    #[serde(default, rename = "meshCIDRs", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2), inner(length(min = 4, max = 49)))]
    #[x_kube(
        merge_strategy = ListMerge::Set,
        validation = Rule::new("self.all(one, isCIDR(one))").message("must be CIDRs, such as 10.4.0.0/16 or fd00:4::/64"),
        validation = Rule::new(TOO_WIDE).message(TOO_WIDE_MESSAGE),
        validation = Rule::new("!self.all(one, isCIDR(one)) || size(self) < 2 || cidr(self[0]).ip().family() != cidr(self[1]).ip().family()")
            .message("must be one CIDR for each address family")
    )]
    pub mesh_cidrs: Option<Vec<String>>,

    /// The CIDRs of Kubernetes Services, which the mesh does not use.
    #[serde(default, rename = "serviceCIDRs", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), inner(length(min = 4, max = 49)))]
    #[x_kube(
        merge_strategy = ListMerge::Set,
        validation = Rule::new("self.all(one, isCIDR(one))").message("must be CIDRs, such as 10.96.0.0/12 or fd00:96::/108")
    )]
    pub service_cidrs: Option<Vec<String>>,

    /// The Node label that names the location if the annotation carrick.dev/location is absent. Default: topology.kubernetes.io/region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 317))]
    #[x_kube(
        validation = Rule::new(
            "self.matches('^([A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$')"
        )
        .message("must be the key of a label, such as topology.kubernetes.io/region")
    )]
    pub topology_label: Option<String>,

    /// The time between two probes of a gateway. A gateway that answers none of three probes is down, and another gateway takes over.
    /// Default: 250.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 50, max = 60000))]
    pub failover_interval_milliseconds: Option<i32>,

    /// Whether packets to allowed-location CIDRs take the address of the node where they leave the mesh. Default: true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub masquerade_allowed_location: Option<bool>,

    /// The networks in which `allowed-location-cidrs` and public `internal-addresses` of Nodes count. The list replaces the default:
    /// private, shared and unique local addresses (10.0.0.0/8, 100.64.0.0/10, 172.16.0.0/12, 192.168.0.0/16, fc00::/7).
    #[serde(default, rename = "permittedLocationCIDRs", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256), inner(length(min = 4, max = 49)))]
    #[x_kube(
        merge_strategy = ListMerge::Set,
        validation = Rule::new("self.all(cidr, isCIDR(cidr))").message("must be CIDRs, such as 192.168.7.0/24 or fd00:7::/64"),
        validation = Rule::new(TOO_WIDE).message(TOO_WIDE_MESSAGE)
    )]
    pub permitted_location_cidrs: Option<Vec<String>>,

    /// The networks of all pods of the cluster, now and later.
    #[serde(default, rename = "clusterCIDRs", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256), inner(length(min = 4, max = 49)))]
    #[x_kube(
        merge_strategy = ListMerge::Set,
        validation = Rule::new("self.all(cidr, isCIDR(cidr))").message("must be CIDRs, such as 192.168.7.0/24 or fd00:7::/64"),
        validation = Rule::new(TOO_WIDE).message(TOO_WIDE_MESSAGE)
    )]
    pub cluster_cidrs: Option<Vec<String>>,

    /// The networks that contain the internal addresses of all nodes, in both address families. Other addresses do not count as internal.
    /// Default: no restriction.
    #[serde(default, rename = "internalCIDRs", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), inner(length(min = 4, max = 49)))]
    #[x_kube(
        merge_strategy = ListMerge::Set,
        validation = Rule::new("self.all(cidr, isCIDR(cidr))").message("must be CIDRs, such as 192.168.7.0/24 or fd00:7::/64"),
        validation = Rule::new(TOO_WIDE).message(TOO_WIDE_MESSAGE)
    )]
    pub internal_cidrs: Option<Vec<String>>,
}
