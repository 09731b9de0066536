//! Ethernet addresses of the mesh's devices.

use carrick_types::MacAddress;

use crate::hash::stable_hash;
use crate::model::NodeName;

/// The address of a node's VXLAN devices: `02:` (locally administered) and 40 bits hashed from the node's name.
#[must_use]
pub fn mac_of_node(name: &NodeName) -> MacAddress {
    let [a, b, c, d, e, ..] = stable_hash(&["vxlan-mac", name.as_str()]).to_be_bytes();
    MacAddress([0x02, a, b, c, d, e])
}
