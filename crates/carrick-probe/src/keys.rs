//! The keys by which two nodes recognise each other's packets.
//!
//! Both nodes compute the X25519 secret of their static WireGuard keys (RFC 7748 §6.1). From that secret, each direction gets a key of its
//! own: `BLAKE2s(key = secret, "carrick probe v2" || public key of the sender || public key of the receiver)` (RFC 7693). So a packet is
//! good in one direction only, and cannot be sent back to its sender. WireGuard hashes the same secret with HMAC and other inputs, so that
//! no key is used twice.

use blake2::Blake2sMac;
use blake2::digest::Mac;
use blake2::digest::consts::{U16, U32};
use carrick_topology::PublicKey;
use carrick_types::SecretKey;
use x25519_dalek::StaticSecret;

/// Bytes of a message authentication code.
pub(crate) const TAG_BYTES: usize = 16;

const CONTEXT: &[u8] = b"carrick probe v2";

/// The static WireGuard keys of this node.
#[derive(Debug)]
pub(crate) struct OwnKeys {
    private: SecretKey,
    public: PublicKey,
}

/// The keys of both directions between this node and another one.
#[derive(Debug)]
pub(crate) struct PairKeys {
    sends: SecretKey,
    receives: SecretKey,
}

impl OwnKeys {
    pub(crate) fn new(private: SecretKey) -> Self {
        let public = x25519_dalek::PublicKey::from(&StaticSecret::from(*private.expose()));
        Self { private, public: PublicKey::from_bytes(public.to_bytes()) }
    }

    /// The keys that this node shares with the holder of another public key. `None` if the secret would be known to others: the key is
    /// a point of small order (RFC 7748 §6.1), or it is this node's own key.
    pub(crate) fn agree(&self, other: &PublicKey) -> Option<PairKeys> {
        let secret = StaticSecret::from(*self.private.expose());
        let secret = secret.diffie_hellman(&x25519_dalek::PublicKey::from(*other.as_bytes()));
        (secret.was_contributory() && *other != self.public).then(|| PairKeys {
            sends: derive(secret.as_bytes(), &self.public, other),
            receives: derive(secret.as_bytes(), other, &self.public),
        })
    }
}

impl PairKeys {
    /// The code of a message that this node sends. The message is given in parts.
    pub(crate) fn tag(&self, message: [&[u8]; 2]) -> [u8; TAG_BYTES] {
        mac(&self.sends, message).finalize().into_bytes().into()
    }

    /// Whether the other node sent this message to this node. The comparison takes the same time wherever the codes differ.
    pub(crate) fn verify(&self, message: [&[u8]; 2], tag: &[u8; TAG_BYTES]) -> bool {
        mac(&self.receives, message).verify(tag.into()).is_ok()
    }
}

fn derive(secret: &[u8; 32], sender: &PublicKey, receiver: &PublicKey) -> SecretKey {
    let mut hash = <Blake2sMac<U32> as Mac>::new(secret.into());
    hash.update(CONTEXT);
    hash.update(sender.as_bytes());
    hash.update(receiver.as_bytes());
    SecretKey::new(hash.finalize().into_bytes().into())
}

fn mac(key: &SecretKey, message: [&[u8]; 2]) -> Blake2sMac<U16> {
    let mut mac = <Blake2sMac<U16> as Mac>::new(key.expose().into());
    message.iter().for_each(|part| mac.update(part));
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes<const N: usize>(hexadecimal: &str) -> [u8; N] {
        std::array::from_fn(|at| u8::from_str_radix(&hexadecimal[2 * at..2 * at + 2], 16).unwrap())
    }

    /// The keys of Alice and Bob in RFC 7748 §6.1.
    fn alice_and_bob() -> [OwnKeys; 2] {
        let private = [
            "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
            "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
        ];
        private.map(|key| OwnKeys::new(SecretKey::new(bytes(key))))
    }

    #[test]
    fn both_ends_derive_the_same_keys_for_each_direction() {
        let [alice, bob] = alice_and_bob();
        let [at_alice, at_bob] = [alice.agree(&bob.public).unwrap(), bob.agree(&alice.public).unwrap()];
        assert_eq!((&at_alice.sends, &at_alice.receives), (&at_bob.receives, &at_bob.sends));
        assert_ne!(at_alice.sends, at_alice.receives);
    }

    #[test]
    fn a_code_is_good_for_its_message_and_direction_only() {
        let [alice, bob] = alice_and_bob();
        let [at_alice, at_bob] = [alice.agree(&bob.public).unwrap(), bob.agree(&alice.public).unwrap()];
        let tag = at_alice.tag([b"one", b"two"]);
        // Computed with Python: `hashlib.blake2s`, and the secret that the RFC gives for these keys.
        assert_eq!(tag, bytes("2b27eac4ed0a9fcca3a731aafa527391"));
        assert!(at_bob.verify([b"one", b"two"], &tag));
        assert!(!at_bob.verify([b"one", b"tw0"], &tag));
        assert!(!at_alice.verify([b"one", b"two"], &tag), "a packet comes back to its sender");
        let stranger = OwnKeys::new(SecretKey::new([7; 32])).agree(&bob.public).unwrap();
        assert!(!at_bob.verify([b"one", b"two"], &stranger.tag([b"one", b"two"])));
    }

    #[test]
    fn a_key_with_a_known_secret_is_refused() {
        let [alice, _] = alice_and_bob();
        let one = PublicKey::from_bytes(std::array::from_fn(|at| u8::from(at == 0)));
        assert!(alice.agree(&PublicKey::from_bytes([0; 32])).is_none());
        assert!(alice.agree(&one).is_none(), "a point of small order");
        assert!(alice.agree(&alice.public).is_none(), "the node's own key");
    }
}
