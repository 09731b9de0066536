//! The members of the mesh, with those of their claims that count.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use super::claims::{AddressClaims, Claims};
use super::index::{LocationIndex, MemberIndex};
use crate::mesh_address::{Belonging, precedence};
use crate::model::{
    Cluster, Endpoint, Family, InternalAddresses, Node, PublicKey, Settings, host_net, is_link_local, is_public,
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
    /// Endpoints that other locations can dial: IPv4, then IPv6, then names.
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

impl Member<'_> {
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
}

/// The networks and addresses of the cluster itself: claimed by nodes, or reserved by settings.
#[derive(Default)]
pub(super) struct ClusterClaims {
    /// Mesh, Service and pod CIDRs.
    pub(super) ranges: Claims<RangeOwner>,
    /// Internal and mesh addresses.
    pub(super) addresses: AddressClaims,
    /// Allowed-location CIDRs, and after them the allowed IPs of outside peers.
    pub(super) outside_networks: Claims<ObjectName>,
    pub(super) keys: BTreeMap<PublicKey, ObjectName>,
    location_networks: Vec<(IpNet, MemberIndex)>,
}

/// The owner of a network of the cluster itself.
#[derive(Clone, Debug)]
pub(super) enum RangeOwner {
    Mesh(IpNet),
    Service(IpNet),
    Pods(ObjectName, IpNet),
}

impl RangeOwner {
    pub(super) fn reason(&self) -> WarningReason {
        WarningReason::OverlapsCluster(match self {
            Self::Mesh(cidr) => format!("the mesh CIDR {cidr}"),
            Self::Service(cidr) => format!("the Service CIDR {cidr}"),
            Self::Pods(owner, cidr) => format!("the pod CIDR {cidr} of {owner}"),
        })
    }
}

/// Admits the nodes that share their key with no other node that precedes them. A node that proves that it holds the private key precedes
/// one that does not, a node precedes others at the mesh addresses that belong to its name, and of all other claims of the same thing, the
/// one of the older node counts.
pub(super) fn admit<'a>(
    cluster: &'a Cluster,
    settings: &Settings,
    warnings: &mut BTreeSet<Warning>,
) -> (Vec<Member<'a>>, ClusterClaims) {
    let mut claims = reserved(settings);
    let mut by_age: Vec<&Node> = cluster.nodes.values().collect();
    by_age.sort_by_key(|node| node.age());

    admit_keys(&by_age, &mut claims, warnings);
    let mut members: Vec<Member<'a>> =
        by_age.into_iter().filter_map(|node| admit_node(node, &mut claims, warnings)).collect();
    admit_mesh_addresses(&mut members, settings, &mut claims, warnings);
    for member in &mut members {
        member.internal_addresses = admit_internal_addresses(member.node, settings, &mut claims, warnings);
    }
    for member in &mut members {
        ignore_endpoints_of_others(member, &claims, warnings);
    }
    members.sort_by(|a, b| a.node.name.cmp(&b.node.name));
    for (index, member) in members.iter_mut().enumerate() {
        member.index = MemberIndex(index);
    }
    (members, claims)
}

fn reserved(settings: &Settings) -> ClusterClaims {
    let mut claims = ClusterClaims::default();
    // If a Service CIDR overlaps the mesh CIDR, the mesh CIDR counts: the operator set both.
    for cidr in &settings.mesh_cidrs {
        let _ = claims.ranges.claim(*cidr, RangeOwner::Mesh(*cidr));
    }
    for cidr in &settings.service_cidrs {
        let _ = claims.ranges.claim(*cidr, RangeOwner::Service(*cidr));
    }
    claims
}

/// The field of a warning about a node's public key.
pub(crate) const PUBLIC_KEY_FIELD: &str = "public-key";

/// Gives each key to the first node with a proof, or else to the first node.
fn admit_keys(by_age: &[&Node], claims: &mut ClusterClaims, warnings: &mut BTreeSet<Warning>) {
    let (proven, claimed): (Vec<&Node>, Vec<&Node>) =
        by_age.iter().copied().partition(|node| node.public_key_proof.is_some());
    let proven_keys: BTreeSet<PublicKey> = proven.iter().filter_map(|node| node.public_key).collect();
    for node in proven.into_iter().chain(claimed) {
        let Some(key) = node.public_key else { continue };
        let object = ObjectName::Node(node.name.clone());
        if let Some(owner) = claims.keys.get(&key) {
            let reason = match node.public_key_proof {
                None if proven_keys.contains(&key) => WarningReason::KeyOfOther(owner.clone()),
                Some(_) | None => WarningReason::AlreadyClaimed(owner.clone()),
            };
            warnings.insert(Warning::new(object, PUBLIC_KEY_FIELD, key, reason));
            continue;
        }
        claims.keys.insert(key, object);
    }
}

