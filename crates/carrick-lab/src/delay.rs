//! A delay on the path to a location: the location's router holds all packets from the internet for some time.
//!
//! The router routes the packets into a TUN device, and a process writes them back to the device when their time has come.

use std::time::Duration;

use anyhow::{Context as _, Result};
use tun_rs::DeviceBuilder;

use crate::delayed_packets::DelayedPackets;
use crate::namespace::Namespaces;
use crate::network;

/// The TUN device, and the routing table whose routes lead into it.
const DEVICE: &str = "delay0";
const TABLE: u32 = 4040;

/// A router that delays packets until this is dropped.
#[derive(Debug)]
pub struct Delay {
    router: Namespaces,
    _packets: DelayedPackets,
}

impl Delay {
    /// Delays all packets that arrive at `wan0` of a router without network address translation.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn start(router: &Namespaces, time: Duration) -> Result<Self> {
        let build = || DeviceBuilder::new().name(DEVICE).mtu(1500).build_sync();
        let device = router.enter(|| build().context("make a TUN device"))?;
        let device_settings = format!("net.ipv4.conf.{DEVICE}.rp_filter");
        network::sysctl(router, &[("net.ipv4.conf.all.rp_filter", "0"), (&device_settings, "0")])?;
        for family in ["-4", "-6"] {
            router.exec(&["ip", family, "route", "add", "default", "dev", DEVICE, "table", &TABLE.to_string()])?;
            router.exec(&["ip", family, "rule", "add", "iif", "wan0", "table", &TABLE.to_string()])?;
        }
        Ok(Self { router: router.clone(), _packets: DelayedPackets::start(device, time) })
    }
}

impl Drop for Delay {
    fn drop(&mut self) {
        for family in ["-4", "-6"] {
            // Fails only if the router does not exist any more.
            let _removed = self.router.exec(&["ip", family, "rule", "del", "iif", "wan0", "table", &TABLE.to_string()]);
        }
    }
}
