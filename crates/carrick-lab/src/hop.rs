//! A long hop inside a location: what other nodes of the location send to a node over VXLAN waits there for a while.
//!
//! Between namespaces a hop takes some microseconds, less than the order in which one processor happens to serve two nodes. Between machines it
//! takes longer.

use std::time::Duration;

use anyhow::{Context as _, Result};
use tun_rs::{DeviceBuilder, Layer};

use crate::held_back::HeldBack;
use crate::namespace::Namespaces;
use crate::network;

const DEVICE: &str = "hop0";
/// Carrick's port of VXLAN.
const VXLAN_PORT: u16 = 51822;

/// A hop that takes longer, until this is dropped.
#[derive(Debug)]
pub struct LongHop {
    node: Namespaces,
    _packets: HeldBack,
}

impl LongHop {
    /// Holds back what comes in by `eth0` of a node.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn start(node: &Namespaces, time: Duration) -> Result<Self> {
        let address = node.exec(&["cat", "/sys/class/net/eth0/address"])?;
        let build = || DeviceBuilder::new().name(DEVICE).layer(Layer::L2).mtu(1500).build_sync();
        let device = node.enter(|| build().context("make a TAP device"))?;
        node.exec(&[
            "ip",
            "link",
            "set",
            DEVICE,
            "address",
            address.trim(),
            "arp",
            "off",
            "addrgenmode",
            "none",
            "up",
        ])?;
        // A device without an address has no way back that a filter would know.
        let own_filter = format!("net.ipv4.conf.{DEVICE}.rp_filter");
        network::sysctl(node, &[("net.ipv4.conf.all.rp_filter", "0"), (&own_filter, "0")])?;
        network::nft(
            node,
            &format!(
                "table netdev lab-hop {{
                  chain in {{ type filter hook ingress device eth0 priority 0; udp dport {VXLAN_PORT} fwd to {DEVICE}; }}
                }}"
            ),
        )?;
        Ok(Self { node: node.clone(), _packets: HeldBack::start(device, time) })
    }
}

impl Drop for LongHop {
    fn drop(&mut self) {
        // A node without power has no table either.
        let _gone = network::nft(&self.node, "delete table netdev lab-hop");
    }
}
