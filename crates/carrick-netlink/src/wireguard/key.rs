//! Keys: public ones to be shown, secret ones never.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// A Curve25519 public key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey(pub [u8; 32]);

/// A private or preshared key: wiped from memory when dropped, and never printed.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SecretKey([u8; 32]);

impl SecretKey {
    /// Takes the bytes of a key.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes of the key.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// The form in which Curve25519 uses a private key. The kernel keeps a device's private key in this form, whatever was set, so
    /// private keys have to be compared in it; a preshared key has no such form.
    #[must_use]
    pub fn clamped(&self) -> Self {
        let mut clamped = self.clone();
        clamped.0[0] &= 0b1111_1000;
        clamped.0[31] = (clamped.0[31] & 0b0111_1111) | 0b0100_0000;
        clamped
    }

    /// Whether all bytes are zero, which is how the kernel says that there is no key.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.0 == [0; 32]
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
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(hidden)")
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for PublicKey {
    /// In base64, as `wg show` does.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_keys_are_never_printed() {
        assert_eq!(format!("{:?}", SecretKey::new([7; 32])), "SecretKey(hidden)");
    }

    #[test]
    fn clamped_keys_are_as_the_kernel_keeps_them() {
        let clamped = SecretKey::new([0xff; 32]).clamped();
        assert_eq!((clamped.0[0], clamped.0[31]), (0xf8, 0x7f));
        assert_eq!(SecretKey::new([0; 32]).clamped().0[31], 0x40);
        assert_eq!(clamped.0[1..31], [0xff; 30]);
        assert_eq!(clamped.clamped(), clamped);
    }

    #[test]
    fn secret_keys_compare_by_their_bytes() {
        let mut other = [7; 32];
        assert_eq!(SecretKey::new([7; 32]), SecretKey::new(other));
        other[31] = 8;
        assert_ne!(SecretKey::new([7; 32]), SecretKey::new(other));
    }
}
