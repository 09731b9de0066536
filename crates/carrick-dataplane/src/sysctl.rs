//! Kernel settings under `/proc/sys/net`: read first, written only when different.
//!
//! - `net.ipv4.ip_forward` and `net.ipv6.conf.all.forwarding`: nodes forward for pods and for each other.
//! - `net.ipv6.conf.*.accept_ra` becomes 2 wherever it is 1, before IPv6 forwarding is switched on: with 1,
//!   the kernel drops the default route that it learned from router advertisements
//!   (`Documentation/networking/ip-sysctl.rst`). Where it was 2 and becomes 1 later, it becomes 2 again.
//! - `net.ipv4.conf.*.forwarding` is 1 on Carrick's devices: the kernel forwards no IPv4 packet that comes in by a device without it, whatever
//!   `ip_forward` says.
//! - `net.ipv4.conf.*.rp_filter` is 2 on Carrick's devices: with strict filters, packets die whose way back
//!   leads through the other device.
//! - `net.ipv6.conf.*.accept_ra` is 0 on Carrick's devices: no other node becomes this host's router.
//! - `net.ipv6.conf.*.disable_ipv6` is 0 on Carrick's devices when the mesh has IPv6.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use carrick_netlink::Family;
use carrick_topology::DeviceName;
use carrick_topology::constants::{HANDOVER_DEVICE, LOOPBACK_DEVICE, POD_DEVICE_PREFIX};

use crate::desired::Desired;

/// One setting: its path below `/proc/sys/net` and its value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Setting {
    /// Path below `/proc/sys/net`, such as `ipv4/ip_forward`.
    pub path: String,
    /// The value.
    pub value: u32,
}

/// The values that were read, by path below `/proc/sys/net`. A setting that does not exist is not there.
pub type SysctlValues = BTreeMap<String, u32>;

/// The folder that holds the kernel's network settings.
#[derive(Debug)]
pub struct Sysctls {
    root: PathBuf,
    writes: u64,
    /// The `accept_ra` of devices that had the value 2.
    accepting: BTreeSet<String>,
}

/// The settings of the process's own network namespace.
const OWN: &str = "/proc/sys/net";
/// The same in a container, whose own `/proc/sys` is read-only: a bind mount of the host's. It shows the network namespace of the reading
/// process.
const MOUNTED_FROM_HOST: &str = "/host/proc/sys/net";

const FORWARDING_V4: &str = "ipv4/ip_forward";
const FORWARDING_V6: &str = "ipv6/conf/all/forwarding";
const INTERFACES_V6: &str = "ipv6/conf";
/// Accept router advertisements although this host forwards.
const ACCEPT_RA_ALWAYS: u32 = 2;
const STRICT_FILTER: u32 = 1;
const LOOSE_FILTER: u32 = 2;

impl Default for Sysctls {
    fn default() -> Self {
        Self::below(Self::folder())
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "net/{} to {}", self.path, self.value)
    }
}

impl Setting {
    /// The family whose packets the kernel forwards with this setting.
    #[must_use]
    pub fn forwarding_family(&self) -> Option<Family> {
        match self.path.as_str() {
            FORWARDING_V4 => Some(Family::V4),
            FORWARDING_V6 => Some(Family::V6),
            _ => None,
        }
    }
}

