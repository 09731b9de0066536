//! Everything that a node does on its probe port, without the sockets.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use carrick_topology::Liveness;
use carrick_topology::handover::HandoverInForce;
use carrick_topology::plan::{Egress, ProbeFormat, ProbePeer, ProbePlan};
use carrick_types::SecretKey;
use thiserror::Error;

use crate::Now;
use crate::answer_limits::AnswerLimits;
use crate::keys::OwnKeys;
use crate::output::{ProberEvent, Transmit};
use crate::packet::{
    Addresses, Announcement, Condition, Datagram, NotAPacket, Packet, ProbeId, SessionNumber, SignedPacket,
};
use crate::path_use::PathUse;
use crate::peers::{NextProbe, Peers, Speaks};
use crate::position::Position;
use crate::probed_path::ProbedPath;
use crate::prober::Prober;
use crate::session::Freshness;
use crate::target::Shape;

/// Headers of IPv4 and UDP, in bytes.
const HEADERS_V4: usize = 20 + 8;
/// Headers of IPv6 and UDP, in bytes.
const HEADERS_V6: usize = 40 + 8;
/// The largest datagram, in bytes.
const LARGEST_DATAGRAM: usize = 65_535;

/// What makes a node's packets its own.
#[derive(Debug)]
pub struct Identity {
    /// The node's private WireGuard key.
    pub private_key: SecretKey,
    /// A random number: the token of the node's probes.
    pub token: u64,
    /// A random number, from which the node counts the sessions that it offers.
    pub first_session: u64,
}

/// A datagram to send from and to the probe port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// The address that sends.
    pub from: IpAddr,
    /// The address that receives.
    pub to: IpAddr,
    /// The datagram.
    pub bytes: Vec<u8>,
    /// Its shape. The bytes have their padding already.
    pub shape: Shape,
    /// How it leaves.
    pub egress: Egress,
}

/// Why a datagram changes nothing and gets no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Error)]
pub enum Refusal {
    /// It is neither a probe nor an answer.
    #[error("the datagram is neither a probe nor an answer of version 1 or 2")]
    NotAPacket,
    /// No node of the plan has the address that it comes from.
    #[error("no node of the mesh has this address")]
    UnknownAddress,
    /// It has no code, and the node that it seems to come from sends codes.
    #[error("the packet has version 1, and the agent of this node sends version 2")]
    OldVersion,
    /// The node that it seems to come from did not send it to this address.
    #[error("the message authentication code is wrong")]
    WrongCode,
    /// It is an answer to no outstanding probe.
    #[error("the answer belongs to no outstanding probe")]
    NotAwaited,
    /// It is a probe that was here before.
    #[error("the probe was received before")]
    Repeated,
    /// This node has sent all the answers of this second.
    #[error("the limit of answers in a second is reached")]
    TooMany,
}

/// The probe port of one node: sends the probes of its [`Prober`], answers other nodes, and lets nothing in that another node did not send.
///
/// Drive it in a loop:
///
/// 1. Tell it what happened: [`ProbePort::set_plan`], [`ProbePort::set_handover`], [`ProbePort::take_datagram`],
///    [`ProbePort::take_port_unreachable`]. When [`ProbePort::next_deadline`] has passed, read all sockets first, then call
///    [`ProbePort::handle_timeout`].
/// 2. Send what [`ProbePort::next_outgoing`] returns.
/// 3. Act on what [`ProbePort::next_event`] returns.
#[derive(Debug)]
pub struct ProbePort {
    prober: Prober,
    peers: Peers,
    limits: AnswerLimits,
    /// For probes of version 1, which any host can forge: they use up no answers to others.
    limits_v1: AnswerLimits,
    last_session: u64,
    outgoing: VecDeque<Outgoing>,
}

impl ProbePort {
    /// A port that probes each target every `interval`, or less often if there are many. `known` is the liveness that the agent found before
    /// it was restarted.
    #[must_use]
    pub fn new(interval: Duration, identity: Identity, known: Liveness) -> Self {
        let Identity { private_key, token, first_session } = identity;
        Self {
            prober: Prober::new(interval, token, known),
            peers: Peers::new(OwnKeys::new(private_key)),
            limits: AnswerLimits::default(),
            limits_v1: AnswerLimits::default(),
            last_session: first_session,
            outgoing: VecDeque::new(),
        }
    }

