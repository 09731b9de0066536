//! The node's WireGuard device of an earlier `--interface`: it keeps the UDP port, and the mesh addresses.

use carrick_dataplane::wireguard::{KernelWireGuard, UserspaceWireGuard, WireGuard};
use carrick_netlink::link::{self, Link, LinkKind};
use carrick_netlink::wireguard::SecretKey;
use carrick_netlink::{Protocol, Socket};
use carrick_topology::DeviceName;

use crate::userspace_wireguard::{stop, uapi};

/// Removes WireGuard devices that are not `interface` and that hold the node's own private key, which no other program has. Addresses,
/// routes and peers go with the device; a process behind it is stopped. What fails is logged, and stops nothing.
pub(super) async fn remove(interface: &DeviceName, own: &SecretKey) {
    for (link, device) in others(interface) {
        let is_own = |device: carrick_netlink::wireguard::Device| {
            device.private_key.as_ref().map(SecretKey::clamped) == Some(own.clamped())
        };
        let held = match link.kind {
            LinkKind::WireGuard => KernelWireGuard::open().ok().and_then(|mut kernel| kernel.get(&link.name).ok()),
            LinkKind::Tun if uapi::is_answering(&device) => UserspaceWireGuard::default().get(&link.name).ok(),
            _ => None,
        };
        if !held.is_some_and(is_own) {
            continue;
        }
        match remove_device(&link, &device).await {
            Ok(()) => tracing::info!(event = "former_device_removed", %device, "--interface has changed"),
            Err(error) => tracing::warn!(event = "former_device_not_removed", %device, error),
        }
    }
}

fn others(interface: &DeviceName) -> Vec<(Link, DeviceName)> {
    let links = Socket::open(Protocol::Route).and_then(|mut socket| link::dump(&mut socket)).unwrap_or_default();
    let named = links.into_iter().filter_map(|link| link.name.parse().ok().map(|name: DeviceName| (link, name)));
    named.filter(|(_, name)| name != interface).collect()
}

async fn remove_device(link: &Link, device: &DeviceName) -> Result<(), String> {
    if link.kind == LinkKind::Tun {
        stop(device).await.map_err(|error| error.to_string())?;
    }
    let mut socket = Socket::open(Protocol::Route).map_err(|error| error.to_string())?;
    match socket.execute(&link::delete(link.index, &link.name)) {
        Err(error) if !error.is_not_found() => Err(error.to_string()),
        _ => Ok(()),
    }
}
