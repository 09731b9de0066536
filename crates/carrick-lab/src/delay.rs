//! A long way: everything that comes from the internet to a location waits at its router for a while.
//!
//! The kernel may have no netem, so a process of the router's holds the packets: they are routed into a TUN device, and written back into it
//! when their time has come.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::AsFd as _;
use tun_rs::{DeviceBuilder, SyncDevice};

use crate::namespace::Namespaces;
use crate::network;

/// The device, the table that leads into it, and the priority of the rules that lead to the table.
const DEVICE: &str = "delay0";
const TABLE: u32 = 4040;
/// How often the threads look whether they should end, in milliseconds.
const LOOK_AROUND: u16 = 100;

/// A router that holds packets back, until this is dropped.
#[derive(Debug)]
pub struct Delay {
    router: Namespaces,
    ended: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Delay {
    /// Holds back what comes in by `wan0` of a router that does not translate addresses.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn start(router: &Namespaces, time: Duration) -> Result<Self> {
        let build = || DeviceBuilder::new().name(DEVICE).mtu(1500).build_sync();
        let device = Arc::new(router.enter(|| build().context("make a TUN device"))?);
        let device_settings = format!("net.ipv4.conf.{DEVICE}.rp_filter");
        network::sysctl(router, &[("net.ipv4.conf.all.rp_filter", "0"), (&device_settings, "0")])?;
        for family in ["-4", "-6"] {
            router.exec(&["ip", family, "route", "add", "default", "dev", DEVICE, "table", &TABLE.to_string()])?;
            router.exec(&["ip", family, "rule", "add", "iif", "wan0", "table", &TABLE.to_string()])?;
        }
        let ended = Arc::new(AtomicBool::new(false));
        let (late, due) = channel();
        let (reader, reader_ended) = (Arc::clone(&device), Arc::clone(&ended));
        let threads = vec![
            std::thread::spawn(move || read(&reader, &reader_ended, time, &late)),
            std::thread::spawn(move || write(&device, &due)),
        ];
        Ok(Self { router: router.clone(), ended, threads })
    }
}

impl Drop for Delay {
    fn drop(&mut self) {
        for family in ["-4", "-6"] {
            // Without the router there is no rule either.
            let _gone = self.router.exec(&["ip", family, "rule", "del", "iif", "wan0", "table", &TABLE.to_string()]);
        }
        self.ended.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ended = thread.join();
        }
    }
}

/// Takes what leaves by a device, until the end.
pub(crate) fn read(device: &SyncDevice, ended: &AtomicBool, time: Duration, late: &Sender<(Instant, Vec<u8>)>) {
    let mut buffer = vec![0; 65_536];
    while !ended.load(Ordering::Relaxed) {
        let mut waited = [PollFd::new(device.as_fd(), PollFlags::POLLIN)];
        if poll(&mut waited, PollTimeout::from(LOOK_AROUND)).unwrap_or(0) == 0 {
            continue;
        }
        let Ok(length) = device.recv(&mut buffer) else { return };
        if late.send((Instant::now() + time, buffer[..length].to_vec())).is_err() {
            return;
        }
    }
}

/// Puts each packet back when its time has come.
pub(crate) fn write(device: &SyncDevice, due: &Receiver<(Instant, Vec<u8>)>) {
    for (at, packet) in due {
        std::thread::sleep(at.saturating_duration_since(Instant::now()));
        // What the router refuses is lost, as on any way.
        let _lost = device.send(&packet);
    }
}
