//! What this node and one other gateway tell each other, and whether an encapsulated probe passed between them.

use carrick_topology::handover::Decapsulation;

use super::flags::HandoverFlags;

/// One other gateway, as far as handovers go.
#[derive(Debug, Default)]
pub(crate) struct HandoverPeer {
    /// What the gateway said last.
    said: HandoverFlags,
    /// What this node has to tell it.
    to_tell: HandoverFlags,
    /// What the latest plain probe told it.
    told: HandoverFlags,
    trial: Trial,
}

/// Whether encapsulated packets are known to reach the gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Trial {
    /// The gateway accepts none, or this node's kernel cannot send any.
    #[default]
    Idle,
    Wanted,
    Passed,
}

/// What of it the rest of the prober must be evaluated again for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PeerObservation {
    said: HandoverFlags,
    decapsulation: Option<Decapsulation>,
}

/// Whether something should be sent to the gateway before the regular probe is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Urgency {
    Regular,
    Now,
}

impl HandoverPeer {
    /// The gateway's agent said this.
    pub(crate) const fn hear(&mut self, said: HandoverFlags) {
        self.said = said;
    }

    /// The gateway's agent is not heard any more: what it said no longer counts.
    pub(crate) const fn forget(&mut self) {
        self.said = HandoverFlags::NONE;
    }

    /// What the gateway said last.
    pub(crate) const fn said(&self) -> HandoverFlags {
        self.said
    }

    /// Tells the gateway this from now on, and tries an encapsulated probe once the gateway accepts them and the kernel `leads_there`.
    pub(crate) fn update(&mut self, to_tell: HandoverFlags, leads_there: bool) -> Urgency {
        let is_news = to_tell != self.to_tell;
        self.to_tell = to_tell;
        let is_open = leads_there && self.said.decapsulates();
        let starts_trial = is_open && self.trial == Trial::Idle;
        self.trial = match self.trial {
            _ if !is_open => Trial::Idle,
            Trial::Idle | Trial::Wanted => Trial::Wanted,
            Trial::Passed => Trial::Passed,
        };
        if is_news || starts_trial { Urgency::Now } else { Urgency::Regular }
    }

    /// What this node has to tell the gateway.
    pub(crate) const fn to_tell(&self) -> HandoverFlags {
        self.to_tell
    }

    /// Whether the gateway was told what it has to be told.
    pub(crate) fn is_told(&self) -> bool {
        self.to_tell == self.told
    }

    /// A plain probe went out, with all there is to tell.
    pub(crate) const fn note_plain_probe(&mut self) {
        self.told = self.to_tell;
    }

    /// Whether an encapsulated probe should be sent.
    pub(crate) fn wants_trial(&self) -> bool {
        self.trial == Trial::Wanted
    }

    /// An encapsulated probe was answered.
    pub(crate) fn note_trial_passed(&mut self) {
        if self.trial == Trial::Wanted {
            self.trial = Trial::Passed;
        }
    }

    /// Whether the gateway accepts encapsulated packets, and whether they reach it.
    pub(crate) fn decapsulation(&self) -> Option<Decapsulation> {
        self.said.decapsulates().then_some(match self.trial {
            Trial::Idle | Trial::Wanted => Decapsulation::Offered,
            Trial::Passed => Decapsulation::Proven,
        })
    }

    /// Whether the gateway asks this node to encapsulate, and does not know yet that it does.
    pub(crate) fn waits_for_encapsulation(&self) -> bool {
        self.said.decapsulates() && !(self.told.encapsulates() && self.is_told())
    }

    pub(crate) fn observation(&self) -> PeerObservation {
        PeerObservation { said: self.said, decapsulation: self.decapsulation() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_statement_is_urgent_until_a_plain_probe_told_it() {
        let mut peer = HandoverPeer::default();
        assert_eq!(peer.update(HandoverFlags::ENCAPSULATES, false), Urgency::Now);
        assert!(!peer.is_told());
        assert_eq!(peer.update(HandoverFlags::ENCAPSULATES, false), Urgency::Regular);
        peer.note_plain_probe();
        assert!(peer.is_told());
    }

    #[test]
    fn a_gateway_that_asks_waits_until_a_plain_probe_told_it() {
        let mut peer = HandoverPeer::default();
        peer.update(HandoverFlags::ENCAPSULATES, true);
        assert!(!peer.waits_for_encapsulation(), "it does not ask");
        peer.hear(HandoverFlags::DECAPSULATES);
        assert!(peer.waits_for_encapsulation());
        peer.note_plain_probe();
        assert!(!peer.waits_for_encapsulation());
        peer.update(HandoverFlags::NONE, true);
        peer.note_plain_probe();
        assert!(peer.waits_for_encapsulation(), "it is told, and nothing is encapsulated");
    }

    #[test]
    fn encapsulation_is_proven_by_an_answered_trial_and_tried_anew_after_each_withdrawal() {
        let mut peer = HandoverPeer::default();
        assert_eq!(peer.decapsulation(), None);
        peer.hear(HandoverFlags::DECAPSULATES);
        assert_eq!(peer.update(HandoverFlags::NONE, false), Urgency::Regular, "the kernel cannot send any");
        assert_eq!((peer.decapsulation(), peer.wants_trial()), (Some(Decapsulation::Offered), false));
        assert_eq!(peer.update(HandoverFlags::NONE, true), Urgency::Now);
        assert!(peer.wants_trial());
        peer.note_trial_passed();
        assert_eq!((peer.decapsulation(), peer.wants_trial()), (Some(Decapsulation::Proven), false));
        peer.forget();
        assert_eq!((peer.update(HandoverFlags::NONE, true), peer.decapsulation()), (Urgency::Regular, None));
        peer.note_trial_passed();
        peer.hear(HandoverFlags::DECAPSULATES);
        assert_eq!(peer.decapsulation(), Some(Decapsulation::Offered), "a late answer proves nothing");
    }
}
