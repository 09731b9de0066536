//! Settings that all nodes share, as one source gives them.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::model::{AllowedLocationMasquerade, Encapsulation, Granularity};

/// Settings that all nodes share, as one source gives them. `None`: the source does not give the setting.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SharedSettings {
    /// Which nodes have tunnels.
    pub granularity: Option<Granularity>,
    /// How pod packets travel inside a location.
    pub encapsulation: Option<Encapsulation>,
    /// Gateways of a location that carry traffic at the same time.
    pub active_gateways: Option<NonZeroUsize>,
    /// Gateways of a location that stand by.
    pub standby_gateways: Option<usize>,
    /// The networks of mesh addresses, one for each family at most, and not empty.
    pub mesh_cidrs: Option<BTreeSet<IpNet>>,
    /// Networks of Service addresses.
    pub service_cidrs: Option<BTreeSet<IpNet>>,
    /// The label that names a node's location.
    pub topology_label: Option<String>,
    /// The time between two probes of a gateway, in milliseconds.
    pub failover_interval_ms: Option<u16>,
    /// The source address of traffic to allowed-location CIDRs.
    pub allowed_location_masquerade: Option<AllowedLocationMasquerade>,
}

impl SharedSettings {
    /// The values as text, by the flag of the agent.
    #[must_use]
    pub fn by_flag(&self) -> [(&'static str, Option<String>); 9] {
        let list = |cidrs: &BTreeSet<IpNet>| cidrs.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let masquerade = |masquerade| (masquerade == AllowedLocationMasquerade::On).to_string();
        [
            ("--granularity", self.granularity.map(|value| value.to_string())),
            ("--encapsulation", self.encapsulation.map(|value| value.to_string())),
            ("--active-gateways", self.active_gateways.map(|value| value.to_string())),
            ("--standby-gateways", self.standby_gateways.map(|value| value.to_string())),
            ("--mesh-cidr", self.mesh_cidrs.as_ref().map(list)),
            ("--service-cidr", self.service_cidrs.as_ref().map(list)),
            ("--topology-label", self.topology_label.clone()),
            ("--failover-interval", self.failover_interval_ms.map(|value| value.to_string())),
            ("--masquerade-allowed-location", self.allowed_location_masquerade.map(masquerade)),
        ]
    }
}
