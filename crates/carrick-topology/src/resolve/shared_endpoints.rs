//! Endpoints that do not lead to one node.
//!
//! A virtual address that moves between hosts, or a network that every machine has with the same address, makes two nodes publish one endpoint.
//! A handshake to it reaches the wrong node or the sender itself. Such an endpoint comes after all others of its node, and no node dials an
//! address of its own.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::member::Member;
use crate::model::{Endpoint, InternalAddresses};
use crate::{Warning, WarningReason};

/// Puts endpoints that several members have behind their other endpoints, except on a single member on which the operator forced it.
///
/// The endpoint stays the last choice, because an agent can publish any endpoint: otherwise one node could make others unreachable by
/// publishing theirs.
pub(super) fn demote(members: &mut [Member<'_>], warnings: &mut BTreeSet<Warning>) {
    for (endpoint, owners) in shared(members) {
        let forced: Vec<usize> = owners.iter().copied().filter(|index| is_forced(&members[*index])).collect();
        let kept_by = if forced.len() == 1 { forced.first().copied() } else { None };
        for index in owners.iter().copied().filter(|index| Some(*index) != kept_by) {
            let others = kept_by.into_iter().chain(owners.iter().copied());
            let Some(other) = others.into_iter().find(|other| *other != index) else { continue };
            let reason = WarningReason::SharedEndpoint(members[other].node.name.clone());
            let member = &mut members[index];
            member.endpoints.sort_by_key(|own| *own == endpoint);
            warnings.insert(Warning::new(member.object(), endpoint_field(member), endpoint, reason));
        }
    }
}

/// The endpoints that several members have, each with the positions of these members.
fn shared<'a>(members: &[Member<'a>]) -> Vec<(&'a Endpoint, Vec<usize>)> {
    let positions = members.iter().enumerate();
    let mut all: Vec<(&'a Endpoint, usize)> =
        positions.flat_map(|(index, member)| member.endpoints.iter().map(move |endpoint| (*endpoint, index))).collect();
    all.sort_unstable();
    let runs = all.chunk_by(|(a, _), (b, _)| a == b).filter(|run| run.len() > 1);
    let owners = |run: &[(&'a Endpoint, usize)]| Some((run.first()?.0, run.iter().map(|(_, index)| *index).collect()));
    runs.filter_map(owners).collect()
}

/// Whether a node itself has this address, so that its packets to the endpoint never leave it.
pub(super) fn is_own(from: &Member<'_>, address: IpAddr) -> bool {
    match &from.node.internal_addresses {
        InternalAddresses::Advertised(own) | InternalAddresses::Forced(own) => {
            own.iter().any(|net| net.addr() == address)
        }
        InternalAddresses::None => false,
    }
}

/// Warns of the endpoints of gateways that `me` cannot dial because it has their address itself.
pub(crate) fn warn_of_own<'m>(
    me: &Member<'_>,
    gateways: impl Iterator<Item = &'m Member<'m>>,
    warnings: &mut BTreeSet<Warning>,
) {
    for gateway in gateways {
        for endpoint in &gateway.endpoints {
            if endpoint.address().is_some_and(|address| is_own(me, address)) {
                let reason = WarningReason::OwnAddress(me.node.name.clone());
                warnings.insert(Warning::new(gateway.object(), endpoint_field(gateway), endpoint, reason));
            }
        }
    }
}

fn is_forced(member: &Member<'_>) -> bool {
    member.node.endpoint.is_some()
}

fn endpoint_field(member: &Member<'_>) -> &'static str {
    if is_forced(member) { "endpoint" } else { "advertised-endpoints" }
}
