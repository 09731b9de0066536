//! Delayed packets. The kernel may have no netem, so a process holds the packets.

use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tun_rs::SyncDevice;

/// How often the reading thread checks whether it should end, in milliseconds.
const POLL: u16 = 100;

/// Reads the packets that leave through a TUN or TAP device, and writes each back to the device after a delay, until this is dropped.
#[derive(Debug)]
pub(crate) struct DelayedPackets {
    ended: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl DelayedPackets {
    /// Delays each packet by this time.
    pub(crate) fn start(device: SyncDevice, delay: Duration) -> Self {
        let (device, ended) = (Arc::new(device), Arc::new(AtomicBool::new(false)));
        let (sender, packets) = channel();
        let (reader, reader_ended) = (Arc::clone(&device), Arc::clone(&ended));
        let threads = vec![
            std::thread::spawn(move || read(&reader, &reader_ended, delay, &sender)),
            std::thread::spawn(move || write(&device, &packets)),
        ];
        Self { ended, threads }
    }
}

impl Drop for DelayedPackets {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ended = thread.join();
        }
    }
}

fn read(device: &SyncDevice, ended: &AtomicBool, delay: Duration, packets: &Sender<(Instant, Vec<u8>)>) {
    let mut buffer = vec![0; 65_536];
    while !ended.load(Ordering::Relaxed) {
        let mut polled = [PollFd::new(device.as_fd(), PollFlags::POLLIN)];
        if poll(&mut polled, PollTimeout::from(POLL)).unwrap_or(0) == 0 {
            continue;
        }
        let Ok(length) = device.recv(&mut buffer) else { return };
        if packets.send((Instant::now() + delay, buffer[..length].to_vec())).is_err() {
            return;
        }
    }
}

fn write(device: &SyncDevice, packets: &Receiver<(Instant, Vec<u8>)>) {
    for (due, packet) in packets {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        // A packet that the kernel refuses is lost, as on any network path.
        let _lost = device.send(&packet);
    }
}
