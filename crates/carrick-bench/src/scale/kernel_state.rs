//! The state of the node's kernel and of its WireGuard device, read by other means than the agent's.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::machine::Machine;

/// The socket of the WireGuard device (<https://www.wireguard.com/xplatform/>).
const WIREGUARD_SOCKET: &str = "/run/wireguard/carrick0.sock";
/// How long a change may take.
const LIMIT: Duration = Duration::from_secs(60);
/// How often the list of new routes is checked.
const ROUTE_POLL: Duration = Duration::from_millis(1);
/// How often the configuration of the WireGuard device is read, because the device reports no changes. With thousands of allowed IPs
/// an answer takes milliseconds, and the agent's requests wait meanwhile: a shorter interval would measure the reads.
const WIREGUARD_POLL: Duration = Duration::from_millis(10);

/// The node's routes and WireGuard device.
pub(super) struct KernelState {
    wireguard: PathBuf,
    monitor: Child,
    /// The routes that were added since the start, each with its time.
    added: Arc<Mutex<Vec<(Instant, String)>>>,
}

impl KernelState {
    /// Watches the routes of the caller's network namespace.
    pub(super) fn open(machine: &Machine) -> Result<Self> {
        let mut monitor = Command::new("ip")
            .args(["-oneline", "monitor", "route"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("start ip monitor")?;
        let lines = BufReader::new(monitor.stdout.take().context("no pipe from ip")?).lines();
        let added = Arc::new(Mutex::new(Vec::new()));
        let seen = added.clone();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let now = Instant::now();
                let added = !line.starts_with("Deleted") && !line.starts_with("unreachable");
                let destination = line.split_whitespace().next().filter(|_| added);
                if let Some(destination) = destination {
                    seen.lock().unwrap_or_else(PoisonError::into_inner).push((now, destination.to_owned()));
                }
            }
        });
        Ok(Self { wireguard: machine.path(WIREGUARD_SOCKET), monitor, added })
    }

    /// The destinations of Carrick's routes.
    pub(super) fn routes(&self) -> Result<BTreeSet<String>> {
        let mut destinations = BTreeSet::new();
        for family in ["-4", "-6"] {
            let output = Command::new("ip").args([family, "route", "show", "table", "1107"]).output()?;
            for line in String::from_utf8_lossy(&output.stdout).lines() {
                let mut words = line.split_whitespace();
                // Each route has an unreachable route behind it.
                destinations.extend(words.next().filter(|word| *word != "unreachable").map(str::to_owned));
            }
        }
        Ok(destinations)
    }

    /// Waits until the WireGuard device has this endpoint for a peer. Returns the time at which it was seen.
    pub(super) fn await_endpoint(&self, public_key: &[u8; 32], endpoint: &str) -> Result<Instant> {
        let peer = format!("public_key={}\n", hexadecimal(public_key));
        let wanted = format!("\nendpoint={endpoint}\n");
        self.await_configuration(|text| {
            let Some((_, own)) = text.split_once(&peer) else { return false };
            own.split("public_key=").next().is_some_and(|own| format!("\n{own}").contains(&wanted))
        })
        .with_context(|| format!("endpoint {endpoint}"))
    }

    /// Waits until pod CIDRs are routed and, if the route is a tunnel, are allowed IPs of the WireGuard device. The agent adds routes
    /// last, so the WireGuard device is read after the routes have come.
    pub(super) fn await_pod_cidrs(&self, cidrs: &[String; 2], route: Route) -> Result<Instant> {
        let routed = self.await_routes(cidrs)?;
        match route {
            Route::InsideLocation => Ok(routed),
            Route::Tunnel => {
                let wanted = cidrs.each_ref().map(|cidr| format!("allowed_ip={cidr}\n"));
                let is_there = |text: &str| wanted.iter().all(|line| text.contains(line));
                if is_there(&self.wireguard_configuration()?) {
                    return Ok(routed);
                }
                self.await_configuration(is_there).with_context(|| format!("{cidrs:?}"))
            }
        }
    }

    fn await_routes(&self, cidrs: &[String; 2]) -> Result<Instant> {
        let limit = Instant::now() + LIMIT;
        loop {
            if let [Some(v4), Some(v6)] = cidrs.each_ref().map(|cidr| self.arrival(cidr)) {
                return Ok(v4.max(v6));
            }
            if Instant::now() > limit {
                bail!("{cidrs:?} are not routed after {} s", LIMIT.as_secs());
            }
            std::thread::sleep(ROUTE_POLL);
        }
    }

    fn arrival(&self, cidr: &str) -> Option<Instant> {
        let added = self.added.lock().unwrap_or_else(PoisonError::into_inner);
        added.iter().rev().find(|(_, destination)| destination == cidr).map(|(time, _)| *time)
    }

    fn await_configuration(&self, is_there: impl Fn(&str) -> bool) -> Result<Instant> {
        let limit = Instant::now() + LIMIT;
        loop {
            let text = self.wireguard_configuration()?;
            let now = Instant::now();
            if is_there(&text) {
                return Ok(now);
            }
            if now > limit {
                bail!("the WireGuard device does not have it after {} s", LIMIT.as_secs());
            }
            std::thread::sleep(WIREGUARD_POLL);
        }
    }

    fn wireguard_configuration(&self) -> Result<String> {
        let mut stream = UnixStream::connect(&self.wireguard).context("connect to the WireGuard device")?;
        stream.write_all(b"get=1\n\n")?;
        stream.shutdown(std::net::Shutdown::Write)?;
        let mut text = String::new();
        stream.read_to_string(&mut text).context("read the WireGuard device's configuration")?;
        Ok(text)
    }
}

impl Drop for KernelState {
    fn drop(&mut self) {
        // Fails only if the process has ended.
        drop(self.monitor.kill());
        drop(self.monitor.wait());
    }
}

/// How the traffic to a node travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// Inside the own location, without WireGuard.
    InsideLocation,
    /// Through a WireGuard tunnel to another location.
    Tunnel,
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