impl Sysctls {
    /// The folder that holds the settings of this process's network namespace.
    #[must_use]
    pub fn folder() -> &'static Path {
        let folder = [MOUNTED_FROM_HOST, OWN].map(Path::new).into_iter().find(|path| path.is_dir());
        folder.unwrap_or_else(|| Path::new(OWN))
    }

    /// Settings below another folder.
    #[must_use]
    pub fn below(root: &Path) -> Self {
        Self { root: root.to_owned(), writes: 0, accepting: BTreeSet::new() }
    }

    /// Reads what [`host_differences`] and [`device_differences`] need.
    pub(crate) fn observe(&mut self, desired: &Desired) -> SysctlValues {
        let mut paths: BTreeSet<String> = [FORWARDING_V4, FORWARDING_V6].map(str::to_owned).into();
        for device in ["all", "default", desired.wireguard.device.as_str(), desired.vxlan.device.as_str()] {
            paths.extend(of_device(device));
        }
        let mut values = self.read_all(paths);
        if desired.rules.contains(&Family::V6) {
            let accepting = self.read_all(self.router_advertisements(desired));
            let is_off = values.get(FORWARDING_V6) == Some(&0);
            // Where this host forwards, 1 concerns those alone whose default route another program takes away.
            let concerns = |path: &&String| is_off || self.accepting.contains(*path);
            let concerned = accepting.iter().filter(|(path, _)| concerns(path));
            values.extend(concerned.map(|(path, value)| (path.clone(), *value)));
            let is_always = |value: &u32| *value == ACCEPT_RA_ALWAYS;
            self.accepting.extend(accepting.into_iter().filter(|(_, value)| is_always(value)).map(|(path, _)| path));
        }
        values
    }

    /// Reads what [`device_differences`] needs for one device.
    pub(crate) fn observe_device(&self, device: &DeviceName) -> SysctlValues {
        self.read_all(["default", device.as_str()].into_iter().flat_map(of_device).collect())
    }

    /// Writes one setting.
    pub(crate) fn write(&mut self, setting: &Setting) -> io::Result<()> {
        self.writes += 1;
        std::fs::write(self.root.join(&setting.path), setting.value.to_string())
    }

    /// The number of settings that were written so far.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.writes
    }

    fn read_all(&self, paths: BTreeSet<String>) -> SysctlValues {
        let read = |path: String| {
            let text = std::fs::read_to_string(self.root.join(&path)).ok()?;
            Some((path, text.trim().parse().ok()?))
        };
        paths.into_iter().filter_map(read).collect()
    }

    /// The `accept_ra` of every device of others; `all` and `default` are not devices.
    fn router_advertisements(&self, desired: &Desired) -> BTreeSet<String> {
        let own = [desired.wireguard.device.as_str(), desired.vxlan.device.as_str(), HANDOVER_DEVICE];
        let entries = std::fs::read_dir(self.root.join(INTERFACES_V6)).into_iter().flatten().flatten();
        entries
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|device| !matches!(device.as_str(), "all" | "default" | LOOPBACK_DEVICE))
            .filter(|device| !device.starts_with(POD_DEVICE_PREFIX) && !own.contains(&device.as_str()))
            .map(|device| router_advertisements(&device))
            .collect()
    }
}

/// What becomes of a device before its settings are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is there and stays.
    Stays,
    /// It is created, and starts with the settings of `default`.
    IsMade,
    /// It is not there.
    IsMissing,
}

/// The settings of the host that must be written, in order.
pub(crate) fn host_differences(desired: &Desired, values: &SysctlValues) -> Vec<Setting> {
    let is_off = |path: &str| values.get(path).is_some_and(|value| *value != 1);
    let on = |path: &str| Setting { path: path.to_owned(), value: 1 };
    let mut settings = Vec::new();
    if desired.rules.contains(&Family::V4) && is_off(FORWARDING_V4) {
        settings.push(on(FORWARDING_V4));
    }
    if desired.rules.contains(&Family::V6) {
        let own = ["all", "default", desired.wireguard.device.as_str(), desired.vxlan.device.as_str()];
        let own = own.map(router_advertisements);
        let is_others = |path: &String| path.ends_with("/accept_ra") && !own.contains(path);
        let in_use = values.iter().filter(|(path, value)| **value == 1 && is_others(path));
        settings.extend(in_use.map(|(path, _)| Setting { path: path.clone(), value: ACCEPT_RA_ALWAYS }));
    }
    if desired.rules.contains(&Family::V6) && is_off(FORWARDING_V6) {
        settings.push(on(FORWARDING_V6));
    }
    settings
}

