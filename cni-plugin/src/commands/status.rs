//! STATUS: report whether the plugin can attach pods.

use std::fs;
use std::path::Path;

use carrick_netlink::Family;
use carrick_pods::ipam::{Pool, pools};
use carrick_pods::node_data::NodeData;

use crate::protocol::{Code, Error};

/// Checks that the agent has programmed this node since the machine started, and that the host forwards packets. The agent does not
/// need to run: the node data is enough to attach pods.
///
/// # Errors
///
/// The node is not programmed ([`Code::NotAvailable`]); the agent reports a fault that stops packets of pods, or forwarding is off
/// ([`Code::LimitedConnectivity`]).
pub(super) fn status(run_directory: &Path) -> Result<(), Error> {
    let not_available = |error: Error| Error { code: Code::NotAvailable, ..error };
    let node = NodeData::read(run_directory).map_err(|error| not_available(error.into()))?;
    let pools = pools(&node.pod_cidrs).map_err(|error| not_available(error.into()))?;
    if let Some(fault) = node.fault {
        return Err(Error::new(Code::LimitedConnectivity, "a fault of this node stops packets of pods", fault));
    }
    match pools.iter().map(Pool::family).find(|family| is_forwarding_off(*family)) {
        None => Ok(()),
        Some(family) => {
            let details =
                format!("{} is 0; pods cannot reach anything outside this node over {family}", switch(family));
            Err(Error::new(Code::LimitedConnectivity, "the host does not forward packets of pods", details))
        }
    }
}

/// False also if the setting cannot be read.
fn is_forwarding_off(family: Family) -> bool {
    fs::read_to_string(switch(family)).is_ok_and(|value| value.trim_end() == "0")
}

fn switch(family: Family) -> &'static str {
    match family {
        Family::V4 => "/proc/sys/net/ipv4/ip_forward",
        Family::V6 => "/proc/sys/net/ipv6/conf/all/forwarding",
    }
}
