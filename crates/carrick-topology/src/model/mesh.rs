//! The object `Mesh`.

use std::collections::BTreeSet;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::model::SharedSettings;

/// The name of the one object of the resource `meshes.carrick.dev` that counts.
pub const MESH_NAME: &str = "default";

/// The object `Mesh` as far as its values can be used. For a setting that it does not give, the agent's flag or the default holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Mesh {
    /// Settings that agents also have flags for.
    pub shared: SharedSettings,
    /// `spec.permittedLocationCIDRs`: the networks in which allowed-location CIDRs and public internal addresses count.
    pub permitted_location_cidrs: Option<BTreeSet<IpNet>>,
    /// `spec.clusterCIDRs`: the networks of all pods of the cluster, now and later.
    pub cluster_cidrs: Option<BTreeSet<IpNet>>,
    /// `spec.internalCIDRs`: the networks that contain all internal addresses of nodes.
    pub internal_cidrs: Option<BTreeSet<IpNet>>,
}
