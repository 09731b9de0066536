//! Which node has each public key.

use std::collections::BTreeSet;

use crate::model::{Cluster, Node, NodeName, PublicKey};
use crate::{ObjectName, Warning, WarningReason};

/// The field of a warning about a node's public key.
pub(crate) const PUBLIC_KEY_FIELD: &str = "public-key";

/// The nodes that have a key.
pub(super) struct KeyOwners<'a> {
    /// Sorted by key.
    owners: Vec<(PublicKey, &'a NodeName)>,
    /// The nodes whose key another node has.
    without_key: BTreeSet<&'a NodeName>,
}

impl<'a> KeyOwners<'a> {
    /// Gives each key to the oldest node with a proof, or else to the oldest node.
    pub(super) fn of(cluster: &'a Cluster, warnings: &mut BTreeSet<Warning>) -> Self {
        let rank = |node: &'a Node| (node.public_key_proof.is_none(), node.age());
        let mut claims: Vec<(PublicKey, &Node)> =
            cluster.nodes.values().filter_map(|node| Some((node.public_key?, node))).collect();
        claims.sort_unstable_by(|(a, first), (b, second)| a.cmp(b).then_with(|| rank(first).cmp(&rank(second))));
        let mut keys = Self { owners: Vec::with_capacity(claims.len()), without_key: BTreeSet::new() };
        for same_key in claims.chunk_by(|(a, _), (b, _)| a == b) {
            let [(key, owner), others @ ..] = same_key else { continue };
            keys.owners.push((*key, &owner.name));
            for (_, other) in others {
                keys.without_key.insert(&other.name);
                let owner_is_proven = owner.public_key_proof.is_some();
                let owner = ObjectName::Node(owner.name.clone());
                let reason = match other.public_key_proof {
                    None if owner_is_proven => WarningReason::KeyOfOther(owner),
                    Some(_) | None => WarningReason::AlreadyClaimed(owner),
                };
                let object = ObjectName::Node(other.name.clone());
                warnings.insert(Warning::new(object, PUBLIC_KEY_FIELD, key, reason));
            }
        }
        keys
    }

    /// Whether another node has this node's key.
    pub(super) fn lacks_key(&self, node: &NodeName) -> bool {
        self.without_key.contains(node)
    }

    /// The node that has a key.
    pub(super) fn owner(&self, key: &PublicKey) -> Option<&'a NodeName> {
        let position = self.owners.binary_search_by(|(owned, _)| owned.cmp(key)).ok()?;
        self.owners.get(position).map(|(_, owner)| *owner)
    }
}
