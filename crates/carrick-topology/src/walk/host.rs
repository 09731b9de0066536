//! What one node does with a packet.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use prefix_trie::joint::JointPrefixMap;

use super::step::{Arrival, Entry, Verdict};
use super::{DropReason, Hop, Link, Outcome, Packet, Translation, Walk};
use crate::handover::HandoverRoute;
use crate::model::{AllowedLocationMasquerade, DeviceName, Family, NodeName, PublicKey, host_net};
use crate::plan::{FirewallPlan, NextHop, NodePlan, PeerIdentity, Route};
use crate::resolve::Member;

/// Networks to values, looked up by longest prefix.
type PrefixTable<T> = JointPrefixMap<IpNet, T>;

/// All nodes with their plans, compiled.
#[derive(Default)]
pub(super) struct Hosts<'a> {
    pub(super) by_name: BTreeMap<NodeName, Host<'a>>,
    /// The node of each internal address.
    pub(super) by_internal_address: BTreeMap<IpAddr, NodeName>,
}

/// A node with its plan, compiled.
pub(super) struct Host<'a> {
    pub(super) plan: &'a NodePlan,
    key: PublicKey,
    /// Its own addresses: mesh, internal, endpoints.
    addresses: BTreeSet<IpAddr>,
    internal_addresses: Vec<IpNet>,
    /// The nodes that it reaches directly.
    location: BTreeSet<NodeName>,
    routes: PrefixTable<&'a Route>,
    /// The routes of packets out of tunnels, to other nodes of the location.
    location_routes: PrefixTable<&'a Route>,
    /// The routes of forwarded packets that go encapsulated; `None` for an exception.
    encapsulated: PrefixTable<Option<&'a HandoverRoute>>,
    allowed_ips: PrefixTable<PublicKey>,
    carried: PrefixTable<()>,
    direct: PrefixTable<()>,
}

/// Where a packet leaves a node.
enum Exit<'p> {
    WireGuard,
    Vxlan(IpAddr),
    Encapsulated(IpAddr),
    Plain { to: NodeName, device: Option<&'p DeviceName> },
    Uplink,
}

impl<'a> Host<'a> {
    pub(super) fn compile(
        member: &Member<'_>,
        plan: &'a NodePlan,
        location: BTreeSet<NodeName>,
        gone: &BTreeSet<&DeviceName>,
    ) -> Self {
        let mut routes: PrefixTable<&'a Route> = PrefixTable::new();
        for route in plan.routes.iter().filter(|route| !leads_to(plan, route, gone)) {
            let best = routes.get(&route.destination).is_none_or(|other| route.metric() < other.metric());
            if best {
                routes.insert(route.destination, route);
            }
        }
        let location_routes = plan.location_routes.iter().filter(|route| !leads_to(plan, route, gone));
        let mut allowed_ips = PrefixTable::new();
        for (key, peer) in &plan.wireguard.peers {
            for net in &peer.allowed_ips {
                allowed_ips.insert(*net, *key);
            }
        }
        let mut encapsulated = PrefixTable::new();
        for handover in plan.handover.iter().filter(|handover| !gone.contains(&handover.device)) {
            let exceptions = handover.exceptions.iter().map(|net| (*net, None));
            for (net, route) in exceptions.chain(handover.routes.iter().map(|route| (route.destination, Some(route)))) {
                encapsulated.insert(net, route);
            }
        }
        let table = |nets: &BTreeSet<IpNet>| nets.iter().map(|net| (*net, ())).collect::<PrefixTable<()>>();
        let internal = member.internal_addresses.iter().map(IpNet::addr);
        let endpoints = member.endpoints.iter().filter_map(|endpoint| endpoint.address());
        Self {
            plan,
            key: member.key,
            addresses: plan.mesh_addresses.iter().copied().chain(internal).chain(endpoints).collect(),
            internal_addresses: member.internal_addresses.clone(),
            location,
            routes,
            location_routes: location_routes.map(|route| (route.destination, route)).collect(),
            encapsulated,
            allowed_ips,
            carried: table(&plan.firewall.carried),
            direct: table(&plan.firewall.direct),
        }
    }

    /// Cryptokey routing: the peer that has this address among its allowed IPs.
    pub(super) fn peer_for(&self, address: IpAddr) -> Option<&PublicKey> {
        self.allowed_ips.get_lpm(&host_net(address)).map(|(_, key)| key)
    }

