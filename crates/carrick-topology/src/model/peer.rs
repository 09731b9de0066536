//! An outside WireGuard device.

use std::collections::BTreeSet;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::model::{CreationTime, Endpoint, LocationName, PeerName, PublicKey};

/// One value in a Secret of the agent's namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SecretReference {
    /// The Secret's name.
    pub name: String,
    /// The key in its data.
    pub key: String,
}

/// A `Peer` object: a laptop, an office router, another cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Its name.
    pub name: PeerName,
    /// When the object was created.
    pub created: CreationTime,
    /// Its WireGuard key.
    pub public_key: PublicKey,
    /// The networks behind it.
    pub allowed_ips: BTreeSet<IpNet>,
    /// Where it listens; `None` if it only dials in.
    pub endpoint: Option<Endpoint>,
    /// Seconds between the keepalives that the serving node sends; `None` or 0 turns them off.
    pub persistent_keepalive: Option<u16>,
    /// Where its preshared key is kept.
    pub preshared_key: Option<SecretReference>,
    /// The location that serves it. Without one, rendezvous hashing chooses a location.
    pub location: Option<LocationName>,
}

impl Peer {
    /// The order in which claims are settled: creation time, then name.
    #[must_use]
    pub fn age(&self) -> (CreationTime, &PeerName) {
        (self.created, &self.name)
    }
}
