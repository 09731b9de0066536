//! The wanted endpoints at the time of the latest write. A peer's endpoint moves with the peer, so the endpoint in the kernel cannot tell
//! whether the wanted endpoint changed. The file survives restarts of the agent.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use carrick_files::{Durability, Replacement, remove_file_if_present};
use carrick_netlink::wireguard::PublicKey;

/// The wanted endpoints by peer.
pub type Endpoints = BTreeMap<PublicKey, SocketAddr>;

/// A file of wanted endpoints: one line per peer, key and endpoint.
#[derive(Debug)]
pub struct EndpointMemory {
    file: PathBuf,
    endpoints: Endpoints,
}

impl EndpointMemory {
    /// The file's name in the run folder.
    pub const FILE: &str = "endpoints";

    /// Reads the file. A missing or damaged file counts as empty: the file only tells whether a wanted endpoint changed while the agent did not
    /// run.
    #[must_use]
    pub fn open(file: PathBuf) -> Self {
        let text = match std::fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => {
                tracing::warn!(event = "endpoint_memory_unreadable", file = %file.display(), %error);
                String::new()
            }
        };
        Self { file, endpoints: text.lines().filter_map(parse).collect() }
    }

    /// The endpoints that were wanted when they were last written.
    #[must_use]
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// Remembers `endpoints`; the file is written only when they differ.
    ///
    /// # Errors
    ///
    /// The file cannot be written; then they are remembered in memory only.
    pub fn remember(&mut self, endpoints: Endpoints) -> io::Result<()> {
        if endpoints == self.endpoints {
            return Ok(());
        }
        self.endpoints = endpoints;
        self.write()
    }

    /// Removes the file.
    ///
    /// # Errors
    ///
    /// The file is there and cannot be removed.
    pub fn forget(&mut self) -> io::Result<()> {
        self.endpoints.clear();
        remove_file_if_present(&self.file)
    }

    fn write(&self) -> io::Result<()> {
        Replacement { mode: 0o644, durability: Durability::ProcessEnd }.write_with(&self.file, |writer| {
            self.endpoints.iter().try_for_each(|(key, endpoint)| writeln!(writer, "{key} {endpoint}"))
        })
    }
}

fn parse(line: &str) -> Option<(PublicKey, SocketAddr)> {
    let (key, endpoint) = line.split_once(' ')?;
    let key = STANDARD.decode(key).ok()?.try_into().ok()?;
    Some((PublicKey(key), endpoint.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoints() -> Endpoints {
        [
            (PublicKey([1; 32]), "192.0.2.1:51820".parse().unwrap()),
            (PublicKey([2; 32]), "[2001:db8::1]:51820".parse().unwrap()),
        ]
        .into()
    }

    #[test]
    fn survives_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("endpoints");
        EndpointMemory::open(file.clone()).remember(endpoints()).unwrap();
        assert_eq!(*EndpointMemory::open(file).endpoints(), endpoints());
    }

    #[test]
    fn writes_only_what_differs() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("endpoints");
        let mut memory = EndpointMemory::open(file.clone());
        memory.remember(endpoints()).unwrap();
        std::fs::remove_file(&file).unwrap();
        memory.remember(endpoints()).unwrap();
        assert!(!file.exists());
    }

    #[test]
    fn damaged_lines_are_ignored() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("endpoints");
        let good = PublicKey([1; 32]);
        std::fs::write(&file, format!("\u{0}garbage\n{good} 192.0.2.1:51820\nshort 192.0.2.1:1\n{good}\n")).unwrap();
        let memory = EndpointMemory::open(file);
        assert_eq!(memory.endpoints().len(), 1);
        assert_eq!(memory.endpoints()[&good], "192.0.2.1:51820".parse().unwrap());
    }
}
