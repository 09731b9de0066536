//! Converts the command line to the settings of the mesh.

use std::num::NonZeroUsize;

use carrick_topology::Settings;
use carrick_topology::model::{AllowedLocationMasquerade, Family, LocalFacts, PodNetwork};
use ipnet::IpNet;

use super::AgentError;
use crate::cli::AgentOptions;

/// Checks what the command line cannot check flag by flag.
///
/// # Errors
/// [`AgentError::Configuration`] names the flag and the remedy.
pub(super) fn settings(options: &AgentOptions) -> Result<Settings, AgentError> {
    for family in Family::BOTH {
        let count = options.mesh_cidrs.iter().filter(|cidr| Family::of_net(cidr) == family).count();
        if count > 1 {
            return Err(AgentError::Configuration(format!(
                "--mesh-cidr names {count} CIDRs of {family}: give one for each family at most"
            )));
        }
    }
    for mesh in &options.mesh_cidrs {
        let overlaps = |other: &&IpNet| other.contains(mesh) || mesh.contains(*other);
        if let Some(service) = options.service_cidrs.iter().find(overlaps) {
            return Err(AgentError::Configuration(format!(
                "--mesh-cidr {mesh} overlaps --service-cidr {service}: choose another mesh CIDR, on all nodes"
            )));
        }
    }
    let active_gateways = NonZeroUsize::new(usize::from(options.active_gateways))
        .ok_or_else(|| AgentError::Configuration("--active-gateways must be 1 or more".to_owned()))?;
    Ok(Settings {
        granularity: options.granularity,
        encapsulation: options.encapsulation,
        active_gateways,
        standby_gateways: usize::from(options.standby_gateways),
        mesh_cidrs: options.mesh_cidrs.iter().map(IpNet::trunc).collect(),
        topology_label: options.topology_label.clone(),
        internal_cidrs: options.internal_cidrs.iter().copied().collect(),
        service_cidrs: options.service_cidrs.iter().copied().collect(),
        interface: options.interface.clone(),
        port: options.port,
        mtu: options.mtu,
        allowed_location_masquerade: if options.masquerade_allowed_location {
            AllowedLocationMasquerade::On
        } else {
            AllowedLocationMasquerade::Off
        },
        pod_network: if options.cni { PodNetwork::Carrick } else { PodNetwork::Foreign },
        local: LocalFacts::default(),
        ..Settings::default()
    })
}
