//! The proof that a node holds the private key of the WireGuard key that it publishes.
//!
//! It is an XEdDSA signature (Signal, "The XEdDSA and VXEdDSA Signature Schemes", revision 1) by the private key over a context string, the
//! public key and the name of the node. All nodes can verify it, and it is valid for no node of another name.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rand_0_10::SeedableRng as _;
use rand_0_10::rngs::StdRng;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use xeddsa::xed25519::{PrivateKey, PublicKey as VerifyingKey};
use xeddsa::{Sign as _, Verify as _};

use crate::{PublicKey, SecretKey};

/// The length of a signature, in bytes.
const LENGTH: usize = 64;
const CONTEXT: &[u8] = b"carrick public key proof v1";

/// A signature by a node's private key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyProof([u8; LENGTH]);

/// Text that is not a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a signature: expected 64 bytes as 88 characters of base64")]
pub struct InvalidKeyProof;

impl KeyProof {
    /// The proof of the node with this name and this key pair. With other random bytes it is another one, and both are valid.
    #[must_use]
    pub fn new(private_key: &SecretKey, public_key: &PublicKey, node: &str, random: [u8; 32]) -> Self {
        let generator = StdRng::from_seed(random);
        Self(PrivateKey::from(private_key.expose()).sign(&message(public_key, node), generator))
    }

    /// Whether the holder of the private key of this public key made the proof for the node of this name.
    #[must_use]
    pub fn is_of(&self, public_key: &PublicKey, node: &str) -> bool {
        VerifyingKey(*public_key.as_bytes()).verify(&message(public_key, node), &self.0).is_ok()
    }
}

/// All parts but the last one have a fixed length, so that no two nodes share a message.
fn message(public_key: &PublicKey, node: &str) -> Vec<u8> {
    [CONTEXT, public_key.as_bytes(), node.as_bytes()].concat()
}

impl FromStr for KeyProof {
    type Err = InvalidKeyProof;

    fn from_str(text: &str) -> Result<Self, InvalidKeyProof> {
        let bytes = STANDARD.decode(text).map_err(|_| InvalidKeyProof)?;
        <[u8; LENGTH]>::try_from(bytes).map(Self).map_err(|_| InvalidKeyProof)
    }
}

impl TryFrom<String> for KeyProof {
    type Error = InvalidKeyProof;

    fn try_from(text: String) -> Result<Self, InvalidKeyProof> {
        text.parse()
    }
}

impl From<KeyProof> for String {
    fn from(proof: KeyProof) -> Self {
        proof.to_string()
    }
}

impl fmt::Display for KeyProof {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for KeyProof {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANDOM: [u8; 32] = [7; 32];

    /// A key pair. The sign of the point on the Edwards curve differs between pairs.
    fn pair(number: u8) -> (SecretKey, PublicKey) {
        let public = x25519_dalek::x25519([number; LENGTH / 2], x25519_dalek::X25519_BASEPOINT_BYTES);
        (SecretKey::new([number; LENGTH / 2]), PublicKey::from_bytes(public))
    }

    #[test]
    fn a_proof_is_valid_for_its_key_and_its_node_only() {
        for number in 0..16 {
            let (own, other) = (pair(number), pair(number + 100));
            let proof = KeyProof::new(&own.0, &own.1, "a1", RANDOM);
            assert!(proof.is_of(&own.1, "a1"));
            assert!(!proof.is_of(&own.1, "a2") && !proof.is_of(&own.1, "a"), "another node copies the proof");
            assert!(!proof.is_of(&other.1, "a1"));
            let stolen = KeyProof::new(&other.0, &own.1, "a1", RANDOM);
            assert!(!stolen.is_of(&own.1, "a1"), "a node claims a key of which it does not hold the private key");
        }
    }

    #[test]
    fn each_changed_bit_makes_a_proof_invalid() {
        let (private, public) = pair(7);
        let proof = KeyProof::new(&private, &public, "a1", RANDOM);
        for bit in 0..LENGTH * 8 {
            let mut changed = proof;
            changed.0[bit / 8] ^= 1 << (bit % 8);
            assert!(!changed.is_of(&public, "a1"), "bit {bit}");
        }
    }

    #[test]
    fn a_proof_is_read_from_what_it_is_written_as() {
        let (private, public) = pair(7);
        let proof = KeyProof::new(&private, &public, "a1", RANDOM);
        assert_eq!(proof.to_string().parse(), Ok(proof));
        assert_eq!(proof.to_string().len(), 88);
        for text in ["", "AAAA", &"A".repeat(84), &"?".repeat(88)] {
            assert_eq!(text.parse::<KeyProof>(), Err(InvalidKeyProof), "{text}");
        }
    }
}