/// Whether a setting of the host or of a device that stays must be written.
pub(crate) fn settings_differ(desired: &Desired, values: &SysctlValues) -> bool {
    let devices = [&desired.wireguard.device, &desired.vxlan.device];
    let differs = |device: &&DeviceName| !device_differences(&desired.rules, values, device, Fate::Stays).is_empty();
    !host_differences(desired, values).is_empty() || devices.iter().any(differs)
}

/// The settings of one of Carrick's devices, which takes packets of `families`, that must be written.
pub(crate) fn device_differences(
    families: &BTreeSet<Family>,
    values: &SysctlValues,
    device: &DeviceName,
    fate: Fate,
) -> Vec<Setting> {
    let source = match fate {
        Fate::Stays => device.as_str(),
        Fate::IsMade => "default",
        Fate::IsMissing => return Vec::new(),
    };
    let mut settings = Vec::new();
    if values.get(&reverse_path_filter(source)).is_some_and(|value| *value != LOOSE_FILTER) {
        settings.push(Setting { path: reverse_path_filter(device.as_str()), value: LOOSE_FILTER });
    }
    if families.contains(&Family::V4) && values.get(&forwarding(source)).is_some_and(|value| *value != 1) {
        settings.push(Setting { path: forwarding(device.as_str()), value: 1 });
    }
    if families.contains(&Family::V6) && values.get(&router_advertisements(source)).is_some_and(|value| *value != 0) {
        settings.push(Setting { path: router_advertisements(device.as_str()), value: 0 });
    }
    if families.contains(&Family::V6) && values.get(&disabled_v6(source)).is_some_and(|value| *value != 0) {
        settings.push(Setting { path: disabled_v6(device.as_str()), value: 0 });
    }
    settings
}

/// The families of the rules that the kernel does not forward.
pub(crate) fn forwarding_off(desired: &Desired, values: &SysctlValues) -> BTreeSet<Family> {
    let settings = [(Family::V4, FORWARDING_V4), (Family::V6, FORWARDING_V6)];
    let off =
        settings.into_iter().filter(|(family, path)| desired.rules.contains(family) && values.get(*path) == Some(&0));
    off.map(|(family, _)| family).collect()
}

/// The setting that makes a device's reverse-path filter strict, if one does: the greater of the device's value and that of `all` counts
/// (`Documentation/networking/ip-sysctl.rst`).
pub(crate) fn strict_filter(device: &DeviceName, values: &SysctlValues) -> Option<String> {
    let value = |path: &str| values.get(path).copied().unwrap_or_default();
    let (own, all) = (reverse_path_filter(device.as_str()), reverse_path_filter("all"));
    let is_strict = value(&own).max(value(&all)) == STRICT_FILTER;
    is_strict.then(|| if value(&own) == STRICT_FILTER { own } else { all })
}

/// Whether [`forwarding_off`] or [`strict_filter`] tell of what makes this setting necessary.
pub(crate) fn is_told(setting: &Setting, strict: &BTreeMap<DeviceName, String>) -> bool {
    let is_forwarding = setting.path == FORWARDING_V4 || setting.path == FORWARDING_V6;
    let is_filter = strict.keys().any(|device| setting.path == reverse_path_filter(device.as_str()));
    is_forwarding || is_filter || setting.path.ends_with("/accept_ra")
}

fn of_device(device: &str) -> [String; 4] {
    [forwarding(device), reverse_path_filter(device), disabled_v6(device), router_advertisements(device)]
}

fn router_advertisements(device: &str) -> String {
    format!("{INTERFACES_V6}/{device}/accept_ra")
}

fn forwarding(device: &str) -> String {
    format!("ipv4/conf/{device}/forwarding")
}

fn reverse_path_filter(device: &str) -> String {
    format!("ipv4/conf/{device}/rp_filter")
}

fn disabled_v6(device: &str) -> String {
    format!("{INTERFACES_V6}/{device}/disable_ipv6")
}
