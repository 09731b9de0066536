//! The page `/trace`: which hosts answer probes with growing hop limits.

use std::net::IpAddr;

use carrick_topology::NodeName;
use serde::{Deserialize, Serialize};

/// The page `/trace?to=ADDRESS&hops=NUMBER` of one agent. The agent sends one probe for each hop limit from 1 to NUMBER, and reports the
/// replies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveTracePage {
    /// The agent's node, which sends the probes.
    #[serde(default)]
    pub node: Option<NodeName>,
    /// The source address of the probes.
    #[serde(default)]
    pub source: Option<IpAddr>,
    /// One entry for each hop limit, in ascending order. The list ends with the first hop whose reply ends the path.
    #[serde(default)]
    pub hops: Vec<LiveHop>,
    /// Why the agent could not send any probe, for people; absent if it could.
    #[serde(default)]
    pub not_sent: Option<String>,
}

/// The result of the probes with one hop limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveHop {
    /// The hop limit (IPv4: time to live) of the probes.
    pub hop_limit: u8,
    /// The first reply; absent if there was none.
    #[serde(default)]
    pub reply: Option<LiveReply>,
}

/// A reply to a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveReply {
    /// The address that replied.
    pub from: IpAddr,
    /// The kind of the reply.
    pub kind: ReplyKind,
    /// The time from the probe to the reply, in microseconds.
    pub round_trip_us: u64,
}

/// The kind of a reply to a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReplyKind {
    /// ICMP time exceeded: a host on the path received the probe and would have forwarded it.
    TimeExceeded,
    /// ICMP port unreachable, or an answer: the probe reached its destination.
    Arrived,
    /// Any other ICMP destination unreachable: the probe cannot reach its destination.
    Unreachable,
}

impl LiveTracePage {
    /// Whether a probe reached its destination.
    #[must_use]
    pub fn arrives(&self) -> bool {
        self.hops.iter().filter_map(|hop| hop.reply).any(|reply| reply.kind == ReplyKind::Arrived)
    }
}
