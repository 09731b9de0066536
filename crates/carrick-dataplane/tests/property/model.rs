//! A kernel that is only data: what operations do to it, and what they must never do on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use carrick_dataplane::Operation;
use carrick_dataplane::observed::{Observed, ObservedDevice, ObservedVxlan, ObservedWireGuard};
use carrick_dataplane::route::TableRoute;
use carrick_netlink::link::LinkKind;
use carrick_netlink::wireguard::{
    AllowedIpChange, AllowedIps, Device, Peer, PeerChange, PeerVerb, Preshared, PublicKey,
};
use carrick_topology::DeviceName;
use carrick_topology::constants::{VXLAN_DEVICE, WIREGUARD_DEVICE};
use ipnet::IpNet;

/// What Linux has before Carrick comes.
pub fn untouched() -> Observed {
    Observed {
        wireguard: None,
        vxlan: None,
        routes: Arc::default(),
        rules: BTreeSet::new(),
        sysctls: [
            ("ipv4/ip_forward", 0),
            ("ipv6/conf/all/forwarding", 0),
            ("ipv6/conf/eth0/accept_ra", 1),
            ("ipv4/conf/default/forwarding", 0),
            ("ipv4/conf/default/rp_filter", 1),
            ("ipv6/conf/default/disable_ipv6", 1),
        ]
        .map(|(path, value)| (path.to_owned(), value))
        .into(),
    }
}

/// Does what the kernel would do.
pub fn apply(state: &mut Observed, operation: &Operation) {
    match operation {
        Operation::SetSysctl(setting) => {
            assert!(state.sysctls.contains_key(&setting.path), "{setting:?} does not exist");
            state.sysctls.insert(setting.path.clone(), setting.value);
        }
        Operation::DeleteDevice(device) => delete(state, device),
        Operation::CreateWireGuard { device, mtu } => {
            assert!(state.wireguard.is_none(), "exists");
            start(state, device);
            state.wireguard =
                Some(ObservedWireGuard { device: down(*mtu), kind: LinkKind::WireGuard, configuration: Some(empty()) });
        }
        Operation::CreateVxlan { device, settings, mtu, mac } => {
            assert!(state.vxlan.is_none(), "exists");
            start(state, device);
            state.vxlan = Some(ObservedVxlan {
                device: down(*mtu),
                settings: Some(*settings),
                mac: Some(*mac),
                neighbours: BTreeMap::new(),
                forwarding: BTreeSet::new(),
            });
        }
        Operation::ConfigureWireGuard(change) => {
            let device = configuration(state);
            device.private_key = change.private_key.clone().or(device.private_key.take());
            device.port = change.port.unwrap_or(device.port);
            device.firewall_mark = change.firewall_mark.unwrap_or(device.firewall_mark);
        }
        Operation::SetMtu { device, mtu } => link(state, device).mtu = *mtu,
        Operation::SetMac { mac, .. } => state.vxlan.as_mut().unwrap().mac = Some(*mac),
        Operation::SetUp(device) => link(state, device).up = true,
        Operation::AddAddress(device, address) => assert!(link(state, device).addresses.insert(*address), "exists"),
        Operation::RemoveAddress(device, address) => {
            let in_use = state.routes.iter().any(|route| route.source == Some(address.addr()));
            assert!(!in_use, "{address} is the source of a route");
            assert!(link(state, device).addresses.remove(address), "not there");
        }
        Operation::SetPeer(change) => set_peer(configuration(state), change),
        Operation::RemoveAllowedIps { peer, removed, .. } => {
            let peer = find(configuration(state), *peer);
            let before = peer.allowed_ips.len();
            peer.allowed_ips.retain(|network| !removed.contains(network));
            assert_eq!(before - peer.allowed_ips.len(), removed.len(), "not there");
        }
        Operation::RemovePeer(key) => {
            find(configuration(state), *key);
            configuration(state).peers.retain(|peer| peer.public_key != *key);
        }
        Operation::SetNeighbour(address, mac) => {
            state.vxlan.as_mut().unwrap().neighbours.insert(*address, *mac);
        }
        Operation::RemoveNeighbour(address, mac) => {
            assert_eq!(state.vxlan.as_mut().unwrap().neighbours.remove(address), Some(*mac));
        }
        Operation::SetForwarding(mac, destination) => {
            let entries = &mut state.vxlan.as_mut().unwrap().forwarding;
            let replaced = entries.iter().find(|(other, _)| other == mac).copied();
            replaced.map(|entry| entries.remove(&entry));
            entries.insert((*mac, *destination));
        }
        Operation::RemoveForwarding(mac, destination) => {
            assert!(state.vxlan.as_mut().unwrap().forwarding.remove(&(*mac, *destination)));
        }
        Operation::SetRoute(route) => set_route(state, route),
        Operation::RemoveRoute(route) => {
            let position = state.routes.iter().position(|other| other == route).expect("not there");
            Arc::make_mut(&mut state.routes).remove(position);
        }
        Operation::AddRule(rule) => assert!(state.rules.insert((*rule).into()), "exists"),
        Operation::RemoveRule(rule) => assert!(state.rules.remove(rule), "not there"),
    }
}

