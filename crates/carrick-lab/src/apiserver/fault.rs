//! Misbehaviour on demand.

use std::time::Duration;

use super::{request_counts::RequestKind, resource::Resource};

/// How the server misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Answers 429 with `Retry-After`, in whole seconds.
    TooManyRequests {
        /// What the server asks the client to wait.
        retry_after: Duration,
    },
    /// Answers 410 Gone: to a list and a resumed watch alike.
    Gone,
    /// Answers a watch with 200, then an event `ERROR` that carries 410. Other requests are served.
    GoneInWatch,
    /// Answers rightly, but only after this time.
    Slow(Duration),
}

/// How long a fault lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultDuration {
    /// For so many requests.
    Requests(u32),
    /// Until [`super::ApiServer::clear_faults`].
    UntilCleared,
}

/// Which requests a fault meets; `None` is any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestFilter {
    /// Only requests of this user.
    pub user: Option<String>,
    /// Only requests for this resource.
    pub resource: Option<Resource>,
}

/// The faults in force; the first that matches a request is the one that it meets.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<(Fault, FaultDuration, RequestFilter)>);

impl Faults {
    pub fn add(&mut self, fault: Fault, lasting: FaultDuration, filter: RequestFilter) {
        self.0.push((fault, lasting, filter));
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The fault that a request meets; one of limited lasting is used up by it.
    pub fn meet(&mut self, caller: &RequestKind) -> Option<Fault> {
        let hit = self.0.iter().position(|(fault, _, filter)| {
            filter.user.as_ref().is_none_or(|user| caller.user.as_ref() == Some(user))
                && filter.resource.is_none_or(|resource| caller.resource == resource)
                && (*fault != Fault::GoneInWatch || caller.verb == super::Verb::Watch)
        })?;
        let (fault, lasting, _) = &mut self.0[hit];
        let fault = *fault;
        match lasting {
            FaultDuration::UntilCleared => {}
            FaultDuration::Requests(left) => {
                *left = left.saturating_sub(1);
                if *left == 0 {
                    self.0.remove(hit);
                }
            }
        }
        Some(fault)
    }
}