    /// Probes the targets of this plan and exchanges packets with these nodes from now on.
    pub fn set_plan(&mut self, now: Now, position: Position, plan: &ProbePlan, peers: BTreeMap<IpAddr, ProbePeer>) {
        self.peers.set(peers);
        self.prober.set_plan(now, position, plan);
    }

    /// See [`Prober::set_interval`].
    pub const fn set_interval(&mut self, interval: Duration) {
        self.prober.set_interval(interval);
    }

    /// What the kernel holds of handovers by now. The gateways that it concerns are told at once.
    pub fn set_handover(&mut self, now: Now, in_force: HandoverInForce) {
        self.prober.set_handover(now, in_force);
    }

    /// A datagram came to an own address.
    ///
    /// # Errors
    /// The datagram is refused: nothing has changed, and no limit was used up unless that is the reason.
    pub fn take_datagram(&mut self, now: Now, from: IpAddr, at: IpAddr, bytes: &[u8]) -> Result<(), Refusal> {
        let datagram = Datagram::parse(bytes).map_err(|NotAPacket| Refusal::NotAPacket)?;
        let peer = *self.peers.at(from).ok_or(Refusal::UnknownAddress)?;
        let addresses = Addresses { from, to: at };
        match datagram {
            Datagram::V1(packet) => self.take_v1(now, addresses, &peer, packet),
            Datagram::V2(signed) => match signed.packet {
                Packet::Probe(id, announcement) => self.take_probe(now, addresses, &peer, &signed, id, announcement),
                Packet::Answer(id, condition) => self.take_answer(now, addresses, &peer, &signed, id, condition),
            },
        }
    }

    /// The kernel of the node with this address says that no agent listens on the probe port. It quotes the beginning of the datagram that it
    /// refuses.
    ///
    /// # Errors
    /// The quoted datagram is no outstanding probe to this node.
    pub fn take_port_unreachable(&mut self, now: Now, by: IpAddr, quoted: &[u8]) -> Result<(), Refusal> {
        match Datagram::parse(quoted).map_err(|NotAPacket| Refusal::NotAPacket)?.packet() {
            Packet::Probe(id, _) if self.prober.awaits(by, id) => self.prober.take_refusal(now, by, id),
            Packet::Probe(..) | Packet::Answer(..) => return Err(Refusal::NotAwaited),
        }
        Ok(())
    }

    /// Does what is due by now.
    pub fn handle_timeout(&mut self, now: Now) {
        self.prober.handle_timeout(now);
    }

