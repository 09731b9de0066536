//! The largest packets on each path.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::destinations::Destination;
use super::hops::{Hop, Through};
use crate::constants::{
    DEFAULT_UPLINK_MTU, LEAST_DEVICE_MTU, VXLAN_OVERHEAD_V4, VXLAN_OVERHEAD_V6, WIREGUARD_OVERHEAD_V4,
    WIREGUARD_OVERHEAD_V6,
};
use crate::model::{Endpoint, Family, MtuSetting, PublicKey, is_public};
use crate::plan::{NextHop, PeerIdentity, WireGuardPeer};
use crate::resolve::{Member, MemberIndex, Resolved};

/// WireGuard pads packets to a multiple of these bytes, but not beyond the MTU of its device: so a packet of the size of a narrower tunnel is
/// padded beyond that size, unless the size is a multiple.
const WIREGUARD_PADDING: u32 = 16;

/// Bytes of an IPv6 header and a TCP header without options.
const IPV6_AND_TCP_HEADERS: u32 = 60;

/// The largest packet that the internet carries unfragmented, in bytes: that of Ethernet.
const INTERNET_MTU: u32 = DEFAULT_UPLINK_MTU;

/// The largest packets on each path, in bytes.
#[derive(Clone, Debug)]
pub(super) struct Mtus {
    /// Through the tunnels of this node, or through its gateway's.
    wireguard: u32,
    /// Through VXLAN.
    vxlan: u32,
    /// On every path.
    pub(super) pods: u32,
    vxlan_overhead: u32,
    /// The path MTU to other members where it is less than that of the own devices: what probes found, and what the devices towards the
    /// endpoints permit.
    measured: BTreeMap<MemberIndex, u32>,
}

impl Mtus {
    pub(super) fn new(resolved: &Resolved<'_>, me: &Member<'_>, peers: &BTreeMap<PublicKey, WireGuardPeer>) -> Self {
        let settings = resolved.settings;
        let uplink = settings.local.uplink_mtu;
        let wireguard = match settings.mtu {
            MtuSetting::Bytes(bytes) => bytes,
            MtuSetting::Auto => {
                let outer = if crosses_internet_only(resolved, me, peers) { uplink.min(INTERNET_MTU) } else { uplink };
                outer.saturating_sub(wireguard_overhead(resolved, me, peers))
            }
        };
        let underlay = resolved.location_of(me).underlay;
        let vxlan_overhead = match underlay {
            Family::V4 => VXLAN_OVERHEAD_V4,
            Family::V6 => VXLAN_OVERHEAD_V6,
        };
        let vxlan = settings.local.internal_mtu(underlay).saturating_sub(vxlan_overhead);
        let measured = &settings.local.path_mtus;
        let mut measured: BTreeMap<MemberIndex, u32> =
            measured.iter().filter_map(|(name, mtu)| Some((resolved.member(name)?.index, *mtu))).collect();
        let narrow = narrow_tunnels(resolved, me, peers, wireguard);
        for (index, mtu) in &narrow {
            let known = measured.entry(*index).or_insert(*mtu);
            *known = (*mtu).min(*known);
        }
        let tunnels = narrow.values().copied().chain([wireguard]).min().unwrap_or(wireguard);
        Self { wireguard, vxlan, pods: tunnels.min(vxlan).max(LEAST_DEVICE_MTU), vxlan_overhead, measured }
    }

    pub(super) fn wireguard_device(&self) -> u32 {
        self.wireguard.max(LEAST_DEVICE_MTU)
    }

    pub(super) fn vxlan_device(&self) -> u32 {
        self.vxlan.max(LEAST_DEVICE_MTU)
    }

    /// The largest TCP segment towards an IPv6 destination behind a tunnel that takes less than 1280 bytes, in bytes.
    pub(super) fn segment_below_ipv6(&self, destination: &Destination) -> Option<u16> {
        let Hop::Tunnel(to) = destination.hop.to_networks() else { return None };
        let path = self.wireguard.min(self.measured.get(&to).copied().unwrap_or(u32::MAX));
        let is_narrow = path < LEAST_DEVICE_MTU && Family::of_net(&destination.net) == Family::V6;
        is_narrow.then(|| u16::try_from(path.saturating_sub(IPV6_AND_TCP_HEADERS)).ok()).flatten()
    }

