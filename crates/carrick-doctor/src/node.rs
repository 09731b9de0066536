//! What one node tells about itself.

mod host;
mod kernel;
mod pods;

use carrick_status::{ChecksPage, StatusPage};
use carrick_topology::NodePlan;

use crate::Finding;

/// One node's pages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) status: &'a StatusPage,
    pub(crate) checks: &'a ChecksPage,
}

impl Subject<'_> {
    fn plan(&self) -> Option<&NodePlan> {
        self.status.plan.as_deref()
    }
}

type NodeCheck = fn(&Subject<'_>) -> Vec<Finding>;

const CHECKS: [NodeCheck; 9] = [
    host::ip_forwarding,
    host::reverse_path_filter,
    host::forward_policy,
    host::api_server,
    pods::cni_configuration,
    pods::pod_gateway,
    kernel::kernel_state,
    kernel::wireguard_device,
    kernel::wireguard_port,
];

/// What all checks of a node find, without its name.
pub(crate) fn findings(subject: &Subject<'_>) -> Vec<Finding> {
    CHECKS.iter().flat_map(|check| check(subject)).collect()
}