    pub(super) fn handle(&self, hosts: &Hosts<'_>, arrival: &Arrival, packet: Packet, walk: &mut Walk) -> Verdict {
        let name = &self.plan.node;
        let destination = packet.destination;
        if arrival.by == Entry::Plain && walk.source.is_some_and(|source| self.is_always_encapsulated(source)) {
            return Verdict::End(Outcome::Dropped(name.clone(), DropReason::SourceNotAllowed));
        }
        if self.plan.pod_cidrs.iter().any(|cidr| cidr.contains(&destination)) {
            return Verdict::End(Outcome::Pod(name.clone()));
        }
        if self.addresses.contains(&destination) {
            return Verdict::End(Outcome::Host(name.clone()));
        }
        let route = self.routes.get_lpm(&host_net(destination)).map(|(_, route)| *route);
        let encapsulated = self.encapsulated.get_lpm(&host_net(destination)).and_then(|(_, route)| *route);
        let is_out_of_tunnel = matches!(arrival.by, Entry::WireGuard | Entry::Encapsulated);
        let location_route = self.location_routes.get_lpm(&host_net(destination)).map(|(_, route)| *route);
        let (exit, mtu) = match route {
            _ if let Some(route) = location_route.filter(|_| is_out_of_tunnel) => {
                self.exit_by(hosts, route, destination)
            }
            _ if let Some(encapsulated) = encapsulated.filter(|_| arrival.by != Entry::Host) => {
                (Exit::Encapsulated(encapsulated.via), encapsulated.mtu)
            }
            Some(Route { next_hop: NextHop::Unreachable, .. }) => {
                return Verdict::End(Outcome::Dropped(name.clone(), DropReason::UnreachableRoute));
            }
            Some(route) => self.exit_by(hosts, route, destination),
            None => (self.exit_of_host(hosts, destination), u32::MAX),
        };
        if packet.source.is_none() {
            walk.source = route.and_then(|route| route.source).or_else(|| self.own_address(destination));
        }
        if !self.leak_guard_permits(&exit, walk.source, destination) {
            return Verdict::End(Outcome::Dropped(name.clone(), DropReason::LeakGuard));
        }
        self.translate_source(&exit, arrival.by, destination, walk);
        match walk.source {
            None => Verdict::End(Outcome::Dropped(name.clone(), DropReason::NoSource)),
            Some(source) => self.send(hosts, exit, source, destination, mtu),
        }
    }

