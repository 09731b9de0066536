//! How many requests of each kind the server received.

use std::collections::BTreeMap;

use crate::resource::Resource;

/// What a request does, as a verb of Kubernetes' RBAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// Reads one object.
    Get,
    /// Reads a collection.
    List,
    /// Follows a collection.
    Watch,
    /// Creates an object.
    Create,
    /// Changes an object, with a merge patch or an apply patch.
    Patch,
}

impl Verb {
    /// Whether requests with this verb change objects.
    #[must_use]
    pub const fn writes(self) -> bool {
        match self {
            Self::Get | Self::List | Self::Watch => false,
            Self::Create | Self::Patch => true,
        }
    }
}

/// A kind of request. Equal requests are counted together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestKind {
    /// The bearer token, which the server takes as the user name.
    pub user: Option<String>,
    /// What the request does.
    pub verb: Verb,
    /// The resource that the request is for.
    pub resource: Resource,
}

/// How many requests of each kind came, rejected ones included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestCounts(BTreeMap<RequestKind, u64>);

impl RequestCounts {
    pub(crate) fn count(&mut self, request: RequestKind) {
        *self.0.entry(request).or_default() += 1;
    }

    /// The number of requests that `matches` accepts.
    pub fn sum(&self, matches: impl Fn(&RequestKind) -> bool) -> u64 {
        self.0.iter().filter(|(request, _)| matches(request)).map(|(_, count)| count).sum()
    }

    /// The number of requests that change objects.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.sum(|request| request.verb.writes())
    }
}
