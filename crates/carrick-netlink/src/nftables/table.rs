//! Tables and chains.

use std::collections::BTreeMap;

use super::{Rule, Set};

/// The packets that a table sees (`NFPROTO_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum TableFamily {
    /// IPv4 and IPv6.
    Inet = 1,
    /// IPv4.
    Ipv4 = 2,
    /// IPv6.
    Ipv6 = 10,
}

/// A table with everything in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// The packets that it sees.
    pub family: TableFamily,
    /// Its name.
    pub name: String,
    /// `NFT_TABLE_F_*`: 0 unless a program made the table dormant or owns it.
    pub flags: u32,
    /// Its sets and maps, by name.
    pub sets: BTreeMap<String, Set>,
    /// Its chains, by name.
    pub chains: BTreeMap<String, Chain>,
}

/// A list of rules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chain {
    /// Where packets enter it; `None` where only jumps lead to it.
    pub base: Option<BaseChain>,
    /// Its rules, in order.
    pub rules: Vec<Rule>,
}

/// Where packets enter a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BaseChain {
    /// What the chain can do.
    pub kind: ChainKind,
    /// At which point of a packet's way.
    pub hook: Hook,
    /// Lower numbers come first.
    pub priority: i32,
    /// What happens to a packet that reaches the end.
    pub policy: Policy,
}

/// What a base chain can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainKind {
    /// Let packets pass or drop them.
    Filter,
    /// Translate addresses; sees the first packet of a connection only.
    Nat,
    /// Have packets routed again after a change.
    Route,
}

/// A point of a packet's way (`enum nf_inet_hooks`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum Hook {
    /// Received, not yet routed.
    Prerouting = 0,
    /// For this host.
    Input = 1,
    /// From one device to another.
    Forward = 2,
    /// From this host.
    Output = 3,
    /// About to leave, routed.
    Postrouting = 4,
}

/// What happens to a packet that reaches the end of a base chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Policy {
    /// It is dropped.
    Drop = 0,
    /// It passes.
    Accept = 1,
}

/// Priorities with a name in `nft` (`enum nf_ip_hook_priorities`).
pub mod priority {
    /// `dstnat` in `prerouting`.
    pub const DESTINATION_NAT: i32 = -100;
    /// `raw`: before connection tracking.
    pub const RAW: i32 = -300;
    /// `mangle`.
    pub const MANGLE: i32 = -150;
    /// `filter`.
    pub const FILTER: i32 = 0;
    /// `srcnat` in `postrouting`.
    pub const SOURCE_NAT: i32 = 100;
}

impl Table {
    /// An empty table.
    #[must_use]
    pub fn new(family: TableFamily, name: impl Into<String>) -> Self {
        Self { family, name: name.into(), flags: 0, sets: BTreeMap::new(), chains: BTreeMap::new() }
    }

    /// Adds a set or map.
    #[must_use]
    pub fn with_set(mut self, name: impl Into<String>, set: Set) -> Self {
        self.sets.insert(name.into(), set);
        self
    }

    /// Adds a chain.
    #[must_use]
    pub fn with_chain(mut self, name: impl Into<String>, chain: Chain) -> Self {
        self.chains.insert(name.into(), chain);
        self
    }
}

impl Chain {
    /// A chain that packets enter at a hook, and pass where no rule says otherwise.
    #[must_use]
    pub fn at(hook: Hook, kind: ChainKind, priority: i32) -> Self {
        Self { base: Some(BaseChain { kind, hook, priority, policy: Policy::Accept }), rules: Vec::new() }
    }

    /// A chain that only jumps lead to.
    #[must_use]
    pub fn regular() -> Self {
        Self::default()
    }

    /// Appends rules.
    #[must_use]
    pub fn with_rules(mut self, rules: impl IntoIterator<Item = Rule>) -> Self {
        self.rules.extend(rules);
        self
    }
}

impl TableFamily {
    /// The word that `nft` uses.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            TableFamily::Inet => "inet",
            TableFamily::Ipv4 => "ip",
            TableFamily::Ipv6 => "ip6",
        }
    }
}

impl ChainKind {
    pub(super) fn name(self) -> &'static str {
        match self {
            ChainKind::Filter => "filter",
            ChainKind::Nat => "nat",
            ChainKind::Route => "route",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        [ChainKind::Filter, ChainKind::Nat, ChainKind::Route].into_iter().find(|kind| kind.name() == name)
    }
}

impl Hook {
    pub(super) fn from_number(number: u32) -> Option<Self> {
        [Hook::Prerouting, Hook::Input, Hook::Forward, Hook::Output, Hook::Postrouting]
            .into_iter()
            .find(|hook| *hook as u32 == number)
    }
}

impl Policy {
    pub(super) fn from_number(number: u32) -> Option<Self> {
        [Policy::Drop, Policy::Accept].into_iter().find(|policy| *policy as u32 == number)
    }
}
