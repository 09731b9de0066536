//! Which networks the mesh carries for one node, and by which hop.

use std::collections::BTreeSet;

use ipnet::IpNet;

use super::cluster_networks::closed_networks;
use super::exceptions::{Exceptions, excepted_address, is_interconnect, refused};
use super::former_networks::former_networks;
use super::hops::Hop;
use crate::resolve::{Member, MemberIndex, MemberNetwork, NetworkKind, Resolved, order};
use crate::{ObjectName, Warning, WarningReason};

/// One network that the mesh carries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Destination {
    pub(super) net: IpNet,
    pub(super) hop: Hop,
    /// Whether it is in another location.
    pub(super) is_remote: bool,
    pub(super) holds: Holds,
}

/// What a network that the mesh carries holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    /// The mesh address of a node.
    MeshAddress,
    /// An internal address of this node.
    InternalAddress(MemberIndex),
    /// Anything else.
    Others,
}

/// All networks that the mesh carries for one node, and the exceptions.
#[derive(Debug)]
pub(super) struct Destinations {
    /// Sorted; no network twice.
    pub(super) carried: Vec<Destination>,
    /// Networks of pods of which no node is known, and networks of other locations that no node has any more: packets to them go nowhere.
    pub(super) closed: BTreeSet<IpNet>,
    /// Networks inside carried or closed ones that are reached outside the mesh.
    pub(super) direct: BTreeSet<IpNet>,
    /// Networks with internal addresses of other locations that are reached outside the mesh, as far as other nodes cannot know that.
    pub(super) outside_mesh: BTreeSet<IpNet>,
}

