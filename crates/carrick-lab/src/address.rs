//! Address families, and an address of each.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub use carrick_topology::Family;
use serde::{Deserialize, Serialize};

/// The address families of a network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Families {
    /// Both.
    #[default]
    Dual,
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
}

impl Families {
    /// The families as a list, IPv4 first.
    #[must_use]
    pub const fn list(self) -> &'static [Family] {
        match self {
            Self::Dual => &[Family::V4, Family::V6],
            Self::V4 => &[Family::V4],
            Self::V6 => &[Family::V6],
        }
    }

    /// Whether `family` is one of these.
    #[must_use]
    pub fn has(self, family: Family) -> bool {
        self.list().contains(&family)
    }
}

/// At most one address of each family.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addresses {
    /// The IPv4 address.
    pub v4: Option<Ipv4Addr>,
    /// The IPv6 address.
    pub v6: Option<Ipv6Addr>,
}

impl Addresses {
    /// The address of one family.
    #[must_use]
    pub fn of(self, family: Family) -> Option<IpAddr> {
        match family {
            Family::V4 => self.v4.map(IpAddr::V4),
            Family::V6 => self.v6.map(IpAddr::V6),
        }
    }

    /// The present addresses, IPv4 first.
    #[must_use]
    pub fn list(self) -> Vec<IpAddr> {
        [self.of(Family::V4), self.of(Family::V6)].into_iter().flatten().collect()
    }

    /// These addresses without those of families that a network does not have.
    #[must_use]
    pub fn within(self, families: Families) -> Self {
        Self { v4: self.v4.filter(|_| families.has(Family::V4)), v6: self.v6.filter(|_| families.has(Family::V6)) }
    }
}

impl FromIterator<IpAddr> for Addresses {
    /// Keeps the first address of each family.
    fn from_iter<I: IntoIterator<Item = IpAddr>>(addresses: I) -> Self {
        let mut first = Self::default();
        for address in addresses {
            match address {
                IpAddr::V4(v4) => first.v4 = first.v4.or(Some(v4)),
                IpAddr::V6(v6) => first.v6 = first.v6.or(Some(v6)),
            }
        }
        first
    }
}
