//! The node's own WireGuard key.

use carrick_topology::PublicKey;
use carrick_types::SecretKey;
use x25519_dalek::StaticSecret;

/// A new private key from the operating system's random source.
pub fn generate() -> SecretKey {
    SecretKey::new(StaticSecret::random().to_bytes())
}

/// The public key of a private key.
pub fn public_key(private_key: &SecretKey) -> PublicKey {
    let secret = StaticSecret::from(*private_key.expose());
    PublicKey::from_bytes(x25519_dalek::PublicKey::from(&secret).to_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key pair of RFC 7748, section 6.1 (Alice).
    #[test]
    fn the_public_key_is_the_one_of_rfc_7748() {
        let private = SecretKey::from_base64("dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=").unwrap();
        assert_eq!(public_key(&private).to_string(), "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=");
    }

    #[test]
    fn two_new_keys_differ() {
        assert_ne!(generate(), generate());
    }
}
