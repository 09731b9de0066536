//! The two families of internet addresses.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// An address family, which is also a version of the internet protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both families, IPv4 first.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// The family of an address.
    #[must_use]
    pub const fn of(address: &IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// The family of a network.
    #[must_use]
    pub const fn of_net(net: &IpNet) -> Self {
        match net {
            IpNet::V4(_) => Self::V4,
            IpNet::V6(_) => Self::V6,
        }
    }
}

impl From<IpAddr> for Family {
    fn from(address: IpAddr) -> Self {
        Self::of(&address)
    }
}

impl From<IpNet> for Family {
    fn from(net: IpNet) -> Self {
        Self::of_net(&net)
    }
}

impl fmt::Display for Family {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_networks_have_the_family_of_their_version() {
        for (text, family) in [("192.0.2.0", Family::V4), ("2001:db8::", Family::V6)] {
            let address: IpAddr = text.parse().unwrap();
            let net = IpNet::from(address);
            assert_eq!([Family::of(&address), Family::of_net(&net), address.into(), net.into()], [family; 4]);
        }
    }

    #[test]
    fn json_names_the_version() {
        assert_eq!(serde_json::to_string(&Family::BOTH).unwrap(), r#"["v4","v6"]"#);
    }
}
