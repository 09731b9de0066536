//! What a client asks for.

mod parse;
mod write;

use carrick_netlink::wireguard::DeviceChange;
use nix::errno::Errno;

pub use parse::parse_request;
#[cfg(any(test, fuzzing))]
pub(crate) use write::capacity;
pub use write::write_request;

/// The request for a device's whole configuration.
pub const GET: &str = "get=1\n\n";

/// What a client asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    /// The device's status.
    Get,
    /// A change of the device.
    Set(Box<DeviceChange>),
}

/// A request that is not in the protocol. The error names the key only: the value may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// The first line is neither `get=1` nor `set=1`.
    #[error("a request must begin with get=1 or set=1")]
    UnknownOperation,
    /// A line without `=`.
    #[error("line {line} is not of the form key=value")]
    NotKeyValue {
        /// The number of the line; the first line is 1.
        line: usize,
    },
    /// A key that the protocol does not have, or not at this place.
    #[error("line {line}: key {key:?} is unknown or out of place")]
    UnknownKey {
        /// The number of the line; the first line is 1.
        line: usize,
        /// The key as it was sent.
        key: String,
    },
    /// A value that does not fit its key.
    #[error("line {line}: the value of {key} is not valid")]
    InvalidValue {
        /// The number of the line; the first line is 1.
        line: usize,
        /// The key as it was sent.
        key: String,
    },
}

impl ProtocolError {
    /// The error number of the answer.
    #[must_use]
    pub const fn errno(&self) -> Errno {
        match self {
            Self::UnknownOperation | Self::NotKeyValue { .. } => Errno::EPROTO,
            Self::UnknownKey { .. } | Self::InvalidValue { .. } => Errno::EINVAL,
        }
    }
}
