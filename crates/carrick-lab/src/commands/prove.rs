//! The proof that packets between locations travel in WireGuard only.

use std::fmt;
use std::time::Duration;

use anyhow::Result;
use carrick_lab::capture::{Capture, filter};
use carrick_lab::daemon::{LabDaemon, Request};
use carrick_lab::description::{Description, INTERNET};
use carrick_lab::matrix::{self, MatrixOptions};
use carrick_lab::namespace::Namespaces;
use carrick_lab::network;
use serde::Serialize;

/// A short timeout, for pairs that must not reach each other.
const SHORT: MatrixOptions = MatrixOptions { timeout: Duration::from_secs(2), tcp_bytes: 0 };
/// How many of the other packets are shown.
const EXAMPLES: usize = 10;

/// Counts WireGuard packets: WireGuard's port, and one of the four message types with three zero bytes behind it.
const COUNTER: &str = "
    table inet proof
    delete table inet proof
    table inet proof {
        counter wireguard { }
        chain arriving {
            type filter hook prerouting priority raw;
            udp sport != 51820 udp dport != 51820 accept
            @th,64,32 { 0x01000000, 0x02000000, 0x03000000, 0x04000000 } counter name wireguard
        }
    }";

/// The result.
#[derive(Debug, Serialize)]
pub struct Proof {
    /// The number of WireGuard packets between locations during the measurement.
    wireguard_packets: u64,
    /// The number of other packets between locations, during the measurement and with WireGuard stopped.
    other_packets: usize,
    /// The first of those.
    examples: Vec<String>,
    /// The number of pairs in different locations.
    crossing_pairs: usize,
    /// How many of these pairs reached each other with WireGuard stopped.
    reaching_without_wireguard: usize,
    /// Whether there were WireGuard packets and no others, and no pair reached each other with WireGuard stopped.
    pub ok: bool,
}

/// A counter and a capture in the internet.
pub struct Watch {
    internet: Namespaces,
    other: Capture,
}

impl Watch {
    /// Starts to count WireGuard packets and to capture all others.
    ///
    /// # Errors
    /// `nft` or `tcpdump` cannot be started.
    pub fn start(description: &Description) -> Result<Self> {
        let internet = description.namespaces(INTERNET)?;
        network::nft(&internet, COUNTER)?;
        let others = format!("not ({}) and not ({})", filter::wireguard(), filter::background());
        Ok(Self { other: Capture::start(&internet, "any", &others)?, internet })
    }

    /// Stops WireGuard on all nodes, measures all pairs again, and evaluates the captures. The agents run again afterwards.
    ///
    /// # Errors
    /// A node or the capture fails.
    pub fn prove(self, daemon: &mut LabDaemon, description: &Description) -> Result<Proof> {
        let wireguard_packets = network::counter(&self.internet, "proof", "wireguard")?;
        daemon.request(Request::KillAgents)?;
        for node in description.nodes.keys() {
            network::configure(&description.namespaces(node)?, |kernel| kernel.delete_link("carrick0"))?;
        }
        let pairs = matrix::measure(&description.endpoints()?, SHORT)?;
        let crossing: Vec<_> = pairs.iter().filter(|pair| pair.crosses).collect();
        let reaching_without_wireguard = crossing.iter().filter(|pair| pair.reachable).count();
        let mut others = self.other.stop()?;
        daemon.request(Request::StartAgents)?;
        let other_packets = others.len();
        others.truncate(EXAMPLES);
        Ok(Proof {
            wireguard_packets,
            other_packets,
            examples: others,
            crossing_pairs: crossing.len(),
            reaching_without_wireguard,
            ok: wireguard_packets > 0 && other_packets == 0 && reaching_without_wireguard == 0,
        })
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "between locations: {} WireGuard packets, {} other packets",
            self.wireguard_packets, self.other_packets
        )?;
        for packet in &self.examples {
            writeln!(f, "  {packet}")?;
        }
        writeln!(
            f,
            "with WireGuard stopped: {} of {} pairs in different locations reach each other",
            self.reaching_without_wireguard, self.crossing_pairs
        )
    }
}
