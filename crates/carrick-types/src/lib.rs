//! Address families, Ethernet addresses, WireGuard keys and printable text.
//!
//! The model of the cluster and the messages to the kernel use the same types, so that a plan needs no conversion on its way into the
//! kernel.
#![forbid(unsafe_code)]

mod family;
mod key_proof;
mod mac;
mod printable;
mod public_key;
mod secret_key;

pub use family::Family;
pub use key_proof::{InvalidKeyProof, KeyProof};
pub use mac::{InvalidMacAddress, MacAddress};
pub use printable::{is_printable, printable};
pub use public_key::{InvalidPublicKey, PublicKey};
pub use secret_key::{InvalidSecretKey, SecretKey};
