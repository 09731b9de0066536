//! WireGuard over generic netlink (`include/uapi/linux/wireguard.h`).

mod device;
mod get;
mod set;

pub use carrick_types::{PublicKey, SecretKey};
pub use device::{Device, Peer};
use get::get;
#[cfg(any(test, fuzzing))]
pub(crate) use get::{merge, parse};
pub use set::{AllowedIpChange, AllowedIps, DeviceChange, PeerChange, PeerVerb, Preshared, UnnamedPeers, set};

use crate::{Error, Protocol, Request, Socket, generic};

/// A connection to the kernel's WireGuard.
#[derive(Debug)]
pub struct WireGuard {
    pub(crate) socket: Socket,
    pub(crate) family: u16,
}

impl WireGuard {
    /// Opens a connection in the calling thread's network namespace.
    ///
    /// # Errors
    ///
    /// The kernel has no WireGuard ([`Error::is_not_found`]), or the socket cannot be opened.
    pub fn open() -> Result<Self, Error> {
        let mut socket = Socket::open(Protocol::Generic)?;
        let family = generic::family(&mut socket, "wireguard")?;
        Ok(Self { socket, family })
    }

    /// Reads a device with all its peers.
    ///
    /// # Errors
    ///
    /// The device is not there or is not of WireGuard, the process lacks `CAP_NET_ADMIN`, or see
    /// [`Socket::query`].
    pub fn get(&mut self, device: &str) -> Result<Device, Error> {
        get(&mut self.socket, self.family, device)
    }

    /// Changes a device and some of its peers; what is not named stays as it is. Peers are changed in order.
    ///
    /// # Errors
    ///
    /// The first failure of the messages that the change was split over. The ones before it have taken effect.
    pub fn set(&mut self, device: &str, change: &DeviceChange) -> Result<(), Error> {
        let requests = set(self.family, device, change);
        self.socket.batch(&requests).into_iter().collect()
    }

    /// Carries out changes in order and in as few datagrams as can be, each change on its own: a refused one does not
    /// stop the ones behind it. Returns one result per change.
    pub fn set_each(&mut self, device: &str, changes: &[DeviceChange]) -> Vec<Result<(), Error>> {
        let requests: Vec<Vec<Request>> = changes.iter().map(|change| set(self.family, device, change)).collect();
        let lengths: Vec<usize> = requests.iter().map(Vec::len).collect();
        let flat: Vec<Request> = requests.into_iter().flatten().collect();
        let mut results = self.socket.batch(&flat).into_iter();
        lengths.into_iter().map(|length| results.by_ref().take(length).fold(Ok(()), Result::and)).collect()
    }

    /// The number of messages that could change the kernel which this connection has sent so far.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.socket.writes()
    }
}
