//! What the kernel must hold: the plan, joined with the keys that a plan never holds.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use carrick_netlink::link::Vxlan;
use carrick_netlink::wireguard::{PublicKey, SecretKey};
use carrick_netlink::{Family, MacAddress};
use carrick_topology::DeviceName;
use carrick_topology::model::SecretReference;
use carrick_topology::plan::{NodePlan, VxlanPlan, WireGuardPeer};
use ipnet::IpNet;

use crate::route::{TableRoute, by_identity};

/// Who makes the WireGuard device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WireGuardMaker {
    /// The kernel has WireGuard: the agent creates the device like any other.
    Kernel,
    /// A `carrick userspace-wireguard` process makes it and answers for it.
    Process,
}

/// The keys that a plan refers to.
#[derive(Debug, Clone)]
pub struct Keys {
    /// The node's private key.
    pub private: SecretKey,
    /// Preshared keys by the Secret that holds them.
    pub preshared: BTreeMap<SecretReference, SecretKey>,
}

/// What the kernel must hold.
#[derive(Debug, Clone)]
pub struct Desired {
    pub(crate) wireguard: WantedWireGuard,
    pub(crate) vxlan: WantedVxlan,
    /// What both devices carry.
    pub(crate) addresses: BTreeSet<IpNet>,
    /// In the order of [`by_identity`].
    pub(crate) routes: Arc<Vec<TableRoute>>,
    pub(crate) rules: BTreeSet<Family>,
    /// The pod CIDRs of this node.
    pub(crate) own_pods: BTreeSet<IpNet>,
}

#[derive(Debug, Clone)]
pub(crate) struct WantedWireGuard {
    pub(crate) device: DeviceName,
    pub(crate) maker: WireGuardMaker,
    pub(crate) mtu: u32,
    pub(crate) private_key: SecretKey,
    pub(crate) port: u16,
    pub(crate) firewall_mark: u32,
    pub(crate) peers: BTreeMap<PublicKey, WantedPeer>,
    /// Peers whose preshared key is not known: they are left exactly as they are.
    pub(crate) withheld: BTreeSet<PublicKey>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WantedPeer {
    pub(crate) endpoint: Option<SocketAddr>,
    /// All addresses of the endpoint's domain name, if there are several.
    pub(crate) alternatives: BTreeSet<IpAddr>,
    pub(crate) persistent_keepalive: Option<u16>,
    pub(crate) preshared_key: Option<SecretKey>,
    pub(crate) allowed_ips: BTreeSet<IpNet>,
}

#[derive(Debug, Clone)]
pub(crate) struct WantedVxlan {
    pub(crate) device: DeviceName,
    pub(crate) settings: Vxlan,
    pub(crate) mac: MacAddress,
    pub(crate) mtu: u32,
    pub(crate) neighbours: BTreeMap<IpAddr, MacAddress>,
    pub(crate) forwarding: BTreeMap<MacAddress, IpAddr>,
}

impl Desired {
    /// What `plan` asks for.
    #[must_use]
    pub fn new(plan: &NodePlan, keys: &Keys, maker: WireGuardMaker) -> Self {
        let mut routes: Vec<TableRoute> = plan
            .routes
            .iter()
            .map(|route| TableRoute::planned(route, &plan.wireguard.device, &plan.vxlan.device))
            .collect();
        routes.sort_by(by_identity);
        Self {
            wireguard: WantedWireGuard::new(plan, keys, maker),
            vxlan: WantedVxlan::new(&plan.vxlan),
            addresses: plan.mesh_addresses.iter().copied().map(IpNet::from).collect(),
            routes: Arc::new(routes),
            rules: plan.rules.clone(),
            own_pods: plan.pod_cidrs.iter().map(IpNet::trunc).collect(),
        }
    }

    /// The WireGuard device.
    #[must_use]
    pub fn wireguard_device(&self) -> &DeviceName {
        &self.wireguard.device
    }

    /// The VXLAN device.
    #[must_use]
    pub fn vxlan_device(&self) -> &DeviceName {
        &self.vxlan.device
    }

    /// The peers whose preshared key is not known. A peer that the device has stays as it is; a peer that it lacks is not added.
    #[must_use]
    pub fn withheld_peers(&self) -> &BTreeSet<PublicKey> {
        &self.wireguard.withheld
    }

    /// Every device that a route leads to.
    pub(crate) fn route_devices(&self) -> BTreeSet<&DeviceName> {
        self.routes.iter().filter_map(TableRoute::device).collect()
    }
}

impl WantedWireGuard {
    fn new(plan: &NodePlan, keys: &Keys, maker: WireGuardMaker) -> Self {
        let mut peers = BTreeMap::new();
        let mut withheld = BTreeSet::new();
        for (public_key, peer) in &plan.wireguard.peers {
            match WantedPeer::new(peer, keys) {
                Some(wanted) => {
                    peers.insert(*public_key, wanted);
                }
                None => {
                    withheld.insert(*public_key);
                }
            }
        }
        Self {
            device: plan.wireguard.device.clone(),
            maker,
            mtu: plan.wireguard.mtu,
            private_key: keys.private.clone(),
            port: plan.wireguard.port,
            firewall_mark: plan.wireguard.firewall_mark,
            peers,
            withheld,
        }
    }
}

impl WantedPeer {
    /// `None` when its preshared key is not known.
    fn new(peer: &WireGuardPeer, keys: &Keys) -> Option<Self> {
        let preshared_key = match &peer.preshared_key {
            Some(reference) => Some(keys.preshared.get(reference)?.clone()),
            None => None,
        };
        Some(Self {
            endpoint: peer.endpoint,
            alternatives: peer.named.iter().flat_map(|named| named.addresses.iter().copied()).collect(),
            persistent_keepalive: peer.persistent_keepalive,
            preshared_key,
            allowed_ips: peer.allowed_ips.iter().map(IpNet::trunc).collect(),
        })
    }
}

impl WantedVxlan {
    fn new(plan: &VxlanPlan) -> Self {
        let neighbours = plan
            .neighbours
            .values()
            .flat_map(|neighbour| neighbour.mesh_addresses.iter().map(move |address| (*address, neighbour.mac)));
        Self {
            device: plan.device.clone(),
            settings: Vxlan {
                vni: plan.identifier,
                port: plan.port,
                learning: false,
                underlay: plan.underlay,
                local: plan.local,
            },
            mac: plan.mac,
            mtu: plan.mtu,
            neighbours: neighbours.collect(),
            forwarding: plan.neighbours.values().map(|n| (n.mac, n.internal_address)).collect(),
        }
    }
}
