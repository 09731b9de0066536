//! The interface of a userspace WireGuard implementation.

use std::future::Future;
use std::io;

use carrick_netlink::wireguard::{Device, DeviceChange};

/// A WireGuard device that runs in this process.
///
/// A change touches what it names and nothing else: sessions and counters of other peers survive it, sockets stay open
/// unless the port changes, and a peer that keeps its key keeps its session.
pub trait Engine: Send + Sync + 'static {
    /// Applies a change, all of it or nothing.
    ///
    /// # Errors
    /// [`ConfigureError`]; the device is then as it was.
    fn configure(&self, change: DeviceChange) -> impl Future<Output = Result<(), ConfigureError>> + Send;

    /// The present state of the device.
    fn status(&self) -> impl Future<Output = Device> + Send;
}

/// Why a change was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigureError {
    /// The UDP port cannot be listened on.
    #[error("cannot listen on UDP port {port}: {source}")]
    Port {
        /// The port that was asked for.
        port: u16,
        /// The error of the system call.
        source: io::Error,
    },
    /// The engine has an unexpected failure.
    #[error("the WireGuard engine failed: {reason}")]
    Engine {
        /// The error of the implementation.
        reason: String,
    },
}
