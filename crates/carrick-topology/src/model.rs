//! The objects of the cluster as parsed types.

mod address;
mod choice;
mod cluster;
mod endpoint;
mod mac;
mod mesh;
mod name;
mod node;
mod peer;
mod precedence;
mod settings;
mod shared_settings;
mod warning;

pub(crate) use address::{address_of, is_link_local, number_of};
pub use address::{host_net, is_public};
pub use carrick_types::{Family, InvalidPublicKey, KeyProof, MacAddress, PublicKey};
pub use choice::{AllowedLocationMasquerade, Encapsulation, Granularity, MtuSetting, PodNetwork, UnknownChoice};
pub use cluster::Cluster;
pub use endpoint::{DEFAULT_PORT, DnsName, Endpoint, Host, InvalidEndpoint};
pub use mac::mac_of_node;
pub use mesh::{MESH_NAME, Mesh};
pub use name::{DeviceName, InvalidName, LocationName, NodeName, PeerName};
pub use node::{AgentVersion, CreationTime, Duty, InternalAddresses, Node, Preference};
pub use peer::{Peer, SecretReference};
pub use settings::{LocalFacts, PrecedingRule, RoutedNetwork, Settings};
pub use shared_settings::SharedSettings;
pub use warning::{ObjectName, Warning, WarningReason};
