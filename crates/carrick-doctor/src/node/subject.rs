//! What the checks of a node look at.

use carrick_status::{ChecksPage, StatusPage};
use carrick_topology::NodePlan;
use carrick_topology::plan::MeshDevices;

/// The pages of a node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) status: &'a StatusPage,
    pub(crate) checks: &'a ChecksPage,
}

impl Subject<'_> {
    pub(super) fn plan(&self) -> Option<&NodePlan> {
        self.status.plan.as_deref()
    }

    /// The mesh's devices on this node.
    pub(super) fn mesh_devices(&self) -> MeshDevices {
        self.plan().map(|plan| plan.firewall.mesh_devices.clone()).unwrap_or_default()
    }
}
