//! WireGuard's secret keys: 32 bytes each.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use carrick_topology::PublicKey;
use x25519_dalek::StaticSecret;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// The length in bytes of every WireGuard key.
pub const KEY_LENGTH: usize = 32;

/// A text that is not a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a WireGuard key: expected 32 bytes as 44 characters of base64")]
pub struct NotAKey;

/// A secret of 32 bytes: a private key or a preshared key.
///
/// It is wiped from memory on drop, and [`fmt::Debug`] does not show it.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct SecretKey([u8; KEY_LENGTH]);

impl SecretKey {
    /// A fresh private key from the operating system's random source.
    pub fn generate() -> Self {
        Self(StaticSecret::random().to_bytes())
    }

    /// The secret with these bytes.
    pub const fn from_bytes(bytes: [u8; KEY_LENGTH]) -> Self {
        Self(bytes)
    }

    /// The secret's bytes.
    pub fn as_bytes(&self) -> &[u8; KEY_LENGTH] {
        &self.0
    }

    /// True for 32 zero bytes, which in the userspace API stand for "no key".
    pub fn is_zero(&self) -> bool {
        self.0 == [0; KEY_LENGTH]
    }

    /// The public key that belongs to this private key.
    pub fn public_key(&self) -> PublicKey {
        let secret = StaticSecret::from(self.0);
        PublicKey::from_bytes(x25519_dalek::PublicKey::from(&secret).to_bytes())
    }

    /// Parses the base64 form that `wg genkey` prints.
    ///
    /// # Errors
    /// [`NotAKey`] for anything else; the error does not repeat the text.
    pub fn from_base64(text: &str) -> Result<Self, NotAKey> {
        let bytes = decode_base64(text)?;
        Ok(Self(*bytes))
    }

    /// The secret in the base64 form that `wg genkey` prints, wiped on drop.
    pub fn to_base64(&self) -> Zeroizing<String> {
        Zeroizing::new(BASE64.encode(self.0))
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SecretKey(..)")
    }
}

fn decode_base64(text: &str) -> Result<Zeroizing<[u8; KEY_LENGTH]>, NotAKey> {
    // The decoder wants room for its estimate, one byte more than a key has.
    let mut room = Zeroizing::new([0; KEY_LENGTH + 1]);
    let length = BASE64.decode_slice(text, room.as_mut_slice()).map_err(|_| NotAKey)?;
    if length != KEY_LENGTH {
        return Err(NotAKey);
    }
    let mut bytes = Zeroizing::new([0; KEY_LENGTH]);
    bytes.copy_from_slice(&room[..KEY_LENGTH]);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_round_trips() {
        let secret = SecretKey::generate();
        assert_eq!(SecretKey::from_base64(&secret.to_base64()).unwrap(), secret);
    }

    /// The key pair of RFC 7748, section 6.1 (Alice).
    #[test]
    fn the_public_key_is_the_one_of_rfc_7748() {
        let private = SecretKey::from_base64("dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=").unwrap();
        assert_eq!(private.public_key().to_string(), "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=");
    }

    #[test]
    fn other_lengths_and_letters_are_refused() {
        for text in ["", "AAAA", "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo", &"A".repeat(44), &"?".repeat(44)] {
            assert_eq!(SecretKey::from_base64(text), Err(NotAKey), "{text:?}");
        }
    }

    #[test]
    fn secrets_do_not_show_in_debug_output() {
        let secret = SecretKey::from_bytes([7; KEY_LENGTH]);
        assert_eq!(format!("{secret:?}"), "SecretKey(..)");
    }
}
