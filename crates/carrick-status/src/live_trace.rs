//! What probes along a way found: the page `/trace`.

use std::net::IpAddr;

use carrick_topology::NodeName;
use serde::{Deserialize, Serialize};

/// The page `/trace?to=ADDRESS&hops=NUMBER` of one agent: it sends a probe for each hop limit from 1 on, and tells who said what.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveTracePage {
    /// The agent's node: the node itself sends.
    #[serde(default)]
    pub node: Option<NodeName>,
    /// The address that it sends from.
    #[serde(default)]
    pub source: Option<IpAddr>,
    /// One for each hop limit, in order; none behind the first that ends the way.
    #[serde(default)]
    pub hops: Vec<LiveHop>,
    /// Why nothing could be sent, in words.
    #[serde(default)]
    pub not_sent: Option<String>,
}

/// What came of the probes with one hop limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveHop {
    /// How many hops they could take.
    pub hop_limit: u8,
    /// The first answer; absent where there was none.
    #[serde(default)]
    pub answer: Option<LiveAnswer>,
}

/// What somebody on the way said of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveAnswer {
    /// Who.
    pub from: IpAddr,
    /// What.
    pub said: HopSaid,
    /// From the probe to the answer, in microseconds.
    pub round_trip_us: u64,
}

/// What somebody on the way says of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HopSaid {
    /// It came as far as this, and would have gone on (ICMP time exceeded).
    Passes,
    /// It arrived (ICMP port unreachable, or an answer).
    Arrived,
    /// It does not get further (any other ICMP unreachable).
    Unreachable,
}

impl LiveTracePage {
    /// Whether a probe arrived.
    #[must_use]
    pub fn arrives(&self) -> bool {
        self.hops.iter().filter_map(|hop| hop.answer).any(|answer| answer.said == HopSaid::Arrived)
    }
}
