//! Who asked for what, how often.

use std::collections::BTreeMap;

use super::resource::Resource;

/// What a request does, in the words of Kubernetes' RBAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// Reads one object.
    Get,
    /// Reads a collection.
    List,
    /// Follows a collection.
    Watch,
    /// Makes an object.
    Create,
    /// Replaces an object.
    Update,
    /// Changes an object: merge patch.
    Patch,
    /// Changes an object: server-side apply.
    Apply,
    /// Removes an object.
    Delete,
}

impl Verb {
    /// Whether it changes objects.
    pub fn writes(self) -> bool {
        match self {
            Self::Get | Self::List | Self::Watch => false,
            Self::Create | Self::Update | Self::Patch | Self::Apply | Self::Delete => true,
        }
    }
}

/// A kind of request: equal ones are counted together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestKind {
    /// The bearer token: the server takes it for the user's name.
    pub user: Option<String>,
    /// The header `User-Agent`.
    pub user_agent: Option<String>,
    /// What was asked.
    pub verb: Verb,
    /// Of what.
    pub resource: Resource,
}

/// How many requests of each kind came, refused ones included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestCounts(BTreeMap<RequestKind, u64>);

impl RequestCounts {
    pub(super) fn count(&mut self, caller: RequestKind) {
        *self.0.entry(caller).or_default() += 1;
    }

    /// Every kind of request that came, with its number.
    pub fn iter(&self) -> impl Iterator<Item = (&RequestKind, u64)> {
        self.0.iter().map(|(caller, count)| (caller, *count))
    }

    /// The number of requests that `matches` picks.
    pub fn sum(&self, matches: impl Fn(&RequestKind) -> bool) -> u64 {
        self.iter().filter(|(caller, _)| matches(caller)).map(|(_, count)| count).sum()
    }

    /// The number of requests that ask for a change.
    pub fn writes(&self) -> u64 {
        self.sum(|caller| caller.verb.writes())
    }
}
