//! The search for the largest packet that passes on one path.
//!
//! The first size is the one that the devices permit. If it does not pass, the size is found by bisection. A size does not pass if three
//! padded probes in a row have no answer while plain probes have. Paths change: the size that was found is checked again from time to
//! time, and so is the size of the devices if it did not pass.

use std::net::IpAddr;

/// The number of tries after which a size counts as too large, or as passing again.
const TRIES: u32 = 3;
/// The search ends when it knows the size to within this many bytes; WireGuard pads packets to 16.
const PRECISION: u32 = 4;
/// Every host accepts IPv4 packets of this size (RFC 791 §3.1).
const LEAST_V4: u32 = 576;
/// Every IPv6 path carries packets of this size (RFC 8200 §5).
const LEAST_V6: u32 = 1280;
/// Checks of the size that was found, between two checks of the size of the devices.
const CHECKS_BEFORE_MORE: u32 = 20;

/// The search on one path.
#[derive(Debug)]
pub(crate) struct PathMtu {
    device_mtu: u32,
    least: u32,
    /// The size that was found; kept while it is checked again.
    found: Option<u32>,
    phase: Phase,
    /// Failed or successful tries of the current size in a row.
    tries: u32,
    checks: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Does the size of the devices pass?
    Device,
    /// A size that passes, and one that does not.
    Between(u32, u32),
    /// A size was found: does it still pass?
    Settled,
    /// A size was found: does the size of the devices pass again?
    More,
}

impl PathMtu {
    pub(crate) fn new(to: IpAddr, device_mtu: u32) -> Self {
        let least = if to.is_ipv4() { LEAST_V4 } else { LEAST_V6 };
        Self { device_mtu, least: least.min(device_mtu), found: None, phase: Phase::Device, tries: 0, checks: 0 }
    }

    /// The size of the IP packet to try next, in bytes.
    pub(crate) fn size(&self) -> u32 {
        match self.phase {
            Phase::Device | Phase::More => self.device_mtu,
            Phase::Between(passes, too_large) => passes.midpoint(too_large),
            Phase::Settled => self.found.unwrap_or(self.device_mtu),
        }
    }

    /// Whether there is nothing to find out now.
    pub(crate) const fn is_settled(&self) -> bool {
        matches!(self.phase, Phase::Settled) && self.tries == 0
    }

    /// The size that was found, in bytes.
    pub(crate) const fn found(&self) -> Option<u32> {
        self.found
    }

    /// The padded probe of this size was answered.
    pub(crate) fn passed(&mut self, size: u32) {
        if size != self.size() {
            return;
        }
        match self.phase {
            Phase::Device => self.settle(size),
            Phase::Between(_, too_large) => self.narrow(size, too_large),
            Phase::Settled => self.check_again(),
            Phase::More => {
                self.tries += 1;
                if self.tries == TRIES {
                    self.settle(size);
                }
            }
        }
    }

    /// The padded probe of this size was not answered, and plain probes were.
    pub(crate) fn failed(&mut self, size: u32) {
        if size != self.size() {
            return;
        }
        if self.phase == Phase::More {
            self.settle(self.found.unwrap_or(self.device_mtu));
            return;
        }
        self.tries += 1;
        if self.tries < TRIES {
            return;
        }
        match self.phase {
            Phase::Between(passes, _) => self.narrow(passes, size),
            Phase::Device | Phase::Settled | Phase::More => self.narrow(self.least, size),
        }
    }

    fn narrow(&mut self, passes: u32, too_large: u32) {
        self.tries = 0;
        if too_large.saturating_sub(passes) <= PRECISION {
            self.settle(passes);
        } else {
            self.phase = Phase::Between(passes, too_large);
        }
    }

    fn settle(&mut self, size: u32) {
        self.found = Some(size);
        self.phase = Phase::Settled;
        self.tries = 0;
    }

    fn check_again(&mut self) {
        self.tries = 0;
        self.checks += 1;
        if self.checks.is_multiple_of(CHECKS_BEFORE_MORE) && self.found != Some(self.device_mtu) {
            self.phase = Phase::More;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(path: &mut PathMtu, passes: u32, tries: u32) -> u32 {
        for tried in 0..tries {
            let size = path.size();
            if size <= passes {
                path.passed(size)
            } else {
                path.failed(size)
            }
            if path.is_settled() {
                return tried + 1;
            }
        }
        panic!("nothing found in {tries} tries: {path:?}");
    }

    fn v4(device_mtu: u32) -> PathMtu {
        PathMtu::new("10.4.0.1".parse().unwrap(), device_mtu)
    }

    #[test]
    fn a_wide_path_needs_one_probe() {
        let mut path = v4(1420);
        assert_eq!((search(&mut path, 9000, 1), path.found()), (1, Some(1420)));
    }

    #[test]
    fn the_mtu_of_a_narrow_path_is_found_within_a_few_bytes() {
        for narrow in [576, 900, 1236, 1240, 1308, 1419] {
            let mut path = v4(1420);
            let tries = search(&mut path, narrow, 40);
            let found = path.found().unwrap();
            assert!(found <= narrow && found + PRECISION >= narrow, "{found} for {narrow} after {tries}");
        }
    }

    #[test]
    fn two_lost_probes_change_nothing() {
        let mut path = v4(1420);
        search(&mut path, 9000, 1);
        path.failed(1420);
        path.failed(1420);
        path.passed(1420);
        path.failed(1420);
        path.failed(1420);
        assert_eq!(path.found(), Some(1420));
        path.failed(1420);
        assert!(!path.is_settled());
        search(&mut path, 1300, 40);
        assert!((1296..=1300).contains(&path.found().unwrap()));
    }

    #[test]
    fn a_wider_path_is_found_after_three_probes_of_the_device_size() {
        let mut path = v4(1420);
        search(&mut path, 1300, 40);
        let found = path.found();
        let mut at_device_size = 0;
        for _ in 0..200 {
            at_device_size += u32::from(path.size() == 1420);
            path.passed(path.size());
            if path.found() != found {
                break;
            }
        }
        assert_eq!((path.found(), at_device_size), (Some(1420), TRIES));
    }

    #[test]
    fn an_ipv6_path_is_never_found_below_1280_bytes() {
        let mut path = PathMtu::new("fd00::1".parse().unwrap(), 1420);
        search(&mut path, 1000, 40);
        assert_eq!(path.found(), Some(1280));
    }
}
