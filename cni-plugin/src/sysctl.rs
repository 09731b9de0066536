//! Per-device kernel settings under `/proc/sys/net`, of the calling thread's network namespace.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use carrick_netlink::Family;

use crate::protocol::{Code, Error};

/// More than any of these settings takes, in bytes.
const LONGEST_VALUE: usize = 32;

/// A setting of a device (kernel documentation, `networking/ip-sysctl.rst`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Setting {
    /// Packets that come in by the device may be forwarded.
    Forwarding(Family),
    /// The device has IPv6 at all, also where the system switched it off for new devices.
    Ipv6,
    /// Addresses that the device gives itself are usable at once.
    NoDuplicateDetection,
    /// Nobody on the link can give the device addresses and routes.
    NoRouterAdvertisements,
    /// Packets from and to the host's loopback addresses may pass the device.
    LoopbackRouting,
    /// The device gives itself no address.
    NoOwnAddress,
}

impl Setting {
    /// Sets it on a device. What has the value already is not written; a kernel without IPv6 has nothing to set.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub(crate) fn apply(self, device: &str) -> Result<(), Error> {
        let path = self.path(device);
        match ensure(&path, self.value()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result.map_err(|error| {
                let details = format!("{}: {error}", path.display());
                Error::new(Code::Kernel, "cannot change a kernel setting", details)
            }),
        }
    }

    pub(crate) fn path(self, device: &str) -> PathBuf {
        let (family, name) = match self {
            Self::Forwarding(Family::V4) => ("ipv4", "forwarding"),
            Self::Forwarding(Family::V6) => ("ipv6", "forwarding"),
            Self::LoopbackRouting => ("ipv4", "route_localnet"),
            Self::Ipv6 => ("ipv6", "disable_ipv6"),
            Self::NoDuplicateDetection => ("ipv6", "accept_dad"),
            Self::NoRouterAdvertisements => ("ipv6", "accept_ra"),
            Self::NoOwnAddress => ("ipv6", "addr_gen_mode"),
        };
        ["/proc/sys/net", family, "conf", device, name].iter().collect()
    }

    fn value(self) -> &'static str {
        match self {
            Self::Forwarding(_) | Self::LoopbackRouting | Self::NoOwnAddress => "1",
            Self::Ipv6 | Self::NoDuplicateDetection | Self::NoRouterAdvertisements => "0",
        }
    }
}

fn ensure(path: &Path, value: &str) -> io::Result<()> {
    let mut current = [0; LONGEST_VALUE];
    let length = File::open(path)?.read(&mut current)?;
    if current[..length].trim_ascii_end() != value.as_bytes() {
        fs::write(path, value)?;
    }
    Ok(())
}
