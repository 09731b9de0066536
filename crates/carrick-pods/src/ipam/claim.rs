//! Claims to addresses and host ports. Each belongs to one attachment at most.
//!
//! A claim is a symbolic link whose name is the address or host port and whose target is the record of the owner. Creating the link
//! makes the claim, in one step.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::disk;
use super::record::Record;
use crate::attachment::Attachment;
use crate::host_port::HostPort;

pub(super) const ATTACHMENTS: &str = "attachments";
pub(super) const ADDRESSES: &str = "addresses";
pub(super) const HOST_PORTS: &str = "host-ports";

/// An address or host port that an attachment can claim, as the path of the link below the store's directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Claim(PathBuf);

impl Claim {
    pub(super) fn address(address: IpAddr) -> Self {
        Self(Path::new(ADDRESSES).join(address.to_string()))
    }

    pub(super) fn host_port(port: &HostPort) -> Self {
        Self(Path::new(HOST_PORTS).join(port.file_name()))
    }

    /// The claims that a record names.
    pub(super) fn of(record: &Record) -> impl Iterator<Item = Self> {
        let addresses = record.addresses.iter().map(|address| Self::address(*address));
        addresses.chain(record.host_ports.iter().map(Self::host_port))
    }

    /// All claims in the store, each with the key of its owner.
    pub(super) fn all(store: &Path) -> io::Result<Vec<(Self, String)>> {
        let mut claims = Vec::new();
        for kind in [ADDRESSES, HOST_PORTS] {
            for name in names(&store.join(kind))? {
                let claim = Self(Path::new(kind).join(name));
                claims.extend(claim.owner(store)?.map(|owner| (claim, owner)));
            }
        }
        claims.sort();
        Ok(claims)
    }

    pub(super) fn path(&self, store: &Path) -> PathBuf {
        store.join(&self.0)
    }

    /// The key of the attachment that made the claim; `None` if there is none.
    pub(super) fn owner(&self, store: &Path) -> io::Result<Option<String>> {
        match fs::read_link(self.path(store)) {
            Ok(link) => Ok(link.file_name().map(|key| key.to_string_lossy().into_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn make(&self, store: &Path, attachment: &Attachment) -> io::Result<()> {
        disk::link(&Path::new("..").join(ATTACHMENTS).join(attachment.key()), &self.path(store))
    }

    /// Removes the claim if it belongs to this attachment.
    pub(super) fn remove(&self, store: &Path, attachment: &Attachment) -> io::Result<()> {
        if self.owner(store)?.is_some_and(|owner| owner == attachment.key()) {
            disk::remove(&self.path(store))?;
        }
        Ok(())
    }
}

impl std::fmt::Display for Claim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.display().fmt(f)
    }
}

/// The names in a directory; none if the directory does not exist.
pub(super) fn names(directory: &Path) -> io::Result<BTreeSet<String>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        entries => entries?,
    };
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}