fn admit_node<'a>(node: &'a Node, claims: &mut ClusterClaims, warnings: &mut BTreeSet<Warning>) -> Option<Member<'a>> {
    let object = ObjectName::Node(node.name.clone());
    let key = node.public_key.filter(|key| claims.keys.get(key) == Some(&object))?;
    Some(Member {
        index: MemberIndex(0),
        node,
        key,
        pod_cidrs: admit_pod_cidrs(node, claims, warnings),
        mesh_addresses: Vec::new(),
        internal_addresses: Vec::new(),
        endpoints: usable_endpoints(node),
        location: LocationIndex(0),
        carrier: None,
        owned_cidrs: Vec::new(),
        exit_cidrs: Vec::new(),
    })
}

fn admit_pod_cidrs(node: &Node, claims: &mut ClusterClaims, warnings: &mut BTreeSet<Warning>) -> Vec<IpNet> {
    let object = ObjectName::Node(node.name.clone());
    let mut admitted = Vec::new();
    for cidr in &node.pod_cidrs {
        let cidr = cidr.trunc();
        match claims.ranges.claim(cidr, RangeOwner::Pods(object.clone(), cidr)) {
            Ok(()) => admitted.push(cidr),
            Err(RangeOwner::Pods(owner, _)) => {
                let reason = WarningReason::AlreadyClaimed(owner.clone());
                warnings.insert(Warning::new(object.clone(), "pod-cidrs", cidr, reason));
            }
            Err(owner @ (RangeOwner::Mesh(_) | RangeOwner::Service(_))) => {
                warnings.insert(Warning::new(object.clone(), "pod-cidrs", cidr, owner.reason()));
            }
        }
    }
    admitted
}

