//! Pods' devices that nobody is responsible for any more.

use carrick_netlink::link::{Link, LinkKind};

use carrick_pods::ipam::Records;
use carrick_pods::is_host_device;

/// Those of `devices` that are pods' by kind and name, and that no record names. None while a record cannot be read, which
/// may name any of them. The devices must have been listed before the records: ADD writes its record first, DEL removes it
/// last.
pub(crate) fn orphans<'a>(devices: &'a [Link], records: &Records) -> Vec<&'a Link> {
    if !records.unreadable.is_empty() {
        return Vec::new();
    }
    let of_pods = devices.iter().filter(|link| link.kind == LinkKind::Veth && is_host_device(&link.name));
    of_pods.filter(|link| !records.readable.iter().any(|record| record.device == link.name)).collect()
}
