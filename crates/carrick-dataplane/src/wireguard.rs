//! WireGuard behind one small interface: the kernel's, or a process's through its UAPI socket.

mod kernel;
mod userspace;

use std::fmt;
use std::io;

use carrick_netlink::wireguard::{Device, DeviceChange};

pub use kernel::KernelWireGuard;
pub use userspace::UserspaceWireGuard;

use crate::desired::WireGuardMaker;

/// What reads and changes WireGuard devices.
pub trait WireGuard: fmt::Debug + Send {
    /// Who makes the devices.
    fn maker(&self) -> WireGuardMaker;

    /// Reads a device with all its peers.
    ///
    /// # Errors
    ///
    /// The device is not there, or what answers for it does not.
    fn get(&mut self, device: &str) -> Result<Device, WireGuardError>;

    /// Carries out changes in order, each on its own: a refused one does not stop the ones behind it.
    /// Returns one result per change.
    fn set(&mut self, device: &str, changes: &[DeviceChange]) -> Vec<Result<(), WireGuardError>>;

    /// The number of messages that could change something which were sent so far.
    fn writes(&self) -> u64;
}

/// Why a WireGuard device could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum WireGuardError {
    /// The kernel refused.
    #[error(transparent)]
    Kernel(#[from] carrick_netlink::Error),
    /// The process refused, with this error number of the UAPI protocol.
    #[error("{operation} WireGuard device {device}: the userspace process answers {}", nix::errno::Errno::from_raw(*.errno).desc())]
    Refused {
        /// The verb.
        operation: &'static str,
        /// The device.
        device: String,
        /// The error number.
        errno: i32,
    },
    /// The process cannot be reached.
    #[error("{operation} WireGuard device {device}: no answer from its userspace process: {source}")]
    Unreachable {
        /// The verb.
        operation: &'static str,
        /// The device.
        device: String,
        /// Why.
        source: io::Error,
    },
    /// The process answered what cannot be read.
    #[error("read WireGuard device {device}: {source}")]
    Malformed {
        /// The device.
        device: String,
        /// What cannot be read.
        source: carrick_uapi::MalformedStatus,
    },
}

impl WireGuardError {
    /// Whether the request holds something that is not known there, such as the removal of a single allowed IP.
    #[must_use]
    pub fn is_invalid_request(&self) -> bool {
        const INVALID: i32 = nix::errno::Errno::EINVAL as i32;
        const PROTOCOL: i32 = nix::errno::Errno::EPROTO as i32;
        match self {
            Self::Kernel(error) => error.errno() == Some(nix::errno::Errno::EINVAL),
            Self::Refused { errno, .. } => matches!(errno.abs(), INVALID | PROTOCOL),
            Self::Unreachable { .. } | Self::Malformed { .. } => false,
        }
    }

    /// Whether the device's process runs, and does not answer in time.
    #[must_use]
    pub fn is_silence(&self) -> bool {
        match self {
            // What a read that exceeds its timeout returns, and a connection for which the queue of the process has no room.
            Self::Unreachable { source, .. } => {
                matches!(source.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
            }
            Self::Kernel(_) | Self::Refused { .. } | Self::Malformed { .. } => false,
        }
    }

    /// Whether the device is not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        match self {
            Self::Kernel(error) => error.is_not_found(),
            Self::Unreachable { source, .. } => source.kind() == io::ErrorKind::NotFound,
            Self::Refused { .. } | Self::Malformed { .. } => false,
        }
    }
}