impl Destinations {
    pub(super) fn new(
        resolved: &Resolved<'_>,
        me: &Member<'_>,
        hops: &[Hop],
        warnings: &mut BTreeSet<Warning>,
    ) -> Self {
        let closed_networks = closed_networks(resolved);
        let former_networks = former_networks(resolved, me);
        let exceptions = Exceptions::new(resolved, me, &closed_networks, &former_networks);
        let mesh_cidrs = &resolved.settings.mesh_cidrs;
        // At first the networks of the host and the API servers inside networks that the cluster itself has.
        let mut direct = BTreeSet::new();
        for cidr in mesh_cidrs {
            let cidr = cidr.trunc();
            for host in exceptions.host.inside(&cidr) {
                warnings.insert(refused(cidr, host, me.object(), "mesh-cidr"));
                direct.insert(host.net());
            }
            direct.extend(exceptions.api_servers_inside(&cidr));
            warnings.extend(exceptions.host.around(&cidr).map(|host| {
                Warning::new(me.object(), "mesh-cidr", cidr, WarningReason::PartOfOwnSubnet(host.in_words()))
            }));
        }
        let mut outside_mesh = BTreeSet::new();
        let mut closed = BTreeSet::new();
        for cidr in closed_networks {
            match exceptions.host.containing_pods(&cidr) {
                Some(host) => drop(warnings.insert(refused(cidr, host, me.object(), "cluster-cidr"))),
                None => {
                    // A bridge of this node's own pods is no other network.
                    let inside = exceptions.host.inside(&cidr).filter(|host| !host.is_inside(&me.pod_cidrs));
                    warnings.extend(inside.map(|host| refused(cidr, host, me.object(), "cluster-cidr")));
                    closed.insert(cidr);
                }
            }
        }

        let mut interconnects = Vec::new();
        let mut carried = Vec::with_capacity(resolved.networks.len());
        for MemberNetwork { net, member, kind } in resolved.networks.iter().copied() {
            if member == me.index {
                continue;
            }
            let other = resolved.at(member);
            let is_remote = other.location != me.location;
            let hop = hops[member.0];
            match kind {
                NetworkKind::Pods => {
                    if exceptions.is_api_server(&net) {
                        warnings.insert(excepted_address(net, other.object(), "pod-cidrs"));
                        continue;
                    }
                    if let Some(host) = exceptions.host.containing_pods(&net) {
                        warnings.insert(refused(net, host, other.object(), "pod-cidrs"));
                        continue;
                    }
                    for host in exceptions.host.inside(&net) {
                        warnings.insert(refused(net, host, other.object(), "pod-cidrs"));
                        direct.insert(host.net());
                    }
                    direct.extend(exceptions.api_servers_inside(&net));
                    carried.push(Destination { net, hop: hop.to_networks(), is_remote, holds: Holds::Others });
                }
                NetworkKind::MeshAddress => {
                    match exceptions.host.containing_mesh_address(&net.addr(), mesh_cidrs.iter()) {
                        Some(host) => {
                            warnings.insert(refused(net, host, other.object(), "mesh-addresses"));
                        }
                        None => {
                            let hop = hop.to_mesh_addresses(member);
                            carried.push(Destination { net, hop, is_remote, holds: Holds::MeshAddress });
                        }
                    }
                }
                NetworkKind::InternalAddress if is_remote => {
                    outside_mesh.extend(exceptions.outside_mesh(&net));
                    if is_interconnect(resolved, other, net.addr()) {
                        interconnects.push(net);
                    } else if !exceptions.addresses.contains(&net.addr())
                        && exceptions.permit(net, || other.object(), "internal-addresses", warnings)
                    {
                        let holds = Holds::InternalAddress(member);
                        carried.push(Destination { net, hop: hop.to_networks(), is_remote, holds });
                    }
                }
                NetworkKind::InternalAddress => {}
            }
        }
        // Networks that operators set, which can be wide enough to contain an exception.
        let mut wide: Vec<IpNet> = Vec::new();
        for (other, hop) in resolved.members.iter().zip(hops) {
            let is_remote = other.location != me.location;
            let is_me = other.index == me.index;
            let mut carry = |net, hop| {
                carried.push(Destination { net, hop, is_remote, holds: Holds::Others });
                wide.push(net);
            };
            for cidr in other.owned_cidrs.iter().filter(|cidr| !is_me && !me.exit_cidrs.contains(cidr)) {
                if exceptions.permit_named(*cidr, || other.object(), "allowed-location-cidrs", warnings) {
                    carry(*cidr, hop.to_networks());
                }
            }
            let hop = if is_me { Hop::Tunnel(me.index) } else { hop.to_networks() };
            for (net, peer) in resolved.outside_networks.get(&other.index).into_iter().flatten() {
                let owner = || ObjectName::Peer((*peer).clone());
                if exceptions.permit_named(*net, owner, "allowedIPs", warnings) {
                    carry(*net, hop);
                }
            }
        }
        for (net, peer) in &resolved.unserved_networks {
            let owner = || ObjectName::Peer((*peer).clone());
            if exceptions.permit_named(*net, owner, "allowedIPs", warnings) {
                carried.push(Destination { net: *net, hop: Hop::Nowhere, is_remote: true, holds: Holds::Others });
                wide.push(*net);
            }
        }
        // One long sorted run, and a few destinations after it: the stable sort merges the two.
        carried.sort_by_key(|destination| order(&destination.net));
        direct.extend(exceptions.inside(&wide, warnings));
        direct.extend(exceptions.inside_closed(&closed, warnings));
        // No object has these networks any more that a warning could name.
        let former: BTreeSet<IpNet> = former_networks.into_iter().filter(|net| !exceptions.include(net)).collect();
        let is_former = |interconnect: &IpNet| former.iter().any(|net| net.contains(interconnect));
        direct.extend(interconnects.into_iter().filter(is_former));
        direct.extend(exceptions.inside_closed(&former, &mut BTreeSet::new()));
        closed.extend(former);
        Self { carried, closed, direct, outside_mesh }
    }

    /// Whether the mesh carries this very network.
    pub(super) fn carries(&self, net: &IpNet) -> bool {
        self.carried.binary_search_by_key(&order(net), |destination| order(&destination.net)).is_ok()
    }
}
