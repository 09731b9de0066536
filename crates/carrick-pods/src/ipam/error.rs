//! Errors of the store.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use carrick_netlink::Family;

use crate::attachment::Attachment;
use crate::host_port::HostPort;

/// Why an operation of the store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The attachment already has a record.
    #[error("container {} already has the interface {}; call DEL first", .0.container_id, .0.interface)]
    AttachedAlready(Attachment),
    /// All addresses of a family are in use.
    #[error("all {0} addresses of the node's pod CIDRs are in use")]
    Exhausted(Family),
    /// A requested address is not in the node's pod CIDRs.
    #[error("{0} is not among the usable addresses of the node's pod CIDRs")]
    OutOfRange(IpAddr),
    /// A requested address belongs to another attachment.
    #[error("the address {0} belongs to {1}")]
    AddressInUse(IpAddr, String),
    /// A requested host port belongs to another attachment.
    #[error("the host port {0} belongs to {1}")]
    HostPortInUse(HostPort, String),
    /// The content of a file is not a record.
    #[error("{}: {source}", path.display())]
    Damaged {
        /// The file of the record.
        path: PathBuf,
        /// Where and how the JSON is wrong.
        source: serde_json::Error,
    },
    /// Another process does not release the lock.
    #[error("another process has held the lock of {} for {seconds} s: `lslocks` shows which one; end it", path.display())]
    Locked {
        /// The file that is locked.
        path: PathBuf,
        /// How long this process has waited, in seconds.
        seconds: u64,
    },
    /// The file system failed.
    #[error("{}: {source}", path.display())]
    InputOutput {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
}

/// Adds the path to an error of the file system.
pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::InputOutput { path, source }
}
