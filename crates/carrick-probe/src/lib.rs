//! Finds out which gateways are down, and measures the paths between nodes: round trips, loss and path MTU.
//!
//! The crate is a state machine without I/O and without a clock: the caller passes the time, sends the datagrams and acts on the events.
//!
//! ```text
//! ProbePlan, answers, time ──▶ Prober ──▶ datagrams to send
//!                                     ──▶ Liveness and path MTUs, for the next plan
//!                                     ──▶ ProbedPath of each target, for status pages and metrics
//! probes of others ──▶ Responder ──▶ which of them to answer
//! ```
//!
//! # The failure detector
//!
//! Each node detects failures alone, from its own probes, by one rule. Nodes send no votes and elect no leader: a gateway that fails is
//! silent for every node, so that all nodes come to the same result within some probe intervals. What nodes must agree on, the moment of a
//! return, follows from numbers that the returning gateway itself sends to all of them.
//!
//! ## What is observed
//!
//! A node sends an echo request, the *probe*, to each target of its plan. The *interval* is 250 ms by default (`--failover-interval`). It
//! is longer where a node has many targets, because a node sends 50 probes a second at most, and where a gateway has many nodes in its
//! location, because these nodes together send it 250 probes a second at most.
//!
//! The *timeout* of a probe is the interval, or twice the median round trip where that is longer, and never more than 1 s. A probe without
//! an answer after its timeout is *missed*. A later answer still counts as a sign of life.
//!
//! An answer says more than "alive":
//!
//! - which peers the answering node hears through its tunnels, and inside its location ([`HeardPeers`]);
//! - for how long that node has been well ([`Condition::well_ms`]);
//! - how often it *flapped*, which means went down ([`FlapCount`]);
//! - what goes encapsulated between the two nodes during a handover ([`HandoverFlags`]).
//!
//! An ICMP "port unreachable" is a sign of life of the kernel: the agent of that node restarts, and its data path works. Nothing
//! authenticates it, so that it counts only for a probe that no agent answers within its timeout. The path is then
//! [`PathState::AgentAway`], which is not a failure. It says nothing else: not that the node reaches others, not that it is well, and nothing
//! of other gateways. The kernel limits the rate of these messages; a probe that can have no refusal because of that limit is not missed, and no
//! such path is down before 2.25 s without a message.
//!
//! ## When a path is suspected, and when it is down
//!
//! A path is *suspected* after the first missed probe. A suspected path is probed without the wait for its turn, and so are the other
//! gateways of the same location, because their answers decide what the silence means. A path is *down* after three missed probes in a row
//! (the detection multiplier of BFD, RFC 5880 §6.8.4).
//!
//! ## When a gateway is down
//!
//! A gateway is down if its path is down, and if the agent of another gateway of its location answered a probe that was sent after the
//! silence began. Without that second condition, a failure of both at the same instant would look like a failure of the one that was probed first.
//!
//! A gateway that answers can be useless too: it is *isolated* if it says that it hears no peer on its other side. The other side is its
//! location for a node that reaches it through a tunnel, and its tunnels for a node of its own location. An isolated gateway is down if it
//! has said so for 500 ms, and if another gateway of its location had heard a peer on that side for 500 ms when the isolated one was last
//! probed. What it said last counts until its agent says otherwise: a kernel without an agent cannot hide it.
//!
//! ## When one tunnel is broken
//!
//! A silent gateway that another one shows to be down may be well, and only the tunnel to it broken. Until the detector knows, it treats the
//! tunnel as broken: the gateway is *bypassed*, which means that its own networks go through another gateway of its location too. The first answer
//! tells. If both ends were well since before the silence, the tunnel was broken, and both ends bypass it until the gateway counts as live
//! again. Otherwise the gateway is no longer bypassed: a node that was away uses its tunnels at once.
//!
//! Both ends of a tunnel must bypass it or neither, because each accepts the other's packets from one WireGuard peer only. After a short silence
//! one end may have found the other one down, and the other end may not. So each probe says whether its sender uses the tunnel ([`PathUse`]). An
//! end that bypasses a tunnel, and hears through it that the other end uses it, uses it again at once. If the other end also says that its location
//! sends by it, it counts as live again. This holds for returns too: the end that returns first ends the stable time of both.
//!
//! If no gateway of a location is heard, the node asks the gateways that it hears whether they hear one, and sends through one that
//! does: a *detour*. Only an answer to a probe that was sent 500 ms after the location became silent counts.
//!
//! ## When a whole location is silent
//!
//! If no gateway of a location answers, all of them may have failed, or a network between the two locations, or this node itself. A
//! probe cannot tell these apart, so that the detector tries what helps in the first case and does no harm in the others: it *passes over* the silent
//! gateways. They count as down, the plan has the next nodes in rank as gateways, and these are probed.
//!
//! - A node of another location waits for 500 ms, a node of the location itself for 1.5 s. So far gateways know the new gateway as a WireGuard
//!   peer when it initiates its first handshake. A location of which no gateway has answered since the agent's start is passed over after 6 s.
//! - If the new gateways are silent too, they are passed over in turn: three times in all.
//! - A gateway that was passed over and answers ends all that at once: the path was broken, nothing has moved that could be lost.
//! - A new gateway that answers has taken over: those that were passed over are down by the rule above, with a flap count and a stable time.
//! - For a second after that, silence beside an answer says nothing: not all gateways answer at the same instant.
//!
//! Gateways that were down stay down, and a return in progress starts again.
//!
//! A gateway of the same location knows more: if it hears peers itself, its location is not cut off.
//!
//! ## Grace for the node itself
//!
//! If the caller runs the prober late by more than 100 ms, this node was delayed (a busy machine, a paused virtual machine). Answers may
//! wait in the sockets, and other nodes may be as busy. So the timeouts of outstanding probes, and of those of the next 5 s, are extended by the
//! delay, up to 2 s.
//!
//! ## Return and flap damping
//!
//! A gateway that is heard again is *recovering*. It counts as down until it has been well for its *stable time*: 10 s after the first
//! flap, twice as long after each further one, and 5 min at most. A gateway that stays live for 15 min loses its flap count. This is flap
//! damping as in BGP (RFC 2439), with a time instead of a penalty.
//!
//! ## Agreement on the moment of the return
//!
//! All nodes must send by the gateway again at nearly the same moment. They agree without a message between them:
//!
//! - The gateway says for how long it has been well. The moment is that time plus the stable time; no clocks are compared.
//! - One node may have counted a flap that other nodes did not see. Each probe tells the gateway the count of the probing node, and the
//!   gateway answers all of them with the highest count of the last half minute. A node that counts any flap uses that number.
//!
//! - A gateway that other gateways ask to encapsulate, and that does not do so yet shortly before the moment, says that it has been well for a
//!   shorter time: all nodes postpone the moment, by 5 s at most.
//!
//! Gateways of one location whose moments are not more than 2 s apart return together at the later one, so that traffic moves once.
//!
//! From that moment on, traffic moves back to the gateway: see [`carrick_topology::handover`].
//!
//! # Drains
//!
//! A gateway that a person drains says so in its answers, and for how long. Ten seconds after it began, all nodes move their traffic to another
//! gateway of its location, as they move it back to a gateway that returns. It counts as down from then on, without a flap, and stays so until it
//! says that it serves: then it returns after the stable time. A gateway drains only while another one of its location is well and serves. Of two
//! that drain, the one that began first leaves. If all others fail, it carries traffic again at once.
//!
//! # Path MTU
//!
//! Padded probes find the largest packet that passes: first the size that the devices permit, then by bisection. A size does not pass if
//! three padded probes in a row have no answer while plain probes have. Padded probes say nothing of liveness.

#![forbid(unsafe_code)]

mod answer_limits;
mod detour;
mod duty;
mod extension;
mod failure_detector;
mod flap_count;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod handover;
mod heard_peers;
mod keys;
mod output;
mod pacing;
mod packet;
mod path_liveness;
mod path_mtu;
mod path_use;
mod peers;
mod position;
mod probe_port;
mod probed_path;
mod prober;
mod record;
mod session;
mod target;
mod targets;

/// A point of the monotonic clock, as the time since an origin that the caller chooses.
pub type Now = std::time::Duration;

pub use carrick_topology::model::Duty;
pub use carrick_topology::plan::{PathKind, ProbeFormat, ProbePeer};
pub use flap_count::FlapCount;
pub use handover::HandoverFlags;
pub use heard_peers::{HeardPeers, Reachability};
pub use output::{ProberEvent, Transmit};
pub use packet::{Announcement, AskedLocation, Condition, LocationTag, ProbeId};
pub use path_use::PathUse;
pub use position::Position;
pub use probe_port::{Identity, Outgoing, ProbePort, Refusal};
pub use probed_path::{PathState, ProbedPath, ROUND_TRIP_BOUNDS, RoundTrip, RoundTripCounts};
pub use prober::Prober;
pub use target::Shape;
