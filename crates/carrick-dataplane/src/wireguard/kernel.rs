//! The kernel's WireGuard, over generic netlink.

use carrick_netlink::wireguard::{self, Device, DeviceChange};

use super::{WireGuard, WireGuardError};
use crate::desired::WireGuardMaker;

/// The kernel's WireGuard.
#[derive(Debug)]
pub struct KernelWireGuard {
    connection: wireguard::WireGuard,
}

impl KernelWireGuard {
    /// Opens a connection in the calling thread's network namespace.
    ///
    /// # Errors
    ///
    /// The kernel has no WireGuard ([`carrick_netlink::Error::is_not_found`]), or the socket cannot be opened.
    pub fn open() -> Result<Self, carrick_netlink::Error> {
        Ok(Self { connection: wireguard::WireGuard::open()? })
    }

    /// [`Self::open`], or nothing if the kernel has no WireGuard.
    ///
    /// # Errors
    ///
    /// The socket cannot be opened.
    pub fn find() -> Result<Option<Self>, carrick_netlink::Error> {
        match Self::open() {
            Ok(kernel) => Ok(Some(kernel)),
            Err(error) if error.is_not_found() || error.is_not_supported() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl WireGuard for KernelWireGuard {
    fn maker(&self) -> WireGuardMaker {
        WireGuardMaker::Kernel
    }

    fn get(&mut self, device: &str) -> Result<Device, WireGuardError> {
        Ok(self.connection.get(device)?)
    }

    fn set(&mut self, device: &str, changes: &[DeviceChange]) -> Vec<Result<(), WireGuardError>> {
        let results = self.connection.set_each(device, changes);
        results.into_iter().map(|result| result.map_err(WireGuardError::from)).collect()
    }

    fn writes(&self) -> u64 {
        self.connection.writes()
    }
}
