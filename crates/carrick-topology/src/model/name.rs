//! Names: cheap to clone, valid by construction.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use carrick_types::{is_printable, printable};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::constants::{HANDOVER_DEVICE, VXLAN_DEVICE, WIREGUARD_DEVICE};

/// Text that is not a name of its kind.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{kind} `{name}` {problem}")]
pub struct InvalidName {
    kind: &'static str,
    name: String,
    problem: &'static str,
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                let check: fn(&str) -> Option<&'static str> = $check;
                match check(text) {
                    Some(problem) => Err(InvalidName { kind: $kind, name: printable(text), problem }),
                    None => Ok(Self(Arc::from(text))),
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;

            fn try_from(text: String) -> Result<Self, InvalidName> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.as_ref().to_owned()
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, formatter)
            }
        }
    };
}

name_type!(
    /// The name of a Kubernetes Node: a DNS subdomain (RFC 1123), at most 253 bytes.
    NodeName, "node name", object_name_problem
);
name_type!(
    /// The name of a `Peer` object: a DNS subdomain (RFC 1123), at most 253 bytes.
    PeerName, "peer name", object_name_problem
);
name_type!(
    /// The name of a location: any printable text of 1 to 253 bytes.
    LocationName, "location", |text| match text {
        "" => Some("is empty"),
        text if text.len() > 253 => Some("is longer than 253 bytes"),
        text if !text.chars().all(is_printable) => Some("holds a character that cannot be printed"),
        _ => None,
    }
);
name_type!(
    /// The name of a network device: 1 to 15 bytes without `/` and white space (Linux `IFNAMSIZ`).
    DeviceName, "device name", |text| match text {
        "" | "." | ".." => Some("is not a name"),
        text if text.len() > 15 => Some("is longer than 15 bytes"),
        text if text.contains(|c: char| c == '/' || c == ':' || c.is_whitespace()) => Some("holds `/`, `:` or white space"),
        _ => None,
    }
);

impl DeviceName {
    /// The name of the WireGuard device where the operator sets no other.
    #[must_use]
    pub fn default_wireguard() -> Self {
        Self(Arc::from(WIREGUARD_DEVICE))
    }

    /// The name of the VXLAN device.
    #[must_use]
    pub fn vxlan() -> Self {
        Self(Arc::from(VXLAN_DEVICE))
    }

    /// The name of the VXLAN device that exists during a handover.
    #[must_use]
    pub fn handover() -> Self {
        Self(Arc::from(HANDOVER_DEVICE))
    }
}

impl LocationName {
    /// The location of nodes that name none.
    #[must_use]
    pub fn shared_default() -> Self {
        Self(Arc::from("default"))
    }
}

fn object_name_problem(text: &str) -> Option<&'static str> {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if text.is_empty() {
        Some("is empty")
    } else if text.len() > 253 {
        Some("is longer than 253 bytes")
    } else if !text.starts_with(alphanumeric) || !text.ends_with(alphanumeric) {
        Some("does not begin and end with a lower-case letter or a digit")
    } else if !text.chars().all(|c| alphanumeric(c) || c == '-' || c == '.') {
        Some("holds something else than lower-case letters, digits, `-` and `.`")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        assert_eq!("node-1.example".parse::<NodeName>().unwrap().as_str(), "node-1.example");
        for bad in ["", "Node", "-a", "a-", "a b", "a/b"] {
            assert!(bad.parse::<NodeName>().is_err(), "{bad:?}");
        }
        assert_eq!("".parse::<LocationName>().unwrap_err().to_string(), "location `` is empty");
        assert!("Basel, Keller".parse::<LocationName>().is_ok());
        assert!("a\nb".parse::<LocationName>().is_err());
        assert!("carrick-vx".parse::<DeviceName>().is_ok());
        assert!("a-name-of-16-byt".parse::<DeviceName>().is_err());
    }

    #[test]
    fn the_names_of_the_own_devices_are_device_names() {
        for name in [DeviceName::default_wireguard(), DeviceName::vxlan(), DeviceName::handover()] {
            assert_eq!(name.as_str().parse(), Ok(name));
        }
    }
}