    /// When [`ProbePort::handle_timeout`] must be called next, if nothing happens before.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Now> {
        self.prober.next_deadline()
    }

    /// The next datagram to send.
    pub fn next_outgoing(&mut self) -> Option<Outgoing> {
        while self.outgoing.is_empty() {
            let transmit = self.prober.next_transmit()?;
            self.seal(&transmit);
        }
        self.outgoing.pop_front()
    }

    /// The next change to act on.
    pub fn next_event(&mut self) -> Option<ProberEvent> {
        self.prober.next_event()
    }

    /// What is known of each path.
    #[must_use]
    pub fn paths(&self) -> Vec<ProbedPath> {
        self.prober.paths()
    }

    fn take_v1(&mut self, now: Now, addresses: Addresses, peer: &ProbePeer, packet: Packet) -> Result<(), Refusal> {
        if peer.format != ProbeFormat::V1 {
            return Err(Refusal::OldVersion);
        }
        match packet {
            Packet::Answer(..) if self.peers.format(peer) != ProbeFormat::V1 => return Err(Refusal::OldVersion),
            Packet::Probe(id, announcement) => {
                limited(&mut self.limits_v1, now, addresses.from)?;
                // Any host can say this without a code, and agents of this version do not.
                let announcement = Announcement { path_use: PathUse::Unsaid, ..announcement };
                self.prober.note_probe(now, addresses.from, peer.kind, announcement);
                let answer = Packet::Answer(id, self.prober.condition(now, addresses.from, announcement.asks));
                self.send(addresses.reversed(), answer.to_v1().to_vec(), Shape::Plain);
            }
            Packet::Answer(id, condition) if self.prober.awaits(addresses.from, id) => {
                self.prober.take_answer(now, addresses.from, id, condition);
            }
            Packet::Answer(..) => return Err(Refusal::NotAwaited),
        }
        Ok(())
    }

    fn take_probe(
        &mut self,
        now: Now,
        addresses: Addresses,
        peer: &ProbePeer,
        signed: &SignedPacket<'_>,
        id: ProbeId,
        announcement: Announcement,
    ) -> Result<(), Refusal> {
        let known = self.peers.sender_of(signed, &peer.public_key, addresses).ok_or(Refusal::WrongCode)?;
        let session = match known.inbound.take(now, id, signed.session) {
            Freshness::New(session) => {
                limited(&mut self.limits, now, addresses.from)?;
                self.prober.note_probe(now, addresses.from, peer.kind, announcement);
                session
            }
            // Not limited: a host that sends old probes again would use up a limit, and the nodes that start meanwhile would not be heard.
            Freshness::OutOfSession => known.inbound.offer(now, || next_session(&mut self.last_session)),
            Freshness::Repeated => return Err(Refusal::Repeated),
        };
        let answer = Packet::Answer(id, self.prober.condition(now, addresses.from, announcement.asks));
        let bytes = answer.to_v2(session, &known.keys, addresses.reversed(), 0);
        self.send(addresses.reversed(), bytes, Shape::Plain);
        Ok(())
    }

    fn take_answer(
        &mut self,
        now: Now,
        addresses: Addresses,
        peer: &ProbePeer,
        signed: &SignedPacket<'_>,
        id: ProbeId,
        condition: Condition,
    ) -> Result<(), Refusal> {
        if !self.prober.awaits(addresses.from, id) {
            return Err(Refusal::NotAwaited);
        }
        let known = self.peers.sender_of(signed, &peer.public_key, addresses).ok_or(Refusal::WrongCode)?;
        known.speaks = Speaks::V2;
        let next = known.given.take(now, id.sequence, signed.session);
        self.prober.take_answer(now, addresses.from, id, condition);
        match next {
            NextProbe::Now => self.prober.probe_now(now, addresses.from),
            NextProbe::Regular => {}
        }
        Ok(())
    }

    /// Writes a probe. A node that publishes an old protocol may have another agent by now, and this node may hear of that late: whenever the
    /// node does not answer, it is probed in both versions.
    fn seal(&mut self, transmit: &Transmit) {
        let &Transmit { from, to, id, announcement, shape } = transmit;
        let Some(peer) = self.peers.at(to).copied() else { return };
        let (packet, addresses) = (Packet::Probe(id, announcement), Addresses { from, to });
        let length = datagram_bytes(to, shape);
        let is_answered = self.prober.is_answered_by(to);
        if !is_answered && let Some(known) = self.peers.get(&peer.public_key) {
            known.speaks = Speaks::AsPublished;
        }
        let format = self.peers.format(&peer);
        if format == ProbeFormat::V1 {
            let mut bytes = packet.to_v1().to_vec();
            bytes.resize(length.max(bytes.len()), 0);
            self.send(addresses, bytes, shape);
        }
        if format == ProbeFormat::V2 || !is_answered {
            let Some(known) = self.peers.get(&peer.public_key) else { return };
            let bytes = packet.to_v2(known.given.number(), &known.keys, addresses, length);
            self.send(addresses, bytes, shape);
        }
    }

    fn send(&mut self, addresses: Addresses, bytes: Vec<u8>, shape: Shape) {
        let Addresses { from, to } = addresses;
        let egress = self.prober.egress(to);
        self.outgoing.push_back(Outgoing { from, to, bytes, shape, egress });
    }
}

fn limited(limits: &mut AnswerLimits, now: Now, to: IpAddr) -> Result<(), Refusal> {
    if limits.permits_answer(now, to) { Ok(()) } else { Err(Refusal::TooMany) }
}

fn next_session(last: &mut u64) -> SessionNumber {
    *last = last.wrapping_add(1);
    if SessionNumber(*last) == SessionNumber::NONE {
        *last = 1;
    }
    SessionNumber(*last)
}

/// The length of a datagram of this shape, in bytes; 0 if the packet is as long as it is.
fn datagram_bytes(to: IpAddr, shape: Shape) -> usize {
    let headers = if to.is_ipv4() { HEADERS_V4 } else { HEADERS_V6 };
    match shape {
        Shape::Plain => 0,
        Shape::Padded { ip_bytes } | Shape::Encapsulated { ip_bytes } => {
            usize::try_from(ip_bytes).unwrap_or(usize::MAX).saturating_sub(headers).min(LARGEST_DATAGRAM)
        }
    }
}
