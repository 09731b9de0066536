//! Checks of a single node.

mod host;
mod kernel;
mod pods;
mod subject;

pub(crate) use subject::Subject;

use crate::Finding;

type NodeCheck = fn(&Subject<'_>) -> Vec<Finding>;

const CHECKS: [NodeCheck; 12] = [
    host::ip_forwarding,
    host::reverse_path_filter,
    host::forward_policy,
    host::legacy_filters,
    host::conntrack_table,
    host::api_server,
    pods::cni_configuration,
    pods::pod_gateway,
    kernel::kernel_state,
    kernel::repeated_drift,
    kernel::wireguard_device,
    kernel::wireguard_port,
];

/// The findings of all checks of a node, without the node's name.
pub(crate) fn findings(subject: &Subject<'_>) -> Vec<Finding> {
    CHECKS.iter().flat_map(|check| check(subject)).collect()
}
