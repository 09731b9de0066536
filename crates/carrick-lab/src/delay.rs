//! A long way: everything that comes from the internet to a location waits at its router for a while.
//!
//! Its packets are routed into a TUN device, and written back into it when their time has come.

use std::time::Duration;

use anyhow::{Context as _, Result};
use tun_rs::DeviceBuilder;

use crate::delayed_packets::DelayedPackets;
use crate::namespace::Namespaces;
use crate::network;

/// The device, the table that leads into it, and the priority of the rules that lead to the table.
const DEVICE: &str = "delay0";
const TABLE: u32 = 4040;

/// A router that holds packets back, until this is dropped.
#[derive(Debug)]
pub struct Delay {
    router: Namespaces,
    _packets: DelayedPackets,
}

impl Delay {
    /// Holds back what comes in by `wan0` of a router that does not translate addresses.
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
            // Without the router there is no rule either.
            let _gone = self.router.exec(&["ip", family, "rule", "del", "iif", "wan0", "table", &TABLE.to_string()]);
        }
    }
}