    fn exit_by<'p>(&self, hosts: &Hosts<'_>, route: &'p Route, destination: IpAddr) -> (Exit<'p>, u32) {
        let device_mtu = |mtu: u32| route.mtu.map_or(mtu, |route_mtu| route_mtu.min(mtu));
        match &route.next_hop {
            NextHop::WireGuard => (Exit::WireGuard, device_mtu(self.plan.wireguard.mtu)),
            NextHop::Vxlan { via } => (Exit::Vxlan(*via), device_mtu(self.plan.vxlan.mtu)),
            NextHop::Direct { via, device } => match hosts.by_internal_address.get(via) {
                Some(to) => (Exit::Plain { to: to.clone(), device: Some(device) }, device_mtu(u32::MAX)),
                None => (Exit::Uplink, u32::MAX),
            },
            NextHop::Throw | NextHop::Unreachable => (self.exit_of_host(hosts, destination), u32::MAX),
        }
    }

    /// The host's other routes: its location, then the uplink.
    fn exit_of_host(&self, hosts: &Hosts<'_>, destination: IpAddr) -> Exit<'static> {
        match hosts.by_internal_address.get(&destination) {
            Some(to) if self.location.contains(to) => Exit::Plain { to: to.clone(), device: None },
            _ => Exit::Uplink,
        }
    }

    /// Whether packets with this source must come in by devices of the mesh.
    fn is_always_encapsulated(&self, source: IpAddr) -> bool {
        let host = host_net(source);
        self.is_encapsulated_source(source)
            && self.carried.get_lpm(&host).is_some()
            && self.direct.get_lpm(&host).is_none()
    }

    fn is_encapsulated_source(&self, address: IpAddr) -> bool {
        self.plan.firewall.encapsulated_sources.iter().any(|net| net.contains(&address))
    }

    fn leak_guard_permits(&self, exit: &Exit<'_>, source: Option<IpAddr>, destination: IpAddr) -> bool {
        let host = host_net(destination);
        let is_pod = |source: IpAddr| self.plan.firewall.own_pods.iter().any(|net| net.contains(&source));
        let leaves_mesh = matches!(exit, Exit::Plain { .. } | Exit::Uplink);
        if leaves_mesh && source.is_some_and(is_pod) && self.is_encapsulated_source(destination) {
            return false;
        }
        if self.carried.get_lpm(&host).is_none() || self.direct.get_lpm(&host).is_some() {
            return true;
        }
        let devices = &self.plan.firewall.mesh_devices;
        let device = match exit {
            Exit::WireGuard => Some(&devices.wireguard),
            Exit::Vxlan(_) => Some(&devices.vxlan),
            Exit::Encapsulated(_) => Some(&devices.handover),
            Exit::Plain { device, .. } => *device,
            Exit::Uplink => None,
        };
        let permitted = device.and_then(|device| self.plan.firewall.carried_by.get(device));
        permitted.is_some_and(|nets| nets.iter().any(|net| net.contains(&destination)))
    }

    fn translate_source(&self, exit: &Exit<'_>, by: Entry, destination: IpAddr, walk: &mut Walk) {
        let Some(source) = walk.source else { return };
        let firewall = &self.plan.firewall;
        let is_carried = self.carried.get_lpm(&host_net(destination)).is_some()
            && self.direct.get_lpm(&host_net(destination)).is_none();
        let leaves_mesh = matches!(exit, Exit::Plain { device: None, .. } | Exit::Uplink);
        let to_location_network = firewall.allowed_location.destinations.iter().any(|net| net.contains(&destination));
        let keeps_source_there = firewall.allowed_location.masquerade == AllowedLocationMasquerade::Off;

        let after = match exit {
            Exit::WireGuard | Exit::Vxlan(_) | Exit::Encapsulated(_) if by == Entry::Host => {
                self.host_source(source, destination)
            }
            _ if leaves_mesh && to_location_network && keeps_source_there => None,
            _ if leaves_mesh && (to_location_network || (by == Entry::Pod && !is_carried)) => {
                self.own_address(destination)
            }
            _ if matches!(by, Entry::WireGuard | Entry::Encapsulated)
                && firewall.location_internal_addresses.contains(&destination) =>
            {
                let may_keep_source = !leaves_mesh || firewall.plain_neighbours.contains(&destination);
                let keeps_source = may_keep_source && firewall.node_senders.contains(&source);
                if keeps_source { None } else { self.own_address(destination) }
            }
            _ => None,
        };
        if let Some(after) = after.filter(|after| *after != source) {
            walk.translations.push(Translation { node: self.plan.node.clone(), before: source, after });
            walk.source = Some(after);
        }
    }

    /// The source that the host's own packets into the mesh get, unless it is a mesh address of the host already.
    fn host_source(&self, source: IpAddr, destination: IpAddr) -> Option<IpAddr> {
        let FirewallPlan { internal_sources, internal_destinations, .. } = &self.plan.firewall;
        if self.plan.mesh_addresses.contains(&source) {
            return None;
        }
        let sources =
            if internal_destinations.contains(&destination) { internal_sources } else { &self.plan.mesh_addresses };
        sources.iter().copied().find(|address| Family::of(address) == Family::of(&source))
    }

    /// The source address of the host outside the mesh.
    fn own_address(&self, destination: IpAddr) -> Option<IpAddr> {
        let family = Family::of(&destination);
        let internal = self.internal_addresses.iter().map(IpNet::addr).find(|address| Family::of(address) == family);
        internal.or_else(|| self.addresses.iter().copied().find(|address| Family::of(address) == family))
    }

    fn send(&self, hosts: &Hosts<'_>, exit: Exit<'_>, source: IpAddr, destination: IpAddr, mtu: u32) -> Verdict {
        let name = self.plan.node.clone();
        let drop = |reason| Verdict::End(Outcome::Dropped(self.plan.node.clone(), reason));
        match exit {
            Exit::Uplink => {
                let here =
                    self.plan.firewall.allowed_location.destinations.iter().any(|net| net.contains(&destination));
                Verdict::End(if here { Outcome::LocationNetwork(name) } else { Outcome::Uplink(name) })
            }
            Exit::Plain { to, device } => Verdict::Forward {
                hop: Hop { from: name, link: Link::Plain(device.cloned()) },
                next: Arrival { node: to, by: Entry::Plain },
                mtu,
            },
            Exit::Vxlan(via) => match self.vxlan_receiver(hosts, via) {
                None => drop(DropReason::NoNeighbour),
                Some(to) => Verdict::Forward {
                    hop: Hop { from: name, link: Link::Vxlan },
                    next: Arrival { node: to, by: Entry::Vxlan },
                    mtu,
                },
            },
            Exit::WireGuard => self.send_by_tunnel(hosts, source, destination, mtu),
            Exit::Encapsulated(via) => self.send_encapsulated(hosts, source, via, mtu),
        }
    }

    fn vxlan_receiver(&self, hosts: &Hosts<'_>, via: IpAddr) -> Option<NodeName> {
        let (name, neighbour) =
            self.plan.vxlan.neighbours.iter().find(|(_, neighbour)| neighbour.mesh_addresses.contains(&via))?;
        let receiver = hosts.by_name.get(name)?;
        let is_taken_there = receiver.plan.firewall.vxlan_addresses.contains(&neighbour.internal_address);
        let is_believed = self
            .internal_addresses
            .iter()
            .filter(|net| Family::of_net(net) == self.plan.vxlan.underlay)
            .any(|net| receiver.plan.firewall.vxlan_sources.contains(&net.addr()));
        (is_taken_there && is_believed).then(|| name.clone())
    }

    fn send_by_tunnel(&self, hosts: &Hosts<'_>, source: IpAddr, destination: IpAddr, mtu: u32) -> Verdict {
        let drop = |reason| Verdict::End(Outcome::Dropped(self.plan.node.clone(), reason));
        let hop = Hop { from: self.plan.node.clone(), link: Link::WireGuard };
        let Some(entry) = self.peer_for(destination).and_then(|key| self.plan.wireguard.peers.get(key)) else {
            return drop(DropReason::NoPeer);
        };
        let receiver = match &entry.identity {
            PeerIdentity::Outside(peer) => return Verdict::Leave { hop, outcome: Outcome::Outside(peer.clone()), mtu },
            PeerIdentity::Node(name) => hosts.by_name.get(name),
        };
        let Some(receiver) = receiver else { return drop(DropReason::NoPeer) };
        let Some(back) = receiver.plan.wireguard.peers.get(&self.key) else {
            return drop(DropReason::SourceNotAllowed);
        };
        if entry.endpoint.is_none() && back.endpoint.is_none() {
            return drop(DropReason::NoEndpoint);
        }
        if receiver.peer_for(source) != Some(&self.key) {
            return drop(DropReason::SourceNotAllowed);
        }
        Verdict::Forward { hop, next: Arrival { node: receiver.plan.node.clone(), by: Entry::WireGuard }, mtu }
    }

    /// The outer packet has the mesh addresses of both gateways. The receiver checks the source of the inner packet.
    fn send_encapsulated(&self, hosts: &Hosts<'_>, source: IpAddr, via: IpAddr, mtu: u32) -> Verdict {
        let drop = |reason| Verdict::End(Outcome::Dropped(self.plan.node.clone(), reason));
        let handover = self.plan.handover.as_ref();
        let receivers = handover.into_iter().flat_map(|handover| handover.receivers.values());
        let Some(receiver) = receivers.into_iter().find(|receiver| receiver.next_hops.contains(&via)) else {
            return drop(DropReason::NoNeighbour);
        };
        let family = Family::of(&receiver.address);
        let Some(outer) = self.plan.mesh_addresses.iter().copied().find(|own| Family::of(own) == family) else {
            return drop(DropReason::NoSource);
        };
        match self.send_by_tunnel(hosts, outer, receiver.address, mtu) {
            Verdict::Forward { hop, next, mtu } => {
                let filter = hosts.by_name.get(&next.node).map(|host| &host.plan.firewall.handover);
                let accepts = filter.is_some_and(|filter| {
                    filter.senders.contains(&outer) && filter.sources.iter().any(|net| net.contains(&source))
                });
                if !accepts {
                    return drop(DropReason::SourceNotAllowed);
                }
                Verdict::Forward {
                    hop: Hop { link: Link::Encapsulated, ..hop },
                    next: Arrival { by: Entry::Encapsulated, ..next },
                    mtu,
                }
            }
            other @ (Verdict::End(_) | Verdict::Leave { .. }) => other,
        }
    }
}

/// Whether a route leads out of a device that is gone.
fn leads_to(plan: &NodePlan, route: &Route, gone: &BTreeSet<&DeviceName>) -> bool {
    match &route.next_hop {
        NextHop::WireGuard => gone.contains(&plan.wireguard.device),
        NextHop::Vxlan { .. } => gone.contains(&plan.vxlan.device),
        NextHop::Direct { device, .. } => gone.contains(device),
        NextHop::Unreachable | NextHop::Throw => false,
    }
}
