//! Kernel settings of single devices (`/proc/sys/net`), in the network namespace of the calling thread.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use carrick_netlink::Family;

use crate::ipam::Record;
use crate::written::Written;

/// The folder that holds the kernel's network settings of the process's own network namespace.
pub const SETTINGS: &str = "/proc/sys/net";

/// More bytes than the value of any of these settings has.
const LONGEST_VALUE: usize = 32;

/// A setting of a device (Linux kernel documentation, `networking/ip-sysctl.rst`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// The kernel forwards packets that arrive on the device.
    Forwarding(Family),
    /// The device has IPv6, even if IPv6 is disabled for new devices.
    Ipv6,
    /// The kernel does no duplicate address detection (RFC 4862), so new addresses are usable at once.
    NoDuplicateDetection,
    /// The kernel ignores router advertisements, so the other end cannot add addresses or routes.
    NoRouterAdvertisements,
    /// The kernel answers no ARP request, so it makes no neighbour of the sender.
    NoArpAnswers,
    /// The kernel routes packets from and to loopback addresses (127.0.0.0/8) over the device.
    LoopbackRouting,
    /// The kernel generates no link-local address for the device.
    NoOwnAddress,
}

impl Setting {
    /// The settings of the host's end for one address family, in the order in which they are written.
    #[must_use]
    pub const fn of_host_end(family: Family) -> &'static [Self] {
        match family {
            Family::V4 => &[Self::Forwarding(Family::V4), Self::NoArpAnswers],
            Family::V6 => &[
                Self::Ipv6,
                Self::NoOwnAddress,
                Self::NoDuplicateDetection,
                Self::NoRouterAdvertisements,
                Self::Forwarding(Family::V6),
            ],
        }
    }

    /// The settings of the host's end of the pod that `record` describes.
    #[must_use]
    pub fn of_record(record: &Record) -> Vec<Self> {
        let families = record.addresses.iter().map(|address| Family::from(*address));
        let mut settings: Vec<Self> = families.flat_map(Self::of_host_end).copied().collect();
        if is_reached_from_loopback(record) {
            settings.push(Self::LoopbackRouting);
        }
        settings
    }

    /// Applies the setting to a device, unless it already has the value. `settings` is the folder of the network settings
    /// ([`SETTINGS`]). A setting that the kernel does not have, such as those of IPv6 in a kernel without IPv6, is no error.
    ///
    /// # Errors
    ///
    /// The file cannot be read or written.
    pub fn apply(self, settings: &Path, device: &str) -> io::Result<Written> {
        match ensure(&self.path(settings, device), self.value()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Written::Unchanged),
            result => result,
        }
    }

    /// The file of the setting.
    #[must_use]
    pub fn path(self, settings: &Path, device: &str) -> PathBuf {
        let (family, name) = match self {
            Self::Forwarding(Family::V4) => ("ipv4", "forwarding"),
            Self::Forwarding(Family::V6) => ("ipv6", "forwarding"),
            Self::LoopbackRouting => ("ipv4", "route_localnet"),
            Self::NoArpAnswers => ("ipv4", "arp_ignore"),
            Self::Ipv6 => ("ipv6", "disable_ipv6"),
            Self::NoDuplicateDetection => ("ipv6", "accept_dad"),
            Self::NoRouterAdvertisements => ("ipv6", "accept_ra"),
            Self::NoOwnAddress => ("ipv6", "addr_gen_mode"),
        };
        settings.join(family).join("conf").join(device).join(name)
    }

    const fn value(self) -> &'static str {
        match self {
            Self::Forwarding(_) | Self::LoopbackRouting | Self::NoOwnAddress => "1",
            Self::NoArpAnswers => "8",
            Self::Ipv6 | Self::NoDuplicateDetection | Self::NoRouterAdvertisements => "0",
        }
    }
}

/// Whether host ports lead to the pod from the host's own loopback.
#[must_use]
pub fn is_reached_from_loopback(record: &Record) -> bool {
    record.host_ports.iter().any(|port| port.family() == Family::V4)
}

fn ensure(path: &Path, value: &str) -> io::Result<Written> {
    let mut current = [0; LONGEST_VALUE];
    let length = File::open(path)?.read(&mut current)?;
    if current[..length].trim_ascii_end() == value.as_bytes() {
        return Ok(Written::Unchanged);
    }
    fs::write(path, value)?;
    Ok(Written::Changed)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_documentation_lists_every_setting_with_its_value() {
        let settings = [
            Setting::Forwarding(Family::V4),
            Setting::Forwarding(Family::V6),
            Setting::Ipv6,
            Setting::NoDuplicateDetection,
            Setting::NoRouterAdvertisements,
            Setting::LoopbackRouting,
            Setting::NoArpAnswers,
            Setting::NoOwnAddress,
        ];
        let row = |setting: Setting| {
            let path = setting.path(Path::new(SETTINGS), "*");
            let name = path.strip_prefix("/proc/sys").unwrap().to_str().unwrap().replace('/', ".");
            (name, setting.value().to_owned())
        };
        let (_, page) = include_str!("../../../docs/cni.md").split_once("## Kernel settings").unwrap();
        let (table, _) = page.split_once("\n## ").unwrap();
        let rows = table.lines().filter_map(|line| line.strip_prefix("| `net."));
        let rows = rows.map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
        let listed: BTreeSet<_> =
            rows.map(|cells| (format!("net.{}", cells[0].trim_end_matches('`')), cells[2].to_owned())).collect();
        assert_eq!(listed, settings.map(row).into());
    }
}
