//! Ethernet addresses.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// An Ethernet address (IEEE 802 EUI-48), in transmission order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MacAddress(pub [u8; 6]);

/// Text that is not an Ethernet address.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}` is not an Ethernet address (six bytes of two hexadecimal digits, separated by colons)")]
pub struct InvalidMacAddress(String);

impl MacAddress {
    /// The address with these bytes; `None` unless there are six.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl FromStr for MacAddress {
    type Err = InvalidMacAddress;

    fn from_str(text: &str) -> Result<Self, InvalidMacAddress> {
        let bytes: Option<Vec<u8>> = text.split(':').map(byte).collect();
        bytes.and_then(|bytes| Self::from_slice(&bytes)).ok_or_else(|| InvalidMacAddress(text.to_owned()))
    }
}

fn byte(text: &str) -> Option<u8> {
    // The parser of numbers takes a sign.
    let is_hexadecimal = text.len() == 2 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_hexadecimal.then(|| u8::from_str_radix(text, 16).ok()).flatten()
}

impl TryFrom<String> for MacAddress {
    type Error = InvalidMacAddress;

    fn try_from(text: String) -> Result<Self, InvalidMacAddress> {
        text.parse()
    }
}

impl From<MacAddress> for String {
    fn from(address: MacAddress) -> Self {
        address.to_string()
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, f] = self.0;
        write!(formatter, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
    }
}

impl fmt::Debug for MacAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_json_are_parsed_to_the_address_that_wrote_them() {
        let mac = MacAddress([2, 0, 0xab, 0xcd, 0xef, 1]);
        assert_eq!(mac.to_string(), "02:00:ab:cd:ef:01");
        assert_eq!("02:00:ab:cd:ef:01".parse(), Ok(mac));
        let json = serde_json::to_string(&mac).unwrap();
        assert_eq!(json, r#""02:00:ab:cd:ef:01""#);
        assert_eq!(serde_json::from_str::<MacAddress>(&json).unwrap(), mac);
    }

    #[test]
    fn other_text_is_refused() {
        for text in
            ["", "02:00:ab:cd:ef", "02:00:ab:cd:ef:01:02", "2:0:ab:cd:ef:1", "02:00:ab:cd:ef:0g", "+2:00:ab:cd:ef:01"]
        {
            assert!(text.parse::<MacAddress>().is_err(), "{text}");
        }
    }
}
