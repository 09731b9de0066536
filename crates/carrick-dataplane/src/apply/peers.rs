//! Operations on WireGuard's configuration.

use carrick_netlink::wireguard::{AllowedIpChange, AllowedIps, DeviceChange, PeerChange, PeerVerb, PublicKey};
use carrick_topology::DeviceName;
use ipnet::IpNet;

use super::failure::FailureCause;
use crate::operation::Operation;
use crate::wireguard::{WireGuard, WireGuardError};

/// A key that no node has: it is a text, of which the private key is not known. If the agent ends before it removes the peer, the next
/// comparison does.
const THROW_AWAY_PEER: PublicKey = PublicKey::from_bytes(*b"carrick: allowed IPs to give up ");

/// Who carries out what is WireGuard's.
pub(crate) struct PeerExecutor<'a> {
    pub(crate) wireguard: &'a mut dyn WireGuard,
    pub(crate) device: &'a DeviceName,
    /// Whether single allowed IPs can be removed, as far as it was tried.
    pub(crate) removal: &'a mut AllowedIpRemoval,
}

/// How allowed IPs leave a peer that no other peer gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AllowedIpRemoval {
    /// Each on its own; to be tried first, because the others are never missing for a moment.
    Single,
    /// What is there does not know single removal (kernels before 6.16). The allowed IPs move to a throw-away peer, which is then removed.
    /// To replace the whole list would leave the peer without the allowed IPs that it keeps for a moment.
    ByThrowAwayPeer,
}

impl PeerExecutor<'_> {
    pub(super) fn carry_out(&mut self, run: &[Operation]) -> Vec<Result<(), FailureCause>> {
        let changes: Vec<DeviceChange> = run.iter().map(|operation| device_change(operation, *self.removal)).collect();
        let results = self.wireguard.set(self.device.as_str(), &changes);
        let results = run.iter().zip(results).map(|(operation, result)| match result {
            Err(error) if is_removal(operation) && *self.removal == AllowedIpRemoval::Single => {
                self.without_single_removal(operation, error)
            }
            result => result.map_err(FailureCause::from),
        });
        results.collect()
    }

    /// Tries again in the way that every WireGuard knows.
    fn without_single_removal(&mut self, operation: &Operation, error: WireGuardError) -> Result<(), FailureCause> {
        if !error.is_invalid_request() {
            return Err(error.into());
        }
        *self.removal = AllowedIpRemoval::ByThrowAwayPeer;
        let change = device_change(operation, *self.removal);
        let results = self.wireguard.set(self.device.as_str(), std::slice::from_ref(&change));
        results.into_iter().collect::<Result<(), WireGuardError>>().map_err(FailureCause::from)
    }
}

/// An allowed IP belongs to one peer alone: what is given to another one leaves the peer that had it, in one step.
fn by_throw_away_peer(removed: &[IpNet]) -> DeviceChange {
    let taking = PeerChange {
        allowed_ips: AllowedIps::Replace(removed.to_vec()),
        ..PeerChange::new(THROW_AWAY_PEER, PeerVerb::Set)
    };
    DeviceChange { peers: vec![taking, PeerChange::new(THROW_AWAY_PEER, PeerVerb::Remove)], ..DeviceChange::default() }
}

fn is_removal(operation: &Operation) -> bool {
    matches!(operation, Operation::RemoveAllowedIps { .. })
}

fn device_change(operation: &Operation, removal: AllowedIpRemoval) -> DeviceChange {
    let of_peer = |peer: PeerChange| DeviceChange { peers: vec![peer], ..DeviceChange::default() };
    match operation {
        Operation::ConfigureWireGuard(change) => change.clone(),
        Operation::SetPeer(change) => of_peer(change.clone()),
        Operation::RemovePeer(key) => of_peer(PeerChange::new(*key, PeerVerb::Remove)),
        Operation::RemoveAllowedIps { peer, removed } => match removal {
            AllowedIpRemoval::Single => of_peer(PeerChange {
                allowed_ips: AllowedIps::Change(removed.iter().copied().map(AllowedIpChange::Remove).collect()),
                ..PeerChange::new(*peer, PeerVerb::Update)
            }),
            AllowedIpRemoval::ByThrowAwayPeer => by_throw_away_peer(removed),
        },
        _ => DeviceChange::default(),
    }
}
