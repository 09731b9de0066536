//! What only one attachment can have: an address, a port of the host. A symbolic link by the thing's name leads to the
//! owner's record; making it is the taking.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::{Record, disk};
use crate::attachment::Attachment;
use crate::host_port::HostPort;

pub(super) const ATTACHMENTS: &str = "attachments";
pub(super) const ADDRESSES: &str = "addresses";
pub(super) const HOST_PORTS: &str = "host-ports";

/// One thing that is to be had, by the path of its link under the store's directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Claim(PathBuf);

impl Claim {
    pub(super) fn address(address: IpAddr) -> Self {
        Self(Path::new(ADDRESSES).join(address.to_string()))
    }

    pub(super) fn host_port(port: &HostPort) -> Self {
        Self(Path::new(HOST_PORTS).join(port.file_name()))
    }

    /// All that a record names.
    pub(super) fn of(record: &Record) -> impl Iterator<Item = Self> {
        let addresses = record.addresses.iter().map(|address| Self::address(*address));
        addresses.chain(record.host_ports.iter().map(Self::host_port))
    }

    /// All that anybody has, with the owners' keys.
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

    /// The key of the attachment that has it.
    pub(super) fn owner(&self, store: &Path) -> io::Result<Option<String>> {
        match fs::read_link(self.path(store)) {
            Ok(link) => Ok(link.file_name().map(|key| key.to_string_lossy().into_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn take(&self, store: &Path, attachment: &Attachment) -> io::Result<()> {
        disk::link(&Path::new("..").join(ATTACHMENTS).join(attachment.key()), &self.path(store))
    }

    /// Gives it back, if it is this attachment's.
    pub(super) fn give_back(&self, store: &Path, attachment: &Attachment) -> io::Result<()> {
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

/// The names in a directory; none where there is no directory.
pub(super) fn names(directory: &Path) -> io::Result<BTreeSet<String>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        entries => entries?,
    };
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}
