//! STATUS: could pods be attached?

use std::fs;
use std::path::Path;

use carrick_netlink::Family;

use crate::protocol::{Code, Error};
use carrick_pods::ipam::{Pool, pools};
use carrick_pods::node_data::NodeData;

/// Tells whether the agent has programmed this node since the machine was started, and whether the host still forwards
/// for pods. An agent that is away later changes nothing: what it left is enough to attach pods.
///
/// # Errors
///
/// It has not ([`Code::NotAvailable`]), or somebody switched forwarding off ([`Code::LimitedConnectivity`]).
pub(super) fn status(run_directory: &Path) -> Result<(), Error> {
    let pools = NodeData::read(run_directory)
        .map_err(Error::from)
        .and_then(|node| pools(&node.pod_cidrs).map_err(Error::from))
        .map_err(|error| Error { code: Code::NotAvailable, ..error })?;
    match pools.iter().map(Pool::family).find(|family| is_forwarding_off(*family)) {
        None => Ok(()),
        Some(family) => {
            let details = format!("{} is 0; pods reach nothing beyond this node over {family}", switch(family));
            Err(Error::new(Code::LimitedConnectivity, "the host does not forward packets of pods", details))
        }
    }
}

/// What cannot be read is not known to be off.
fn is_forwarding_off(family: Family) -> bool {
    fs::read_to_string(switch(family)).is_ok_and(|value| value.trim_end() == "0")
}

fn switch(family: Family) -> &'static str {
    match family {
        Family::V4 => "/proc/sys/net/ipv4/ip_forward",
        Family::V6 => "/proc/sys/net/ipv6/conf/all/forwarding",
    }
}
