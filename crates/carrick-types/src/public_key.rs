//! WireGuard's public keys.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The bytes of the prime 2^255 - 19, of which coordinates are residues, in little-endian order (RFC 7748, section 4.1).
const PRIME: [u8; 32] = {
    let mut bytes = [0xff; 32];
    bytes[0] = 0xed;
    bytes[31] = 0x7f;
    bytes
};

/// The coordinates of all points of low order, with which every private key agrees on the secret 0 (RFC 7748, section 6.1).
const LOW_ORDER: [[u8; 32]; 5] = {
    let (zero, mut one, mut minus_one) = ([0; 32], [0; 32], PRIME);
    one[0] = 1;
    minus_one[0] -= 1;
    [
        zero,
        one,
        minus_one,
        [
            0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda, 0x09,
            0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00,
        ],
        [
            0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef, 0x5b, 0x04, 0x44,
            0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57,
        ],
    ]
};

/// A WireGuard public key: the coordinate of a point on Curve25519.
///
/// Text that people and nodes write is parsed by [`FromStr`], which accepts exactly one form of each usable key. Deserialization also accepts
/// the other forms: pages show what other programs have written to the kernel.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey(pub [u8; 32]);

/// Text that is not a usable public key.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidPublicKey {
    /// The text is no key.
    #[error("`{0}` is not a WireGuard public key (44 characters of base64 that hold 32 bytes)")]
    NotAKey(String),
    /// The coordinate is 2^255 - 19 or more, or has bit 255: another form of a key that another node may have (RFC 7748, section 5).
    #[error("`{0}` is a second form of another WireGuard public key: only numbers below 2^255 - 19 are keys")]
    NotCanonical(String),
    /// The point has a low order.
    #[error("`{0}` is no usable WireGuard public key: everybody knows the secret that it gives")]
    LowOrder(String),
}

impl PublicKey {
    /// The key with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The key's bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    fn decode(text: &str) -> Option<Self> {
        STANDARD.decode(text).ok()?.try_into().ok().map(Self)
    }

    /// Whether the bytes are the only form of their coordinate. Bit 255 is no part of the coordinate.
    fn is_canonical(&self) -> bool {
        self.0.iter().rev().lt(PRIME.iter().rev())
    }
}

impl FromStr for PublicKey {
    type Err = InvalidPublicKey;

    fn from_str(text: &str) -> Result<Self, InvalidPublicKey> {
        let key = Self::decode(text).ok_or_else(|| InvalidPublicKey::NotAKey(text.to_owned()))?;
        if !key.is_canonical() {
            return Err(InvalidPublicKey::NotCanonical(text.to_owned()));
        }
        if LOW_ORDER.contains(&key.0) {
            return Err(InvalidPublicKey::LowOrder(text.to_owned()));
        }
        Ok(key)
    }
}

impl TryFrom<String> for PublicKey {
    type Error = InvalidPublicKey;

    fn try_from(text: String) -> Result<Self, InvalidPublicKey> {
        Self::decode(&text).ok_or(InvalidPublicKey::NotAKey(text))
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> Self {
        key.to_string()
    }
}

impl fmt::Display for PublicKey {
    /// In base64, as `wg show` prints it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use x25519_dalek::{PublicKey as Point, StaticSecret};

    use super::*;

    fn parsed(bytes: [u8; 32]) -> Result<PublicKey, InvalidPublicKey> {
        PublicKey(bytes).to_string().parse()
    }

    #[test]
    fn base64_is_parsed_to_the_key_that_wrote_it() {
        let key = PublicKey([7; 32]);
        assert_eq!(key.to_string().parse(), Ok(key));
        for text in ["", "AAAA", &"A".repeat(44), &"?".repeat(44)] {
            assert_eq!(text.parse::<PublicKey>(), Err(InvalidPublicKey::NotAKey(text.to_owned())));
        }
    }

    #[test]
    fn a_key_has_one_form() {
        let key = Point::from(&StaticSecret::from([7; 32])).to_bytes();
        assert_eq!(parsed(key), Ok(PublicKey(key)));
        let mut with_bit_255 = key;
        with_bit_255[31] |= 0x80;
        let other = StaticSecret::from([9; 32]);
        let secret = |bytes| other.diffie_hellman(&Point::from(bytes)).to_bytes();
        assert_eq!(secret(key), secret(with_bit_255), "X25519 ignores bit 255");

        let mut nine_more_than_the_prime = PRIME;
        nine_more_than_the_prime[0] += 9;
        for bytes in [with_bit_255, nine_more_than_the_prime, PRIME, [0xff; 32]] {
            assert!(matches!(parsed(bytes), Err(InvalidPublicKey::NotCanonical(_))), "{bytes:x?}");
        }
        let mut largest = PRIME;
        largest[0] -= 2;
        assert_eq!(parsed(largest), Ok(PublicKey(largest)));
    }

    #[test]
    fn a_key_of_low_order_is_none() {
        for bytes in LOW_ORDER {
            let secret = StaticSecret::from([9; 32]).diffie_hellman(&Point::from(bytes));
            assert!(!secret.was_contributory(), "{bytes:x?}");
            assert!(matches!(parsed(bytes), Err(InvalidPublicKey::LowOrder(_))), "{bytes:x?}");
        }
    }

    #[test]
    fn a_page_may_show_any_key() {
        let shown: PublicKey = serde_json::from_value(serde_json::json!(PublicKey([0xff; 32]).to_string())).unwrap();
        assert_eq!(shown, PublicKey([0xff; 32]));
    }
}
