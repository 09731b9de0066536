//! WireGuard's private and preshared keys.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// The length of every WireGuard key, in bytes.
const LENGTH: usize = 32;

/// A private or preshared key. It is wiped from memory when it is dropped, and [`fmt::Debug`] does not print it.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SecretKey([u8; LENGTH]);

/// Text that is not a key. The error does not repeat the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a WireGuard key: expected 32 bytes as 44 characters of base64")]
pub struct InvalidSecretKey;

impl SecretKey {
    /// The key with these bytes.
    #[must_use]
    pub const fn new(bytes: [u8; LENGTH]) -> Self {
        Self(bytes)
    }

    /// The bytes of the key.
    #[must_use]
    pub const fn expose(&self) -> &[u8; LENGTH] {
        &self.0
    }

    /// The form in which Curve25519 uses a private key (RFC 7748 §5). The kernel keeps a device's private key in this form, whatever was
    /// set, so that private keys have to be compared in it. A preshared key has no such form.
    #[must_use]
    pub fn clamped(&self) -> Self {
        let mut clamped = self.clone();
        clamped.0[0] &= 0b1111_1000;
        clamped.0[31] = (clamped.0[31] & 0b0111_1111) | 0b0100_0000;
        clamped
    }

    /// Whether all bytes are zero: to the kernel and in the userspace API, that is no key.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.0 == [0; LENGTH]
    }

    /// Parses the form that `wg genkey` and `wg genpsk` print.
    ///
    /// # Errors
    /// The text is not the base64 form of 32 bytes.
    pub fn from_base64(text: &str) -> Result<Self, InvalidSecretKey> {
        // The decoder wants room for its estimate, one byte more than a key has.
        let mut room = Zeroizing::new([0; LENGTH + 1]);
        let length = STANDARD.decode_slice(text, room.as_mut_slice()).map_err(|_| InvalidSecretKey)?;
        if length != LENGTH {
            return Err(InvalidSecretKey);
        }
        let mut key = Self([0; LENGTH]);
        key.0.copy_from_slice(&room[..LENGTH]);
        Ok(key)
    }

    /// The form that `wg genkey` and `wg genpsk` print, wiped from memory when it is dropped.
    #[must_use]
    pub fn to_base64(&self) -> Zeroizing<String> {
        Zeroizing::new(STANDARD.encode(self.0))
    }
}

impl PartialEq for SecretKey {
    /// Takes the same time wherever the keys differ.
    fn eq(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
    }
}

impl Eq for SecretKey {}

impl fmt::Debug for SecretKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SecretKey(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_hides_the_key() {
        assert_eq!(format!("{:?}", SecretKey::new([7; LENGTH])), "SecretKey(hidden)");
    }

    #[test]
    fn a_clamped_key_has_the_bits_of_rfc_7748() {
        let clamped = SecretKey::new([0xff; LENGTH]).clamped();
        assert_eq!((clamped.0[0], clamped.0[31]), (0xf8, 0x7f));
        assert_eq!(SecretKey::new([0; LENGTH]).clamped().0[31], 0x40);
        assert_eq!(clamped.0[1..31], [0xff; 30]);
        assert_eq!(clamped.clamped(), clamped);
    }

    #[test]
    fn keys_are_equal_if_all_their_bytes_are() {
        let mut other = [7; LENGTH];
        assert_eq!(SecretKey::new([7; LENGTH]), SecretKey::new(other));
        other[31] = 8;
        assert_ne!(SecretKey::new([7; LENGTH]), SecretKey::new(other));
    }

    #[test]
    fn base64_is_parsed_to_the_key_that_wrote_it() {
        let key = SecretKey::new(std::array::from_fn(|byte| byte as u8));
        assert_eq!(SecretKey::from_base64(&key.to_base64()), Ok(key));
    }

    #[test]
    fn text_of_another_length_or_alphabet_is_refused() {
        for text in ["", "AAAA", "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo", &"A".repeat(44), &"?".repeat(44)] {
            assert_eq!(SecretKey::from_base64(text), Err(InvalidSecretKey), "{text:?}");
        }
    }
}
