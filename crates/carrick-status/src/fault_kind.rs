//! The kinds of faults, in one list for all crates.

use std::fmt;

/// Declares the kinds with their list, so that none is missing there.
macro_rules! fault_kinds {
    ($($(#[$doc:meta])* $kind:ident,)*) => {
        /// What is wrong with a node, as one word: the label `kind` of the metric `carrick_faults`, and the reason of the Event.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum FaultKind {
            $($(#[$doc])* $kind,)*
        }

        impl FaultKind {
            /// All kinds, in the order of the variants.
            pub const ALL: &[Self] = &[$(Self::$kind,)*];

            /// The word. It never changes.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$kind => stringify!($kind),)*
                }
            }
        }
    };
}

fault_kinds! {
    /// Neither the API nor the disk has told of the cluster.
    ClusterUnknown,
    /// The cluster has no Node of this name.
    NodeMissing,
    /// The API has not accepted what other nodes need to reach this one.
    NotAccepted,
    /// The kernel has not held a plan since the agent started.
    NotApplied,
    /// The Node has no pod CIDR.
    PodCidrMissing,
    /// The WireGuard device is missing, or cannot be used.
    DeviceMissing,
    /// The process of the WireGuard device does not answer.
    DeviceSilent,
    /// The kernel does not forward packets of an address family.
    ForwardingOff,
    /// A chain of another program drops packets of pods.
    ForwardChainDrops,
    /// A chain of another program drops packets by default, and takes no rules.
    ForwardChainLocked,
    /// The kernel refuses a part of the plan.
    KernelRefuses,
    /// The files of the pod network cannot be written.
    PodFilesNotWritten,
    /// The host's ends of pods cannot be restored.
    PodRoutesNotRestored,
    /// The nftables table of the CNI plugin cannot be restored.
    PodFirewallNotRestored,
    /// The state of the cluster cannot be saved.
    StateNotWritten,
    /// Nothing is received from the API server.
    ApiLost,
    /// The API server refuses the annotations of the own Node.
    WriteRefused,
    /// Another program changes the annotations of the own Node again and again.
    AnnotationsOverwritten,
    /// An admission policy is not in force.
    PolicyMissing,
    /// Another program has the port of the probes.
    ProbePortTaken,
    /// No node that this node probes answers.
    AllNodesSilent,
}

impl FaultKind {
    /// The kind with this word; `None` for one of a later version.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == word)
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_gives_its_kind_and_other_words_give_none() {
        for kind in FaultKind::ALL {
            assert_eq!(FaultKind::from_word(kind.as_str()), Some(*kind));
        }
        assert_eq!(FaultKind::from_word("KindOfALaterVersion"), None);
    }
}
