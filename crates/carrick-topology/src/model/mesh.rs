//! The settings that all nodes share, as the object `Mesh` gives them.

use std::collections::BTreeSet;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::model::Settings;

/// The name of the one object of the resource `meshes.carrick.dev` that counts.
pub const MESH_NAME: &str = "default";

/// The object `Mesh` as far as its values can be used. A setting that it does not give keeps its default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Mesh {
    /// `spec.permittedLocationCIDRs`: the networks in which allowed-location CIDRs and public internal addresses count.
    pub permitted_location_cidrs: Option<BTreeSet<IpNet>>,
    /// `spec.clusterCIDRs`: the networks of all pods of the cluster, now and later.
    pub cluster_cidrs: Option<BTreeSet<IpNet>>,
}

impl Settings {
    /// These settings with the values that the object gives. `None`: there is no object.
    #[must_use]
    pub fn with_mesh(mut self, mesh: Option<&Mesh>) -> Self {
        let Some(mesh) = mesh else { return self };
        if let Some(cidrs) = &mesh.permitted_location_cidrs {
            self.permitted_location_cidrs.clone_from(cidrs);
        }
        if let Some(cidrs) = &mesh.cluster_cidrs {
            self.cluster_cidrs.clone_from(cidrs);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_the_object_replace_defaults_and_the_rest_stays() {
        let settings = Settings { port: 7, ..Settings::default() };
        assert_eq!(settings.clone().with_mesh(None), settings);
        assert_eq!(settings.clone().with_mesh(Some(&Mesh::default())), settings);
        let cidrs: BTreeSet<IpNet> = ["10.244.0.0/16".parse().unwrap()].into();
        let mesh = Mesh { cluster_cidrs: Some(cidrs.clone()), permitted_location_cidrs: Some(BTreeSet::new()) };
        let expected = Settings { cluster_cidrs: cidrs, permitted_location_cidrs: BTreeSet::new(), ..settings.clone() };
        assert_eq!(settings.with_mesh(Some(&mesh)), expected);
    }
}
