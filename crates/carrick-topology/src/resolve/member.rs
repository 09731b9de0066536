//! The members of the mesh, with those of their claims that count.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use super::claims::{AddressClaims, Claims, Refused, SettledClaims};
use super::index::{LocationIndex, MemberIndex};
use super::keys::KeyOwners;
use crate::mesh_address::Belonging;
use crate::model::{
    Cluster, Endpoint, Family, InternalAddresses, Node, NodeName, PublicKey, Settings, host_net, is_link_local,
    is_public,
};
use crate::{ObjectName, Warning, WarningReason};

/// A node that is a member of the mesh.
#[derive(Clone, Debug)]
pub(crate) struct Member<'a> {
    pub(crate) index: MemberIndex,
    pub(crate) node: &'a Node,
    pub(crate) key: PublicKey,
    pub(crate) pod_cidrs: Vec<IpNet>,
    /// At most one for each family.
    pub(crate) mesh_addresses: Vec<IpAddr>,
    /// Addresses with the length of their subnet.
    pub(crate) internal_addresses: Vec<IpNet>,
    /// Endpoints that other locations can dial: the one that people set, or those of the agent, IPv4 before IPv6.
    pub(crate) endpoints: Vec<&'a Endpoint>,
    pub(crate) location: LocationIndex,
    /// The gateway that carries this node's traffic to other locations; the node itself if it is a gateway.
    pub(crate) carrier: Option<MemberIndex>,
    /// Allowed-location CIDRs that are routed to this node.
    pub(crate) owned_cidrs: Vec<IpNet>,
    /// Allowed-location CIDRs whose packets leave the mesh at this node: those that are routed to it, and those that it declares after
    /// another node of its location.
    pub(crate) exit_cidrs: Vec<IpNet>,
}

impl<'a> Member<'a> {
    fn new(index: MemberIndex, node: &'a Node, key: PublicKey) -> Self {
        Self {
            index,
            node,
            key,
            pod_cidrs: Vec::new(),
            mesh_addresses: Vec::new(),
            internal_addresses: Vec::new(),
            endpoints: Vec::new(),
            location: LocationIndex(0),
            carrier: None,
            owned_cidrs: Vec::new(),
            exit_cidrs: Vec::new(),
        }
    }

    pub(crate) fn mesh_address(&self, family: Family) -> Option<IpAddr> {
        self.mesh_addresses.iter().copied().find(|address| Family::of(address) == family)
    }

    /// The first internal address of the family.
    pub(crate) fn internal_address(&self, family: Family) -> Option<IpAddr> {
        self.internal_addresses.iter().map(IpNet::addr).find(|address| Family::of(address) == family)
    }

    /// Whether an endpoint is public: an address of the internet, a domain name, or an endpoint that the operator forced.
    pub(crate) fn has_public_endpoint(&self) -> bool {
        self.node.endpoint.is_some()
            || self.endpoints.iter().any(|endpoint| endpoint.address().is_none_or(|address| is_public(&address)))
    }

    pub(crate) fn object(&self) -> ObjectName {
        ObjectName::Node(self.node.name.clone())
    }

    pub(super) fn owner(&self) -> Owner<'a> {
        Owner { index: self.index, name: &self.node.name }
    }
}

/// The member that owns something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owner<'a> {
    pub(super) index: MemberIndex,
    pub(super) name: &'a NodeName,
}

impl Owner<'_> {
    pub(super) fn object(&self) -> ObjectName {
        ObjectName::Node(self.name.clone())
    }
}

/// The networks and addresses of the cluster itself: claimed by nodes, or reserved by settings.
pub(super) struct ClusterClaims<'a> {
    /// Mesh, Service and pod CIDRs.
    pub(super) ranges: SettledClaims<RangeOwner<'a>>,
    /// Internal and mesh addresses.
    pub(super) addresses: AddressClaims<Owner<'a>>,
    /// Allowed-location CIDRs, and after them the allowed IPs of outside peers.
    pub(super) outside_networks: Claims<ObjectName>,
    /// The keys of the members.
    pub(super) keys: KeyOwners<'a>,
    /// Allowed-location CIDRs, each with the first node that declares it.
    pub(super) location_networks: Vec<(IpNet, MemberIndex)>,
}

/// The owner of a network of the cluster itself.
#[derive(Clone, Copy, Debug)]
pub(super) enum RangeOwner<'a> {
    Mesh(IpNet),
    Service(IpNet),
    Pods(Owner<'a>, IpNet),
}

