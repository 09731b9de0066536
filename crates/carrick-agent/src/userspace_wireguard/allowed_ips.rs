//! The peer of each allowed IP. An allowed IP belongs to at most one peer.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use carrick_netlink::wireguard::{self, AllowedIpChange, PeerChange, PublicKey};

/// The allowed IPs of all peers of a device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedIps {
    owners: BTreeMap<IpNet, PublicKey>,
    lists: BTreeMap<PublicKey, BTreeSet<IpNet>>,
}

impl AllowedIps {
    /// Applies the allowed IPs of a change and returns every peer whose list differs from before: the changed peer itself, and peers that
    /// lost an address to it.
    pub fn apply(&mut self, update: &PeerChange) -> BTreeSet<PublicKey> {
        let before = self.of(&update.public_key);
        let mut changed = BTreeSet::new();
        match &update.allowed_ips {
            wireguard::AllowedIps::Replace(networks) => {
                self.remove_peer(&update.public_key);
                for network in networks {
                    changed.extend(self.add(update.public_key, network.trunc()));
                }
            }
            wireguard::AllowedIps::Change(changes) => {
                for change in changes {
                    match change {
                        AllowedIpChange::Add(network) => changed.extend(self.add(update.public_key, network.trunc())),
                        AllowedIpChange::Remove(network) => self.remove(update.public_key, network.trunc()),
                    }
                }
            }
        }
        if self.of(&update.public_key) != before {
            changed.insert(update.public_key);
        }
        changed
    }

    /// Removes a peer and its allowed IPs.
    pub fn remove_peer(&mut self, peer: &PublicKey) {
        for network in self.lists.remove(peer).unwrap_or_default() {
            self.owners.remove(&network);
        }
    }

    /// The allowed IPs of one peer, in order.
    pub fn of(&self, peer: &PublicKey) -> BTreeSet<IpNet> {
        self.lists.get(peer).cloned().unwrap_or_default()
    }

    /// Assigns the network to a peer. Returns the peer that had it before.
    fn add(&mut self, peer: PublicKey, network: IpNet) -> Option<PublicKey> {
        self.lists.entry(peer).or_default().insert(network);
        let loser = self.owners.insert(network, peer).filter(|owner| *owner != peer)?;
        if let Some(list) = self.lists.get_mut(&loser) {
            list.remove(&network);
        }
        Some(loser)
    }

    fn remove(&mut self, peer: PublicKey, network: IpNet) {
        if self.owners.get(&network) != Some(&peer) {
            return;
        }
        self.owners.remove(&network);
        if let Some(list) = self.lists.get_mut(&peer) {
            list.remove(&network);
        }
    }
}

#[cfg(test)]
mod tests {
    use carrick_netlink::wireguard::PeerVerb;

    use super::*;

    const A: PublicKey = key(1);
    const B: PublicKey = key(2);

    const fn key(byte: u8) -> PublicKey {
        PublicKey([byte; 32])
    }

    fn network(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    fn changes(peer: PublicKey, allowed_ips: wireguard::AllowedIps) -> PeerChange {
        PeerChange { allowed_ips, ..PeerChange::new(peer, PeerVerb::Set) }
    }

    fn adds(peer: PublicKey, networks: &[&str]) -> PeerChange {
        let added = networks.iter().map(|text| AllowedIpChange::Add(network(text))).collect();
        changes(peer, wireguard::AllowedIps::Change(added))
    }

    #[test]
    fn an_allowed_ip_moves_to_the_peer_that_names_it_last() {
        let mut allowed_ips = AllowedIps::default();
        allowed_ips.apply(&adds(A, &["10.0.0.0/24", "fd00::/64"]));
        let changed = allowed_ips.apply(&adds(B, &["10.0.0.0/24"]));
        assert_eq!(changed, [A, B].into());
        assert_eq!(allowed_ips.of(&A), [network("fd00::/64")].into());
        assert_eq!(allowed_ips.of(&B), [network("10.0.0.0/24")].into());
    }

    #[test]
    fn replacing_a_list_by_itself_changes_no_peer() {
        let mut allowed_ips = AllowedIps::default();
        allowed_ips.apply(&adds(A, &["10.0.0.0/24", "10.0.1.0/24"]));
        let list = ["10.0.1.0/24", "10.0.0.0/24"].map(network).to_vec();
        let again = changes(A, wireguard::AllowedIps::Replace(list));
        assert_eq!(allowed_ips.apply(&again), BTreeSet::new());
    }

    #[test]
    fn host_bits_do_not_make_another_network() {
        let mut allowed_ips = AllowedIps::default();
        allowed_ips.apply(&adds(A, &["10.0.0.7/24"]));
        assert_eq!(allowed_ips.apply(&adds(A, &["10.0.0.0/24"])), BTreeSet::new());
    }

    #[test]
    fn only_the_owner_can_give_an_allowed_ip_up() {
        let mut allowed_ips = AllowedIps::default();
        allowed_ips.apply(&adds(A, &["10.0.0.0/24"]));
        let removed = vec![AllowedIpChange::Remove(network("10.0.0.0/24"))];
        let removal = |peer| changes(peer, wireguard::AllowedIps::Change(removed.clone()));
        assert_eq!(allowed_ips.apply(&removal(B)), BTreeSet::new());
        assert_eq!(allowed_ips.apply(&removal(A)), [A].into());
        assert_eq!(allowed_ips.of(&A), BTreeSet::new());
    }

    #[test]
    fn a_removed_peer_owns_nothing() {
        let mut allowed_ips = AllowedIps::default();
        allowed_ips.apply(&adds(A, &["10.0.0.0/24"]));
        allowed_ips.remove_peer(&A);
        assert_eq!(allowed_ips, AllowedIps::default());
        assert_eq!(allowed_ips.apply(&adds(B, &["10.0.0.0/24"])), [B].into());
    }
}
