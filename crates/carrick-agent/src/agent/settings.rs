//! Converts the command line to the settings of the mesh.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;

use carrick_topology::Settings;
use carrick_topology::model::{AllowedLocationMasquerade, Family, PodNetwork, SharedSettings};
use ipnet::IpNet;

use super::AgentError;
use crate::cli::{AgentOptions, unknown_variables};

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
    let flags = SharedSettings {
        granularity: options.granularity,
        encapsulation: options.encapsulation,
        active_gateways: options.active_gateways.and_then(|count| NonZeroUsize::new(count.into())),
        standby_gateways: options.standby_gateways.map(usize::from),
        mesh_cidrs: given(&options.mesh_cidrs),
        service_cidrs: given(&options.service_cidrs),
        topology_label: options.topology_label.clone(),
        failover_interval_ms: options.failover_interval,
        allowed_location_masquerade: options
            .masquerade_allowed_location
            .map(|masquerade| if masquerade { AllowedLocationMasquerade::On } else { AllowedLocationMasquerade::Off }),
    };
    let settings = Settings {
        internal_cidrs: options.internal_cidrs.iter().copied().collect(),
        port: options.port,
        mtu: options.mtu,
        pod_network: if options.cni { PodNetwork::Carrick } else { PodNetwork::Foreign },
        ..Settings::for_interface(options.interface.clone())
    };
    let mut settings = settings.with_flags(flags);
    let variables = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    settings.local.unknown_variables = unknown_variables(variables);
    for mesh in &settings.mesh_cidrs {
        let overlaps = |other: &&IpNet| other.contains(mesh) || mesh.contains(*other);
        if let Some(service) = settings.service_cidrs.iter().find(overlaps) {
            return Err(AgentError::Configuration(format!(
                "--mesh-cidr {mesh} overlaps --service-cidr {service}: choose another mesh CIDR, on all nodes"
            )));
        }
    }
    Ok(settings)
}

/// The networks of a flag that may be repeated; `None` where it is not given.
fn given(cidrs: &[IpNet]) -> Option<BTreeSet<IpNet>> {
    (!cidrs.is_empty()).then(|| cidrs.iter().map(IpNet::trunc).collect())
}
