//! The `Peer` resource: `peers.carrick.dev/v1alpha1`, cluster-scoped.
//!
//! `deploy/crd/peers.carrick.dev.yaml` is made from these types: `UPDATE_CRD=1 cargo test -p carrick-kube --test crd`
//! writes it, and the same test without the variable fails when it is stale.

mod convert;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::mesh::{TOO_WIDE, TOO_WIDE_MESSAGE};
pub use convert::{ParsedPeer, PeerMetadata, parse_peer};

/// The condition that says whether the peer is connected.
pub const CONNECTED: &str = "Connected";

/// An outside WireGuard device: a laptop, an office router, another cluster.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "carrick.dev",
    version = "v1alpha1",
    kind = "Peer",
    plural = "peers",
    status = "PeerStatus",
    derive = "PartialEq",
    doc = "An outside WireGuard device (laptop, office router, another cluster) that joins the mesh. Exactly one node serves it.",
    printcolumn = r#"{"name":"Location","type":"string","jsonPath":".spec.location"}"#,
    printcolumn = r#"{"name":"Endpoint","type":"string","jsonPath":".spec.endpoint"}"#,
    printcolumn = r#"{"name":"Node","type":"string","jsonPath":".status.servingNode"}"#,
    printcolumn = r#"{"name":"Connected","type":"string","jsonPath":".status.conditions[?(@.type==\"Connected\")].status"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct PeerSpec {
    /// WireGuard public key: 44 characters of base64.
    #[schemars(length(min = 44, max = 44))]
    #[x_kube(
        validation = Rule::new("self.matches('^[A-Za-z0-9+/]{41}[A-HQ-Xg-nw-z0-3][AEIMQUYcgkosw048]=$')")
            .message("must be a WireGuard public key: 44 characters of base64 that hold 32 bytes, the highest bit 0")
    )]
    pub public_key: String,

    /// The networks behind the device, IPv4 and IPv6 CIDRs.
    #[serde(rename = "allowedIPs")]
    #[schemars(length(min = 1, max = 256), inner(length(min = 4, max = 49)))]
    #[x_kube(
        merge_strategy = ListMerge::Set,
        validation = Rule::new("self.all(one, isCIDR(one))").message(Message::Expression(
            "'must be CIDRs, such as 192.168.7.0/24 or fd00:7::/64, and not ' + self.filter(one, !isCIDR(one))[0]".into()
        )),
        validation = Rule::new(TOO_WIDE).message(TOO_WIDE_MESSAGE)
    )]
    pub allowed_ips: Vec<String>,

    /// The address and port on which the device listens: `host:port`, `[v6]:port` or `dns.name:port`. Without one, the device has to dial in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 261))]
    #[x_kube(
        validation = Rule::new(
            "self.matches('^([[][0-9a-fA-F:.]+[]]|[0-9A-Za-z._-]+):[0-9]{1,5}$') && int(self.substring(self.lastIndexOf(':') + 1)) >= 1 && int(self.substring(self.lastIndexOf(':') + 1)) <= 65535"
        )
        .message("must be host:port, [IPv6]:port or dns.name:port with a port from 1 to 65535")
    )]
    pub endpoint: Option<String>,

    /// Seconds between the keepalives that the serving node sends; 0 or none turns them off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 65535))]
    pub persistent_keepalive: Option<i32>,

    /// The preshared key, in a Secret of the namespace `carrick-preshared-keys`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preshared_key_secret_ref: Option<SecretKeyReference>,

    /// The location that serves the device; without one, a location is picked by the peer's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub location: Option<String>,
}

/// One value of a Secret in the agent's namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyReference {
    /// The Secret's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key in its data. The value is 32 bytes in base64, as `wg genpsk` prints them.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// The state of the peer. The serving node writes it when the peer connects or disconnects.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerStatus {
    /// The node that serves the peer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub serving_node: Option<String>,
    /// The conditions of the peer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_owned()]))]
    pub conditions: Vec<PeerCondition>,
}

/// A condition, in the form of `metav1.Condition`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PeerCondition {
    /// The type of the condition: `Connected`.
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = 316))]
    pub type_: String,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// The `metadata.generation` that it was observed at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// The time of the last change of `status`, RFC 3339.
    #[schemars(length(max = 64))]
    pub last_transition_time: String,
    /// Why, as one word.
    #[schemars(length(min = 1, max = 1024))]
    pub reason: String,
    /// Why, for people.
    #[schemars(length(max = 1024))]
    pub message: String,
}

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConditionStatus {
    /// The condition holds.
    True,
    /// The condition does not hold.
    False,
    /// It is not known.
    Unknown,
}