/// Every allowed IP that some peer holds.
pub fn allowed_ips(state: &Observed) -> BTreeSet<IpNet> {
    let configuration = state.wireguard.as_ref().and_then(|wireguard| wireguard.configuration.as_ref());
    configuration.iter().flat_map(|device| &device.peers).flat_map(|peer| peer.allowed_ips.clone()).collect()
}

/// The identity of every route.
pub fn destinations(state: &Observed) -> BTreeSet<(IpNet, u32)> {
    state.routes.iter().map(|route| (route.destination, route.metric)).collect()
}

/// Removes a device and what hangs on it.
pub fn delete(state: &mut Observed, device: &DeviceName) {
    match device.as_str() {
        WIREGUARD_DEVICE => assert!(state.wireguard.take().is_some(), "not there"),
        VXLAN_DEVICE => assert!(state.vxlan.take().is_some(), "not there"),
        other => panic!("{other} is not Carrick's"),
    }
    Arc::make_mut(&mut state.routes).retain(|route| route.device() != Some(device));
    state.sysctls.retain(|path, _| !path.contains(&format!("/{device}/")));
}

fn start(state: &mut Observed, device: &DeviceName) {
    for (folder, setting) in [("ipv4/conf", "forwarding"), ("ipv4/conf", "rp_filter"), ("ipv6/conf", "disable_ipv6")] {
        let value = state.sysctls[&format!("{folder}/default/{setting}")];
        state.sysctls.insert(format!("{folder}/{device}/{setting}"), value);
    }
}

fn down(mtu: u32) -> ObservedDevice {
    ObservedDevice { up: false, mtu, addresses: BTreeSet::new() }
}

fn empty() -> Device {
    Device { private_key: None, public_key: None, port: 0, firewall_mark: 0, peers: Vec::new() }
}

fn configuration(state: &mut Observed) -> &mut Device {
    state.wireguard.as_mut().and_then(|wireguard| wireguard.configuration.as_mut()).expect("no WireGuard device")
}

fn link<'a>(state: &'a mut Observed, device: &DeviceName) -> &'a mut ObservedDevice {
    match device.as_str() {
        WIREGUARD_DEVICE => &mut state.wireguard.as_mut().expect("no WireGuard device").device,
        _ => &mut state.vxlan.as_mut().expect("no VXLAN device").device,
    }
}

fn find(device: &mut Device, key: PublicKey) -> &mut Peer {
    device.peers.iter_mut().find(|peer| peer.public_key == key).expect("no such peer")
}

fn set_peer(device: &mut Device, change: &PeerChange) {
    if change.verb == PeerVerb::Set && device.peers.iter().all(|peer| peer.public_key != change.public_key) {
        device.peers.push(Peer::new(change.public_key));
    }
    let gained: Vec<IpNet> = match &change.allowed_ips {
        AllowedIps::Replace(networks) => {
            find(device, change.public_key).allowed_ips.clear();
            networks.clone()
        }
        AllowedIps::Change(changes) => changes
            .iter()
            .map(|change| match change {
                AllowedIpChange::Add(network) => *network,
                AllowedIpChange::Remove(network) => panic!("{network} is removed in the phase that only adds"),
            })
            .collect(),
    };
    for peer in &mut device.peers {
        peer.allowed_ips.retain(|network| !gained.contains(network));
    }
    let peer = find(device, change.public_key);
    peer.allowed_ips.extend(gained);
    peer.endpoint = change.endpoint.or(peer.endpoint);
    if let Some(seconds) = change.persistent_keepalive {
        peer.persistent_keepalive = (seconds != 0).then_some(seconds);
    }
    match &change.preshared_key {
        Preshared::Keep => {}
        Preshared::Set(key) => peer.preshared_key = Some(key.clone()),
        Preshared::Clear => peer.preshared_key = None,
    }
}

fn set_route(state: &mut Observed, route: &TableRoute) {
    if let Some(device @ (WIREGUARD_DEVICE | VXLAN_DEVICE)) = route.device().map(|device| device.as_str()) {
        let device: DeviceName = device.parse().unwrap();
        assert!(link(state, &device).up, "{device} is down");
    }
    let identity = |route: &TableRoute| (route.destination, route.metric);
    match Arc::make_mut(&mut state.routes).iter_mut().find(|other| identity(other) == identity(route)) {
        Some(other) => *other = route.clone(),
        None => Arc::make_mut(&mut state.routes).push(route.clone()),
    }
    Arc::make_mut(&mut state.routes).sort_by_key(identity);
}
