//! Orphans: pod devices that no record names.

use carrick_netlink::link::{Link, LinkKind};
use carrick_pods::ipam::Records;
use carrick_pods::is_host_device;

/// The devices that are pod devices by kind and name, and that no record names. If a record cannot be read, the result is empty, because
/// that record may name any device. The devices must be read before the records: ADD writes the record first, and DEL removes it
/// last.
pub(crate) fn orphans<'a>(devices: &'a [Link], records: &Records) -> Vec<&'a Link> {
    if !records.unreadable.is_empty() {
        return Vec::new();
    }
    let of_pods = devices.iter().filter(|link| link.kind == LinkKind::Veth && is_host_device(&link.name));
    of_pods.filter(|link| !records.readable.iter().any(|record| record.device == link.name)).collect()
}
