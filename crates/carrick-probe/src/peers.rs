//! The nodes that this one exchanges probes with, and the keys that it shares with each of them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use carrick_topology::PublicKey;
use carrick_topology::plan::{ProbeFormat, ProbePeer};

use crate::keys::{OwnKeys, PairKeys};
use crate::packet::{Addresses, SessionNumber, SignedPacket};
use crate::session::Inbound;

/// The nodes by address, and by public key what is kept of each.
#[derive(Debug)]
pub(crate) struct Peers {
    own: OwnKeys,
    by_address: BTreeMap<IpAddr, ProbePeer>,
    /// `None` where there is no secret that only the two nodes know.
    by_key: BTreeMap<PublicKey, Option<Peer>>,
}

/// What is kept of one other node for as long as it has the same key.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) keys: PairKeys,
    /// Its probes to this node.
    pub(crate) inbound: Inbound,
    /// The session number that it gave this node.
    pub(crate) given: SessionNumber,
    /// The packets that its agent understands.
    pub(crate) speaks: Speaks,
}

/// The packets that another agent understands, as far as this node knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaks {
    /// Those that its node publishes.
    AsPublished,
    /// Version 2: it has answered in that version.
    V2,
}

impl Peers {
    pub(crate) const fn new(own: OwnKeys) -> Self {
        Self { own, by_address: BTreeMap::new(), by_key: BTreeMap::new() }
    }

    /// The nodes from now on. What is kept of a node stays for as long as the node has the same key.
    pub(crate) fn set(&mut self, by_address: BTreeMap<IpAddr, ProbePeer>) {
        self.by_address = by_address;
        let keys: BTreeSet<&PublicKey> = self.by_address.values().map(|peer| &peer.public_key).collect();
        self.by_key.retain(|key, _| keys.contains(key));
    }

    /// The node with this address, as the plan describes it.
    pub(crate) fn at(&self, address: IpAddr) -> Option<&ProbePeer> {
        self.by_address.get(&address)
    }

    /// What is kept of a node. Its keys are computed when they are needed for the first time: once for each key, whatever arrives. `None`
    /// if there is no secret that only the two nodes know.
    pub(crate) fn get(&mut self, key: &PublicKey) -> Option<&mut Peer> {
        let own = &self.own;
        self.by_key.entry(*key).or_insert_with(|| own.agree(key).map(Peer::new)).as_mut()
    }

    /// What is kept of the node with this key, if the packet between these addresses has that node's code.
    pub(crate) fn sender_of(
        &mut self,
        signed: &SignedPacket<'_>,
        key: &PublicKey,
        addresses: Addresses,
    ) -> Option<&mut Peer> {
        self.get(key).filter(|peer| signed.is_signed_by(&peer.keys, addresses))
    }

    /// The version in which a node is probed.
    pub(crate) fn format(&self, peer: &ProbePeer) -> ProbeFormat {
        let known = self.by_key.get(&peer.public_key).and_then(Option::as_ref);
        match known.map_or(Speaks::AsPublished, |known| known.speaks) {
            Speaks::AsPublished => peer.format,
            Speaks::V2 => ProbeFormat::V2,
        }
    }
}

impl Peer {
    fn new(keys: PairKeys) -> Self {
        Self { keys, inbound: Inbound::default(), given: SessionNumber::NONE, speaks: Speaks::AsPublished }
    }
}
