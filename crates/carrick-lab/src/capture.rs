//! Packet captures on an interface in a namespace, with `tcpdump`.

pub mod filter;
pub mod marked;

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;

use crate::namespace::Namespaces;
use crate::process::Process;

/// How many bytes of a packet are captured: all headers, also those inside a tunnel. The kernel's buffer reserves this size for
/// each packet.
const SNAPSHOT_BYTES: &str = "256";

/// A running capture.
#[derive(Debug)]
pub struct Capture {
    process: Process,
    packets: Arc<Mutex<Vec<String>>>,
    readers: [JoinHandle<()>; 2],
    dropped: Arc<Mutex<Option<String>>>,
}

impl Capture {
    /// Starts to capture the packets that a filter (pcap-filter(7)) matches on an interface (`any` for all interfaces).
    ///
    /// # Errors
    /// The interface does not exist, or the filter is invalid.
    pub fn start(inside: &Namespaces, interface: &str, filter: &str) -> Result<Self> {
        Self::spawn(inside, interface, &[], filter)
    }

    /// As [`Capture::start`], for a filter that matches VXLAN on any port: a line for the inner packet follows the line of each packet.
    ///
    /// # Errors
    /// As [`Capture::start`].
    pub fn of_vxlan(inside: &Namespaces, interface: &str, filter: &str) -> Result<Self> {
        Self::spawn(inside, interface, &["-T", "vxlan"], filter)
    }

    fn spawn(inside: &Namespaces, interface: &str, options: &[&str], filter: &str) -> Result<Self> {
        let mut command = Command::new("tcpdump");
        command
            .args(["-i", interface, "-nn", "-l", "--immediate-mode", "-B", "16384"])
            .args(["-s", SNAPSHOT_BYTES])
            .args(options)
            .arg(filter)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = inside.spawn(&mut command)?;
        let stdout = child.stdout.take().context("no pipe from tcpdump")?;
        let mut stderr = BufReader::new(child.stderr.take().context("no pipe from tcpdump")?);
        let process = Process::adopt(child)?;
        await_start(&mut stderr)?;
        let packets = Arc::new(Mutex::new(Vec::new()));
        let dropped = Arc::new(Mutex::new(None));
        let (seen, reported) = (packets.clone(), dropped.clone());
        let readers = [
            std::thread::spawn(move || {
                let lines = BufReader::new(stdout).lines().map_while(Result::ok);
                // When tcpdump is interrupted, it prints an additional end of line.
                for line in lines.filter(|line| !line.is_empty()) {
                    lock(&seen).push(line);
                }
            }),
            std::thread::spawn(move || {
                for line in stderr.lines().map_while(Result::ok) {
                    if line.contains("dropped by kernel") {
                        *lock(&reported) = Some(line);
                    }
                }
            }),
        ];
        Ok(Self { process, packets, readers, dropped })
    }

    /// The packets so far, one line each, as `tcpdump` prints them.
    #[must_use]
    pub fn packets(&self) -> Vec<String> {
        lock(&self.packets).clone()
    }

    /// Ends the capture and returns all packets.
    ///
    /// # Errors
    /// The kernel dropped packets.
    pub fn stop(self) -> Result<Vec<String>> {
        self.process.signal(Signal::SIGINT)?;
        let _status = self.process.wait();
        for reader in self.readers {
            let _ended = reader.join();
        }
        let dropped = lock(&self.dropped).take().context("tcpdump printed no statistics")?;
        ensure!(dropped.trim_start().starts_with("0 "), "the capture is not complete: {dropped}");
        Ok(std::mem::take(&mut lock(&self.packets)))
    }
}

/// Reads until `tcpdump` reports that it listens.
fn await_start(stderr: &mut impl std::io::BufRead) -> Result<()> {
    let mut said = String::new();
    loop {
        let start = said.len();
        let length = stderr.read_line(&mut said).context("read from tcpdump")?;
        ensure!(length > 0, "tcpdump ended: {}", said.trim_end());
        if said[start..].contains("listening on") {
            return Ok(());
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
