//! The two devices: whether they are there, as they must be, with their addresses and neighbours.

use std::collections::BTreeSet;

use carrick_netlink::Family;
use carrick_netlink::link::LinkKind;
use carrick_netlink::wireguard::Device;
use carrick_topology::DeviceName;
use ipnet::IpNet;

use crate::desired::{Desired, WantedVxlan, WireGuardMaker};
use crate::observed::{Observed, ObservedDevice, ObservedVxlan};
use crate::operation::Operation;
use crate::sysctl::{Fate, SysctlValues, device_differences};

/// What is to be done about the WireGuard device itself.
pub(super) struct WireGuardChanges<'a> {
    pub(super) fate: Fate,
    /// What it is configured with now, if it stays.
    pub(super) configuration: Option<&'a Device>,
    /// Whether only another process can make it or speak for it.
    pub(super) waiting: bool,
    pub(super) made: Vec<Operation>,
    pub(super) addresses_removed: Vec<Operation>,
}

/// What is to be done about a VXLAN device.
pub(crate) struct VxlanChanges {
    pub(crate) fate: Fate,
    pub(crate) made: Vec<Operation>,
    pub(crate) neighbours_made: Vec<Operation>,
    pub(crate) neighbours_removed: Vec<Operation>,
    pub(crate) addresses_removed: Vec<Operation>,
}

/// The kernel's settings, and the families that a device must take.
#[derive(Clone, Copy)]
pub(crate) struct Settings<'a> {
    pub(crate) families: &'a BTreeSet<Family>,
    pub(crate) values: &'a SysctlValues,
}

pub(super) fn wireguard<'a>(desired: &Desired, observed: &'a Observed) -> WireGuardChanges<'a> {
    let wanted = &desired.wireguard;
    let found = observed.wireguard.as_ref();
    let usable = found.filter(|found| is_made_by(wanted.maker, &found.kind));
    let fate = match (usable, wanted.maker) {
        (Some(_), _) => Fate::Stays,
        (None, WireGuardMaker::Kernel) => Fate::IsMade,
        (None, WireGuardMaker::Process) => Fate::IsMissing,
    };
    let mut made = Vec::new();
    if found.is_some() && usable.is_none() {
        made.push(Operation::DeleteDevice(wanted.device.clone()));
    }
    if fate == Fate::IsMade {
        made.push(Operation::CreateWireGuard { device: wanted.device.clone(), mtu: wanted.mtu });
    }
    let kept = usable.map(|found| &found.device);
    let configuration = usable.and_then(|found| found.configuration.as_ref());
    if fate != Fate::IsMissing {
        let settings = Settings { families: &desired.rules, values: &observed.sysctls };
        made.extend(settings.of(&wanted.device, fate));
        made.extend(super::peers::device_configuration(wanted, fate, configuration));
        made.extend(link(&wanted.device, wanted.mtu, kept));
        made.extend(addresses_made(&wanted.device, &desired.addresses, kept));
    }
    WireGuardChanges {
        fate,
        configuration,
        waiting: fate == Fate::IsMissing || usable.is_some_and(|found| found.configuration.is_none()),
        made,
        addresses_removed: addresses_removed(&wanted.device, &desired.addresses, kept),
    }
}

pub(crate) fn vxlan(
    wanted: &WantedVxlan,
    addresses: &BTreeSet<IpNet>,
    found: Option<&ObservedVxlan>,
    settings: Settings<'_>,
) -> VxlanChanges {
    let usable = found.filter(|found| found.settings == Some(wanted.settings));
    let fate = if usable.is_some() { Fate::Stays } else { Fate::IsMade };
    let mut made = Vec::new();
    if fate == Fate::IsMade {
        made.extend(found.map(|_| Operation::DeleteDevice(wanted.device.clone())));
        made.push(Operation::CreateVxlan {
            device: wanted.device.clone(),
            settings: wanted.settings,
            mtu: wanted.mtu,
            mac: wanted.mac,
        });
    }
    made.extend(settings.of(&wanted.device, fate));
    if usable.is_some_and(|found| found.mac != Some(wanted.mac)) {
        made.push(Operation::SetMac { device: wanted.device.clone(), mac: wanted.mac });
    }
    let kept = usable.map(|found| &found.device);
    made.extend(link(&wanted.device, wanted.mtu, kept));
    made.extend(addresses_made(&wanted.device, addresses, kept));
    VxlanChanges {
        fate,
        made,
        neighbours_made: neighbours_made(wanted, usable),
        neighbours_removed: neighbours_removed(wanted, usable),
        addresses_removed: addresses_removed(&wanted.device, addresses, kept),
    }
}