impl RangeOwner<'_> {
    pub(super) fn reason(&self) -> WarningReason {
        WarningReason::OverlapsCluster(match self {
            Self::Mesh(cidr) => format!("the mesh CIDR {cidr}"),
            Self::Service(cidr) => format!("the Service CIDR {cidr}"),
            Self::Pods(owner, cidr) => format!("the pod CIDR {cidr} of {}", owner.object()),
        })
    }
}

/// Admits the nodes that share their key with no other node that precedes them. A node that proves that it holds the private key precedes
/// one that does not, a node precedes others at the mesh addresses that belong to its name, and of all other claims of the same thing, the
/// one of the older node counts. The members have no endpoints yet.
pub(super) fn admit<'a>(
    cluster: &'a Cluster,
    settings: &Settings,
    warnings: &mut BTreeSet<Warning>,
) -> (Vec<Member<'a>>, ClusterClaims<'a>) {
    let keys = KeyOwners::of(cluster, warnings);
    let with_key = cluster.nodes.values().filter_map(|node| Some((node, node.public_key?)));
    let admitted = with_key.filter(|(node, _)| !keys.lacks_key(&node.name)).enumerate();
    let mut members: Vec<Member<'a>> = Vec::with_capacity(cluster.nodes.len());
    members.extend(admitted.map(|(index, (node, key))| Member::new(MemberIndex(index), node, key)));
    // The members are sorted by name, and stay so where several have one age.
    let mut by_age: Vec<MemberIndex> = members.iter().map(|member| member.index).collect();
    by_age.sort_by_key(|index| members[index.0].node.created);

    let mut claims = ClusterClaims {
        ranges: admit_pod_cidrs(&mut members, &by_age, settings, warnings),
        addresses: AddressClaims::default(),
        outside_networks: Claims::default(),
        keys,
        location_networks: Vec::new(),
    };
    admit_mesh_addresses(&mut members, &by_age, settings, &mut claims, warnings);
    for index in &by_age {
        admit_internal_addresses(&mut members[index.0], settings, &mut claims, warnings);
    }
    (members, claims)
}

/// Gives the mesh CIDRs and Service CIDRs to the settings, and the pod CIDRs to the oldest node.
fn admit_pod_cidrs<'a>(
    members: &mut [Member<'a>],
    by_age: &[MemberIndex],
    settings: &Settings,
    warnings: &mut BTreeSet<Warning>,
) -> SettledClaims<RangeOwner<'a>> {
    // If a Service CIDR overlaps the mesh CIDR, the mesh CIDR counts: the operator set both.
    let mesh = settings.mesh_cidrs.iter().map(|cidr| (*cidr, RangeOwner::Mesh(*cidr)));
    let services = settings.service_cidrs.iter().map(|cidr| (*cidr, RangeOwner::Service(*cidr)));
    let pods = by_age.iter().map(|index| &members[index.0]).flat_map(|member| {
        let cidrs = member.node.pod_cidrs.iter().map(IpNet::trunc);
        cidrs.map(|cidr| (cidr, RangeOwner::Pods(member.owner(), cidr)))
    });
    let (ranges, refused) = SettledClaims::of(mesh.chain(services).chain(pods));
    for owner in ranges.owners() {
        if let RangeOwner::Pods(owner, cidr) = owner {
            members[owner.index.0].pod_cidrs.push(*cidr);
            if !settings.cluster_cidrs.is_empty() && !settings.cluster_cidrs.iter().any(|net| net.contains(cidr)) {
                warnings.insert(Warning::new(owner.object(), "pod-cidrs", cidr, WarningReason::OutsideClusterCidrs));
            }
        }
    }
    for Refused { by, held_by } in refused {
        let RangeOwner::Pods(owner, cidr) = by else { continue };
        let reason = match held_by {
            RangeOwner::Pods(holder, _) => WarningReason::AlreadyClaimed(holder.object()),
            RangeOwner::Mesh(_) | RangeOwner::Service(_) => held_by.reason(),
        };
        warnings.insert(Warning::new(owner.object(), "pod-cidrs", cidr, reason));
    }
    ranges
}

