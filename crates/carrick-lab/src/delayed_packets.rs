//! Packets that wait in a device: the kernel may have no netem, so a process holds them.

use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tun_rs::SyncDevice;

/// How often the threads look whether they should end, in milliseconds.
const LOOK_AROUND: u16 = 100;

/// Takes what leaves by a TUN or TAP device and puts it back when its time has come, until this is dropped.
#[derive(Debug)]
pub(crate) struct DelayedPackets {
    ended: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl DelayedPackets {
    /// Holds each packet back for this long.
    pub(crate) fn start(device: SyncDevice, time: Duration) -> Self {
        let (device, ended) = (Arc::new(device), Arc::new(AtomicBool::new(false)));
        let (late, due) = channel();
        let (reader, reader_ended) = (Arc::clone(&device), Arc::clone(&ended));
        let threads = vec![
            std::thread::spawn(move || read(&reader, &reader_ended, time, &late)),
            std::thread::spawn(move || write(&device, &due)),
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

fn read(device: &SyncDevice, ended: &AtomicBool, time: Duration, late: &Sender<(Instant, Vec<u8>)>) {
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

fn write(device: &SyncDevice, due: &Receiver<(Instant, Vec<u8>)>) {
    for (at, packet) in due {
        std::thread::sleep(at.saturating_duration_since(Instant::now()));
        // What the kernel refuses is lost, as on any way.
        let _lost = device.send(&packet);
    }
}
