//! Which address of a domain name is dialled: one after the other until a handshake comes.
//!
//! The address that answered is kept. A session that has expired starts the search again, at that address.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use carrick_backoff::Now;
use carrick_topology::model::DnsName;
use carrick_topology::plan::NamedEndpoint;
use carrick_topology::{NodePlan, PublicKey};

use crate::peers::{PeerObservation, Session, observed_peers};

/// How long an address is dialled before the next one: WireGuard sends a second handshake after 5 s (`REKEY_TIMEOUT`, WireGuard paper §6.1).
const PATIENCE: Duration = Duration::from_secs(8);
/// The longest time for which one address is dialled. The time doubles each time that all addresses were dialled in vain.
const LONGEST_PATIENCE: Duration = Duration::from_secs(300);

/// The choice of an address for each domain name with several.
#[derive(Debug, Default)]
pub(crate) struct NameChoices {
    by_name: BTreeMap<DnsName, Choice>,
}

#[derive(Clone, Copy, Debug)]
struct Choice {
    address: IpAddr,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Answered,
    /// The next address is due at this time.
    Dialled {
        next: Now,
        patience: Duration,
    },
}

impl NameChoices {
    /// Takes note of the peers' sessions. Returns the address to dial of each name.
    pub(crate) fn observe(
        &mut self,
        now: Now,
        plan: &NodePlan,
        observations: &BTreeMap<PublicKey, PeerObservation>,
    ) -> BTreeMap<DnsName, IpAddr> {
        let mut names = BTreeSet::new();
        for (peer, seen) in observed_peers(plan, observations) {
            let (Some(named), Some(endpoint)) = (&peer.named, peer.endpoint) else { continue };
            names.insert(named.name.clone());
            let before = self.by_name.get(&named.name).filter(|choice| named.addresses.contains(&choice.address));
            let choice = before.copied().unwrap_or_else(|| Choice::dialled(now, endpoint.ip(), PATIENCE));
            self.by_name.insert(named.name.clone(), choice.after(now, named, seen));
        }
        self.by_name.retain(|name, _| names.contains(name));
        self.by_name.iter().map(|(name, choice)| (name.clone(), choice.address)).collect()
    }
}

impl Choice {
    fn dialled(now: Now, address: IpAddr, patience: Duration) -> Self {
        Self { address, state: State::Dialled { next: now + patience, patience } }
    }

    fn after(self, now: Now, named: &NamedEndpoint, seen: &PeerObservation) -> Self {
        match (seen.session, self.state) {
            (Session::Live, _) => {
                let answering = seen.endpoint.map(|endpoint| endpoint.ip());
                let address = answering.filter(|address| named.addresses.contains(address)).unwrap_or(self.address);
                Self { address, state: State::Answered }
            }
            (Session::None | Session::Expired, State::Answered) => Self::dialled(now, self.address, PATIENCE),
            (Session::None | Session::Expired, State::Dialled { next, .. }) if now < next => self,
            (Session::None | Session::Expired, State::Dialled { patience, .. }) => self.next(now, named, patience),
        }
    }

    fn next(self, now: Now, named: &NamedEndpoint, patience: Duration) -> Self {
        let position = named.addresses.iter().position(|address| *address == self.address);
        let following = position.and_then(|position| named.addresses.get(position + 1)).copied();
        match (following, named.addresses.first()) {
            (Some(following), _) => Self::dialled(now, following, patience),
            (None, Some(first)) => Self::dialled(now, *first, (patience * 2).min(LONGEST_PATIENCE)),
            (None, None) => self,
        }
    }
}
