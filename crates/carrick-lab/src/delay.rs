//! A delay on the path to a location: the location's router holds all packets from the internet for some time.
//!
//! The router routes the packets into a TUN device, and a process writes them back to the device when their time has come.

use std::time::Duration;

use anyhow::{Context as _, Result};
use tun_rs::DeviceBuilder;

use crate::address::Family;
use crate::delayed_packets::DelayedPackets;
use crate::namespace::Namespaces;
use crate::network::{self, Route};

/// The TUN device, and the routing table whose routes lead into it.
const DEVICE: &str = "delay0";
const TABLE: u32 = 4040;
/// The router's interface to the internet.
const UPLINK: &str = "wan0";

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
        network::configure(router, |kernel| {
            Family::BOTH.into_iter().try_for_each(|family| {
                kernel.add_route(&Route::default_of(family, DEVICE).in_table(TABLE))?;
                kernel.add_rule(family, UPLINK, TABLE)
            })
        })?;
        Ok(Self { router: router.clone(), _packets: DelayedPackets::start(device, time) })
    }
}

impl Drop for Delay {
    fn drop(&mut self) {
        // Fails only if the router does not exist any more.
        let _removed = network::configure(&self.router, |kernel| {
            Family::BOTH.into_iter().try_for_each(|family| kernel.delete_rule(family, UPLINK, TABLE))
        });
    }
}