    /// The MTU that a route must have: that of its path, if it is less than that of its device.
    ///
    /// An IPv6 path has 1280 bytes at least: outer packets of the tunnel are fragmented if necessary.
    pub(super) fn of_route(&self, next_hop: &NextHop, destination: &Destination, family: Family) -> Option<u32> {
        let measured = match destination.hop {
            Hop::Tunnel(to) | Hop::Inside(to) | Hop::Bypass(Through::Tunnel(to) | Through::Inside(to)) => {
                self.measured.get(&to).copied()
            }
            Hop::Nowhere => None,
        };
        let measured = measured.unwrap_or(u32::MAX);
        let is_remote = destination.is_remote;
        let (path, device) = match next_hop {
            NextHop::WireGuard => (self.wireguard.min(measured), self.wireguard_device()),
            NextHop::Vxlan { .. } => {
                let vxlan = self.vxlan.min(measured.saturating_sub(self.vxlan_overhead));
                (if is_remote { self.wireguard.min(vxlan) } else { vxlan }, self.vxlan_device())
            }
            NextHop::Direct { .. } if is_remote => (self.wireguard.min(measured), u32::MAX),
            NextHop::Direct { .. } if measured < u32::MAX => (measured, u32::MAX),
            NextHop::Direct { .. } | NextHop::Unreachable | NextHop::Throw => return None,
        };
        let path = match family {
            Family::V4 => path,
            Family::V6 => path.max(LEAST_DEVICE_MTU),
        };
        (path < device).then_some(path)
    }
}

/// The MTUs of the tunnels whose outer packets leave by a device that takes less than the device of the default route, or cross the
/// internet, which takes less. Not where the operator chose the MTU.
fn narrow_tunnels(
    resolved: &Resolved<'_>,
    me: &Member<'_>,
    peers: &BTreeMap<PublicKey, WireGuardPeer>,
    wireguard: u32,
) -> BTreeMap<MemberIndex, u32> {
    if resolved.settings.mtu != MtuSetting::Auto {
        return BTreeMap::new();
    }
    let local = &resolved.settings.local;
    let tunnel = |peer: &WireGuardPeer| {
        let PeerIdentity::Node(name) = &peer.identity else { return None };
        let other = resolved.member(name)?;
        let device = peer.endpoint.and_then(|endpoint| local.endpoint_mtus.get(&endpoint.ip())).copied();
        let internet = crosses_internet(me, other, peer.endpoint).then_some(INTERNET_MTU);
        let outer = device.into_iter().chain(internet).min()?;
        let overhead = if may_use_ipv6(me, peer) { WIREGUARD_OVERHEAD_V6 } else { WIREGUARD_OVERHEAD_V4 };
        Some((other.index, outer.saturating_sub(overhead)))
    };
    let narrow = peers.values().filter_map(tunnel).filter(|(_, mtu)| *mtu < wireguard);
    narrow.map(|(index, mtu)| (index, mtu - mtu % WIREGUARD_PADDING)).collect()
}

/// Whether outer packets to a node cross the internet: it is dialled at a public address, or dials in from an address that is not known.
/// WireGuard lets routers fragment its packets, so that no probe shows that a packet is too large for the path.
fn crosses_internet(me: &Member<'_>, other: &Member<'_>, endpoint: Option<SocketAddr>) -> bool {
    other.location != me.location && endpoint.is_none_or(|endpoint| is_public(&endpoint.ip()))
}

/// Whether all tunnels of the node, or those of its gateway, cross the internet.
fn crosses_internet_only(resolved: &Resolved<'_>, me: &Member<'_>, peers: &BTreeMap<PublicKey, WireGuardPeer>) -> bool {
    let is_tunnel = |peer: &&WireGuardPeer| matches!(peer.identity, PeerIdentity::Node(_));
    if peers.values().any(|peer| is_tunnel(&peer)) {
        return peers.values().all(|peer| match &peer.identity {
            PeerIdentity::Node(name) => {
                resolved.member(name).is_none_or(|other| crosses_internet(me, other, peer.endpoint))
            }
            PeerIdentity::Outside(_) => true,
        });
    }
    let gateways = resolved.members.iter().filter(|member| member.carrier == Some(member.index));
    let mut endpoints = gateways
        .filter(|gateway| gateway.location != me.location)
        .flat_map(|gateway| gateway.endpoints.iter().copied().filter_map(Endpoint::address));
    endpoints.all(|address| is_public(&address))
}

/// The size of the outer headers: those of IPv6 as soon as one tunnel may use IPv6.
fn wireguard_overhead(resolved: &Resolved<'_>, me: &Member<'_>, peers: &BTreeMap<PublicKey, WireGuardPeer>) -> u32 {
    let any_v6 = if peers.is_empty() {
        // A node without tunnels depends on the tunnels of its gateway.
        let gateways = resolved.members.iter().filter(|member| member.carrier == Some(member.index));
        gateways.flat_map(|gateway| gateway.endpoints.iter().copied()).any(may_be_ipv6)
    } else {
        peers.values().any(|peer| may_use_ipv6(me, peer))
    };
    if any_v6 { WIREGUARD_OVERHEAD_V6 } else { WIREGUARD_OVERHEAD_V4 }
}

/// Whether the outer packets of a tunnel may be IPv6. A peer that dials in may dial any endpoint of `me`.
fn may_use_ipv6(me: &Member<'_>, peer: &WireGuardPeer) -> bool {
    match peer.endpoint {
        Some(endpoint) => endpoint.is_ipv6(),
        None => me.endpoints.iter().copied().any(may_be_ipv6),
    }
}

fn may_be_ipv6(endpoint: &Endpoint) -> bool {
    endpoint.family() != Some(Family::V4)
}