/// Gives each mesh address to the claim that precedes the others. Mesh addresses are in reserved ranges, so that they overlap neither
/// internal addresses nor anything else here.
fn admit_mesh_addresses(
    members: &mut [Member<'_>],
    settings: &Settings,
    claims: &mut ClusterClaims,
    warnings: &mut BTreeSet<Warning>,
) {
    let mut by_precedence = Vec::new();
    for (position, member) in members.iter().enumerate() {
        for address in &member.node.mesh_addresses {
            match settings.mesh_cidrs.iter().find(|cidr| cidr.contains(address)) {
                Some(cidr) => by_precedence.push((precedence(cidr, *address, member.node), *address, position)),
                None => {
                    let reason = WarningReason::OutsideMeshCidr;
                    warnings.insert(Warning::new(member.object(), "mesh-addresses", address, reason));
                }
            }
        }
    }
    by_precedence.sort_unstable();
    let mut owned_by_name: BTreeSet<IpAddr> = BTreeSet::new();
    for ((belonging, ..), address, position) in by_precedence {
        let member = &mut members[position];
        let object = member.object();
        let reason = if member.mesh_address(Family::of(&address)).is_some() {
            WarningReason::Unreadable("one address for each family".to_owned())
        } else {
            match claims.addresses.claim(address, &object) {
                Ok(()) => {
                    member.mesh_addresses.push(address);
                    if belonging == Belonging::Own {
                        owned_by_name.insert(address);
                    }
                    continue;
                }
                Err(owner) if belonging == Belonging::Foreign && owned_by_name.contains(&address) => {
                    WarningReason::AddressOfOther(owner.clone())
                }
                Err(owner) => WarningReason::AlreadyClaimed(owner.clone()),
            }
        };
        warnings.insert(Warning::new(object, "mesh-addresses", address, reason));
    }
    for member in members {
        member.mesh_addresses.sort_unstable();
    }
}

fn admit_internal_addresses(
    node: &Node,
    settings: &Settings,
    claims: &mut ClusterClaims,
    warnings: &mut BTreeSet<Warning>,
) -> Vec<IpNet> {
    let object = ObjectName::Node(node.name.clone());
    let (field, addresses) = match &node.internal_addresses {
        InternalAddresses::None => return Vec::new(),
        InternalAddresses::Forced(addresses) => ("internal-addresses", addresses),
        InternalAddresses::Advertised(addresses) => ("advertised-internal-addresses", addresses),
    };
    let mut admitted = Vec::new();
    for net in addresses {
        let address = net.addr();
        let reason = if is_link_local(&address) {
            Some(WarningReason::LinkLocalInternalAddress)
        } else if settings.internal_address_bounds.as_ref().is_some_and(|bounds| !is_within(bounds, address)) {
            Some(WarningReason::OutsideInternalCidrs)
        } else if let Some(reason) = refused_as_public(node, address, settings) {
            Some(reason)
        } else if let Some(owner) = claims.ranges.overlap(&host_net(address)) {
            Some(owner.reason())
        } else {
            match claims.addresses.claim(address, &object) {
                Ok(()) => None,
                Err(owner) if *owner == object => continue,
                Err(owner) => Some(WarningReason::AlreadyClaimed(owner.clone())),
            }
        };
        match reason {
            None => admitted.push(*net),
            Some(reason) => {
                warnings.insert(Warning::new(object.clone(), field, net, reason));
            }
        }
    }
    admitted
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

fn usable_endpoints(node: &Node) -> Vec<&Endpoint> {
    if let Some(forced) = &node.endpoint {
        return vec![forced];
    }
    if node.is_behind_nat() {
        return Vec::new();
    }
    // Addresses sort before names, and IPv4 before IPv6. A node with a public address is not dialled at private ones of that family.
    let has_public = |family: Family| {
        node.advertised_endpoints
            .iter()
            .filter_map(Endpoint::address)
            .any(|address| Family::of(&address) == family && is_public(&address))
    };
    node.advertised_endpoints
        .iter()
        .filter(|endpoint| {
            endpoint.address().is_none_or(|address| is_public(&address) || !has_public(Family::of(&address)))
        })
        .collect()
}

/// An agent that advertises an address of another node would take the address out of the mesh's routes, because packets to an endpoint leave
/// beside the mesh.
fn ignore_endpoints_of_others(member: &mut Member<'_>, claims: &ClusterClaims, warnings: &mut BTreeSet<Warning>) {
    let object = member.object();
    let node = member.node;
    member.endpoints.retain(|endpoint| {
        let is_advertised = node.endpoint.as_ref() != Some(endpoint);
        let owner = endpoint.address().and_then(|address| claims.addresses.owner_of(&host_net(address)));
        match owner.filter(|owner| is_advertised && **owner != object) {
            None => true,
            Some(owner) => {
                let reason = WarningReason::OverlapsCluster(format!("an internal or mesh address of {owner}"));
                warnings.insert(Warning::new(object.clone(), "advertised-endpoints", endpoint, reason));
                false
            }
        }
    });
}

/// Gives each allowed-location CIDR to the oldest node that declares it; nodes of its location that declare the same
/// CIDR are further exits.
pub(super) fn settle_allowed_location_cidrs(
    members: &mut [Member<'_>],
    settings: &Settings,
    claims: &mut ClusterClaims,
    warnings: &mut BTreeSet<Warning>,
) {
    let mut by_age: Vec<MemberIndex> = members.iter().map(|member| member.index).collect();
    by_age.sort_by_key(|index| members[index.0].node.age());
    for index in by_age {
        let node = members[index.0].node;
        for cidr in node.allowed_location_cidrs.iter().map(IpNet::trunc) {
            let is_permitted = settings.permitted_location_cidrs.iter().any(|permitted| permitted.contains(&cidr));
            let settled = match is_permitted {
                true => settle_cidr(members, claims, index, cidr),
                false => Err(WarningReason::OutsidePermittedCidrs),
            };
            match settled {
                Ok(Claimed::First) => {
                    members[index.0].owned_cidrs.push(cidr);
                    members[index.0].exit_cidrs.push(cidr);
                }
                Ok(Claimed::Again) => members[index.0].exit_cidrs.push(cidr),
                Err(reason) => {
                    let object = ObjectName::Node(node.name.clone());
                    warnings.insert(Warning::new(object, "allowed-location-cidrs", cidr, reason));
                }
            }
        }
    }
    for (cidr, index) in &claims.location_networks {
        // They are disjoint, except for networks that overlap within one location: there the first one counts.
        let _ = claims.outside_networks.claim(*cidr, members[index.0].object());
    }
}

enum Claimed {
    /// No node declared it before.
    First,
    /// Another node of the same location declared it before.
    Again,
}

fn settle_cidr(
    members: &[Member<'_>],
    claims: &mut ClusterClaims,
    index: MemberIndex,
    cidr: IpNet,
) -> Result<Claimed, WarningReason> {
    if let Some(owner) = claims.ranges.overlap(&cidr) {
        return Err(owner.reason());
    }
    // A wider network may contain internal addresses: their routes have longer prefixes. A network of the same length would have two routes.
    if let Some(owner) = claims.addresses.owner_of(&cidr) {
        return Err(WarningReason::OverlapsCluster(format!("an internal address of {owner}")));
    }
    let overlaps = |other: &IpNet| other.contains(&cidr) || cidr.contains(other);
    let mut claimed = Claimed::First;
    for (other, owner) in claims.location_networks.iter().filter(|(other, _)| overlaps(other)) {
        let owner = &members[owner.0];
        if owner.location != members[index.0].location {
            return Err(WarningReason::AlreadyClaimed(owner.object()));
        }
        if *other == cidr {
            claimed = Claimed::Again;
        }
    }
    if matches!(claimed, Claimed::First) {
        claims.location_networks.push((cidr, index));
    }
    Ok(claimed)
}