/// Gives each mesh address to the claim that precedes the others: that of the node to whose name it belongs, else that of the oldest node.
/// Mesh addresses are in reserved ranges, so that they overlap neither internal addresses nor anything else here.
fn admit_mesh_addresses<'a>(
    members: &mut [Member<'a>],
    by_age: &[MemberIndex],
    settings: &Settings,
    claims: &mut ClusterClaims<'a>,
    warnings: &mut BTreeSet<Warning>,
) {
    let mut by_precedence = Vec::with_capacity(members.len() * 2);
    for index in by_age {
        let member = &members[index.0];
        for address in &member.node.mesh_addresses {
            match settings.mesh_cidrs.iter().find(|cidr| cidr.contains(address)) {
                Some(cidr) => {
                    let belonging = Belonging::of(cidr, *address, &member.node.name);
                    by_precedence.push((belonging, *index, *address, cidr));
                }
                None => {
                    let reason = WarningReason::OutsideMeshCidr;
                    warnings.insert(Warning::new(member.object(), "mesh-addresses", address, reason));
                }
            }
        }
    }
    // The stable sort keeps the order by age.
    by_precedence.sort_by_key(|(belonging, ..)| *belonging);
    for (belonging, index, address, cidr) in by_precedence {
        let member = &mut members[index.0];
        let reason = if member.mesh_address(Family::of(&address)).is_some() {
            WarningReason::Unreadable("one address for each family".to_owned())
        } else {
            match claims.addresses.claim(address, member.owner()) {
                Ok(()) => {
                    member.mesh_addresses.push(address);
                    continue;
                }
                Err(owner) if belonging > Belonging::of(cidr, address, owner.name) => {
                    WarningReason::AddressOfOther(owner.object())
                }
                Err(owner) => WarningReason::AlreadyClaimed(owner.object()),
            }
        };
        warnings.insert(Warning::new(member.object(), "mesh-addresses", address, reason));
    }
    for member in members {
        member.mesh_addresses.sort_unstable();
    }
}

fn admit_internal_addresses<'a>(
    member: &mut Member<'a>,
    settings: &Settings,
    claims: &mut ClusterClaims<'a>,
    warnings: &mut BTreeSet<Warning>,
) {
    let (field, addresses) = match &member.node.internal_addresses {
        InternalAddresses::None => return,
        InternalAddresses::Forced(addresses) => ("internal-addresses", addresses),
        InternalAddresses::Advertised(addresses) => ("advertised-internal-addresses", addresses),
    };
    for net in addresses {
        let address = net.addr();
        let reason = if let Some(reason) = refused_as_internal(member.node, address, settings) {
            Some(reason)
        } else if let Some(owner) = claims.ranges.overlap(&host_net(address)) {
            Some(owner.reason())
        } else {
            match claims.addresses.claim(address, member.owner()) {
                Ok(()) => None,
                Err(owner) if owner.index == member.index => continue,
                Err(owner) => Some(WarningReason::AlreadyClaimed(owner.object())),
            }
        };
        match reason {
            None => member.internal_addresses.push(*net),
            Some(reason) => {
                warnings.insert(Warning::new(member.object(), field, net, reason));
            }
        }
    }
}

/// Why an address of the node does not count as internal, whatever other nodes claim; `None` if it does.
pub(crate) fn refused_as_internal(node: &Node, address: IpAddr, settings: &Settings) -> Option<WarningReason> {
    if is_link_local(&address) {
        Some(WarningReason::LinkLocalInternalAddress)
    } else if settings.internal_address_bounds.as_ref().is_some_and(|bounds| !is_within(bounds, address)) {
        Some(WarningReason::OutsideInternalCidrs)
    } else {
        refused_as_public(node, address, settings)
    }
}

/// Why a public address does not count as internal; `None` if it does, or is not public.
fn refused_as_public(node: &Node, address: IpAddr, settings: &Settings) -> Option<WarningReason> {
    if !is_public(&address) || is_within(&settings.internal_cidrs, address) {
        return None;
    }
    match node.internal_addresses {
        InternalAddresses::Forced(_) if is_within(&settings.permitted_location_cidrs, address) => None,
        InternalAddresses::Forced(_) => Some(WarningReason::OutsidePermittedCidrs),
        InternalAddresses::Advertised(_) | InternalAddresses::None => Some(WarningReason::PublicInternalAddress),
    }
}

fn is_within(cidrs: &BTreeSet<IpNet>, address: IpAddr) -> bool {
    cidrs.iter().any(|cidr| cidr.contains(&address))
}
