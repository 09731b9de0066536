//! The nodes that this one exchanges probes with, and the keys that it shares with each of them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use carrick_topology::PublicKey;
use carrick_topology::plan::{ProbeFormat, ProbePeer};

use crate::Now;
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
    pub(crate) given: Given,
    /// The packets that its agent understands.
    pub(crate) speaks: Speaks,
}

/// The session number that another node gave, by its answer to the newest probe.
#[derive(Debug, Default)]
pub(crate) struct Given {
    number: SessionNumber,
    /// The sequence number of the probe that it came with.
    sequence: u64,
    /// Until when no new number makes this node probe before its time.
    quiet_until: Now,
}

/// When a node is probed next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NextProbe {
    /// At its time.
    Regular,
    /// Now: the session begins with it.
    Now,
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

/// A node that gives a new number in each answer is not probed more often than this because of it.
const QUIET_TIME: Duration = Duration::from_secs(1);

impl Given {
    /// The number to repeat.
    pub(crate) const fn number(&self) -> SessionNumber {
        self.number
    }

    /// The node gave this number with its answer to the probe with this sequence number. An answer that another one has overtaken says
    /// nothing new.
    pub(crate) fn take(&mut self, now: Now, sequence: u64, number: SessionNumber) -> NextProbe {
        if sequence < self.sequence {
            return NextProbe::Regular;
        }
        let is_news = number != self.number;
        (self.number, self.sequence) = (number, sequence);
        if !is_news || now < self.quiet_until {
            return NextProbe::Regular;
        }
        self.quiet_until = now + QUIET_TIME;
        NextProbe::Now
    }
}

impl Peer {
    fn new(keys: PairKeys) -> Self {
        Self { keys, inbound: Inbound::default(), given: Given::default(), speaks: Speaks::AsPublished }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn an_answer_that_was_overtaken_gives_no_session_number() {
        let mut given = Given::default();
        assert_eq!(given.take(SECOND, 10, SessionNumber(5)), NextProbe::Now);
        assert_eq!(given.take(SECOND * 9, 9, SessionNumber(4)), NextProbe::Regular);
        assert_eq!(given.number(), SessionNumber(5));
        assert_eq!(given.take(SECOND * 9, 11, SessionNumber(6)), NextProbe::Now);
        assert_eq!(given.number(), SessionNumber(6));
    }

    #[test]
    fn a_node_that_gives_a_new_session_number_in_each_answer_is_hurried_once_a_second() {
        let mut given = Given::default();
        let hurried = (0..100_u32)
            .filter(|round| {
                let session = SessionNumber(u64::from(*round) + 1);
                given.take(SECOND * 10 + SECOND / 20 * *round, (*round).into(), session) == NextProbe::Now
            })
            .count();
        assert_eq!(hurried, 5);
        assert_eq!(given.number(), SessionNumber(100));
    }
}
