//! WireGuard in a process of its own, through its UAPI socket.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use carrick_netlink::wireguard::{Device, DeviceChange};
use zeroize::Zeroizing;

use super::{WireGuard, WireGuardError};
use crate::desired::WireGuardMaker;

/// A process that hangs must not hang the agent.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// A process that did not answer last time is waited for shorter, by this factor: the agent asks again and again, and its thread has other
/// work.
const IMPATIENCE: u32 = 5;

/// WireGuard devices of processes that listen on `/run/wireguard/INTERFACE.sock`.
#[derive(Debug)]
pub struct UserspaceWireGuard {
    sockets: PathBuf,
    patience: Duration,
    /// Whether the process ran out of time when it was asked last.
    is_silent: bool,
    writes: u64,
}

impl Default for UserspaceWireGuard {
    fn default() -> Self {
        Self::below(Path::new("/run/wireguard"))
    }
}

impl UserspaceWireGuard {
    /// Devices whose sockets are in another folder.
    #[must_use]
    pub fn below(sockets: &Path) -> Self {
        Self { sockets: sockets.to_owned(), patience: ANSWER_TIMEOUT, is_silent: false, writes: 0 }
    }

    /// The same with another limit on the wait for an answer.
    #[must_use]
    pub fn answering_within(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Sends one request on a connection of its own and reads the answer up to its empty line.
    fn ask(&self, device: &str, request: &str) -> io::Result<Zeroizing<String>> {
        let mut stream = UnixStream::connect(self.sockets.join(format!("{device}.sock")))?;
        let patience = if self.is_silent { self.patience / IMPATIENCE } else { self.patience };
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        stream.write_all(request.as_bytes())?;
        let mut answer = Zeroizing::new(String::new());
        let mut lines = BufReader::new(stream);
        loop {
            let before = answer.len();
            lines.read_line(&mut answer)?;
            match &answer[before..] {
                "" => return Err(io::ErrorKind::UnexpectedEof.into()),
                "\n" => return Ok(answer),
                _ => {}
            }
        }
    }

    fn transaction(
        &mut self,
        operation: &'static str,
        device: &str,
        request: &str,
    ) -> Result<Zeroizing<String>, WireGuardError> {
        let answer = self.ask(device, request).map_err(|source| WireGuardError::Unreachable {
            operation,
            device: device.to_owned(),
            source,
        });
        self.is_silent = answer.as_ref().is_err_and(WireGuardError::is_silence);
        let answer = answer?;
        match carrick_uapi::error_number(&answer) {
            Some(0) => Ok(answer),
            errno => Err(WireGuardError::Refused {
                operation,
                device: device.to_owned(),
                errno: errno.unwrap_or(nix::errno::Errno::EPROTO as i32),
            }),
        }
    }

    fn set_one(&mut self, device: &str, change: &DeviceChange) -> Result<(), WireGuardError> {
        self.writes += 1;
        self.transaction("change", device, &carrick_uapi::write_request(change)).map(drop)
    }
}

impl WireGuard for UserspaceWireGuard {
    fn maker(&self) -> WireGuardMaker {
        WireGuardMaker::Process
    }

    fn get(&mut self, device: &str) -> Result<Device, WireGuardError> {
        let answer = self.transaction("read", device, carrick_uapi::GET)?;
        carrick_uapi::read_status(&answer)
            .map_err(|source| WireGuardError::Malformed { device: device.to_owned(), source })
    }

    fn set(&mut self, device: &str, changes: &[DeviceChange]) -> Vec<Result<(), WireGuardError>> {
        if changes.len() > 1 {
            match self.set_one(device, &joined(changes)) {
                Ok(()) => return changes.iter().map(|_| Ok(())).collect(),
                Err(WireGuardError::Unreachable { operation, source, .. }) => {
                    let same = |_| {
                        let source = io::Error::new(source.kind(), source.to_string());
                        Err(WireGuardError::Unreachable { operation, device: device.to_owned(), source })
                    };
                    return changes.iter().map(same).collect();
                }
                Err(_) => {}
            }
        }
        // Each on its own tells which one is refused.
        changes.iter().map(|change| self.set_one(device, change)).collect()
    }

    fn writes(&self) -> u64 {
        self.writes
    }
}

/// One change that does all; of the device's own settings, later ones win.
fn joined(changes: &[DeviceChange]) -> DeviceChange {
    let mut joined = DeviceChange::default();
    for change in changes {
        joined.private_key = change.private_key.clone().or(joined.private_key);
        joined.port = change.port.or(joined.port);
        joined.firewall_mark = change.firewall_mark.or(joined.firewall_mark);
        joined.peers.extend(change.peers.iter().cloned());
    }
    joined
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::time::Instant;

    use super::*;

    /// Listens, and never answers.
    fn hanging(folder: &Path) -> UnixListener {
        UnixListener::bind(folder.join("carrick0.sock")).unwrap()
    }

    #[test]
    fn a_process_that_hangs_is_silent_and_one_that_does_not_run_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let listener = hanging(folder.path());
        let mut client = UserspaceWireGuard::below(folder.path()).answering_within(Duration::from_millis(200));
        assert!(client.get("carrick0").unwrap_err().is_silence());
        drop(listener);
        assert!(!client.get("carrick0").unwrap_err().is_silence(), "no process listens");
        assert!(!client.get("carrick1").unwrap_err().is_silence(), "there is no socket");
    }

    #[test]
    fn a_process_that_hangs_holds_up_the_agent_once_for_the_whole_patience_and_not_for_each_peer() {
        let folder = tempfile::tempdir().unwrap();
        let _listener = hanging(folder.path());
        let patience = Duration::from_secs(4);
        let mut client = UserspaceWireGuard::below(folder.path()).answering_within(patience);
        assert!(client.get("carrick0").unwrap_err().is_silence());
        let started = Instant::now();
        let changes = vec![DeviceChange::default(); 50];
        let results = client.set("carrick0", &changes);
        assert!(results.iter().all(|result| result.as_ref().is_err_and(WireGuardError::is_silence)));
        assert_eq!((results.len(), client.writes()), (50, 1));
        assert!(started.elapsed() < patience, "{:?}", started.elapsed());
    }
}