fn is_made_by(maker: WireGuardMaker, kind: &LinkKind) -> bool {
    match maker {
        WireGuardMaker::Kernel => *kind == LinkKind::WireGuard,
        WireGuardMaker::Process => *kind == LinkKind::Tun,
    }
}

impl Settings<'_> {
    fn of(&self, device: &DeviceName, fate: Fate) -> Vec<Operation> {
        let settings = device_differences(self.families, self.values, device, fate);
        settings.into_iter().map(Operation::SetSysctl).collect()
    }
}

/// A new device has its MTU already.
fn link(device: &DeviceName, mtu: u32, found: Option<&ObservedDevice>) -> Vec<Operation> {
    let mut operations = Vec::new();
    if found.is_some_and(|found| found.mtu != mtu) {
        operations.push(Operation::SetMtu { device: device.clone(), mtu });
    }
    if !found.is_some_and(|found| found.up) {
        operations.push(Operation::SetUp(device.clone()));
    }
    operations
}

fn addresses_made(device: &DeviceName, wanted: &BTreeSet<IpNet>, found: Option<&ObservedDevice>) -> Vec<Operation> {
    let missing = wanted.iter().filter(|address| !found.is_some_and(|found| found.addresses.contains(address)));
    missing.map(|address| Operation::AddAddress(device.clone(), *address)).collect()
}

fn addresses_removed(device: &DeviceName, wanted: &BTreeSet<IpNet>, found: Option<&ObservedDevice>) -> Vec<Operation> {
    let present = found.map(|found| found.addresses.difference(wanted)).into_iter().flatten();
    present.map(|address| Operation::RemoveAddress(device.clone(), *address)).collect()
}

fn neighbours_made(wanted: &WantedVxlan, found: Option<&ObservedVxlan>) -> Vec<Operation> {
    let is_forwarded = |entry| found.is_some_and(|found| found.forwarding.contains(&entry));
    let is_neighbour = |address, mac| found.is_some_and(|found| found.neighbours.get(address) == Some(mac));
    let forwarding = wanted
        .forwarding
        .iter()
        .filter(|(mac, destination)| !is_forwarded((**mac, **destination)))
        .map(|(mac, destination)| Operation::SetForwarding(*mac, *destination));
    let neighbours = wanted
        .neighbours
        .iter()
        .filter(|(address, mac)| !is_neighbour(address, mac))
        .map(|(address, mac)| Operation::SetNeighbour(*address, *mac));
    forwarding.chain(neighbours).collect()
}

fn neighbours_removed(wanted: &WantedVxlan, found: Option<&ObservedVxlan>) -> Vec<Operation> {
    let Some(found) = found else { return Vec::new() };
    let neighbours = found
        .neighbours
        .iter()
        .filter(|(address, _)| !wanted.neighbours.contains_key(address))
        .map(|(address, mac)| Operation::RemoveNeighbour(*address, *mac));
    // An entry whose address is wanted with another tunnel end has been replaced, unless there were several.
    let forwarding = found
        .forwarding
        .iter()
        .filter(|(mac, destination)| match wanted.forwarding.get(mac) {
            None => true,
            Some(wanted) => wanted != destination && ends(found, mac) > 1,
        })
        .map(|(mac, destination)| Operation::RemoveForwarding(*mac, *destination));
    neighbours.chain(forwarding).collect()
}

fn ends(found: &ObservedVxlan, mac: &carrick_netlink::MacAddress) -> usize {
    found.forwarding.iter().filter(|(other, _)| other == mac).count()
}
