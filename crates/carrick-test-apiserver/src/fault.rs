//! Faults on demand.

use std::time::Duration;

use crate::request_counts::{RequestKind, Verb};
use crate::resource::Resource;

/// A fault of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Answers 429 with `Retry-After`, in whole seconds.
    TooManyRequests {
        /// How long the server asks the client to wait.
        retry_after: Duration,
    },
    /// Answers 410 Gone, to a list and to a resumed watch.
    Gone,
    /// Answers a watch with 200, and then with an event `ERROR` that carries 410. Other requests are not affected.
    GoneInWatch,
    /// Answers correctly, but only after this time.
    Slow(Duration),
}

/// How long a fault lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultDuration {
    /// For this number of requests.
    Requests(u32),
    /// Until [`ApiServer::clear_faults`](crate::ApiServer::clear_faults).
    UntilCleared,
}

/// Which requests a fault affects. `None` matches every value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestFilter {
    /// Only requests of this user.
    pub user: Option<String>,
    /// Only requests for this resource.
    pub resource: Option<Resource>,
}

/// The active faults. The first fault that matches a request affects it.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<(Fault, FaultDuration, RequestFilter)>);

impl Faults {
    pub fn add(&mut self, fault: Fault, duration: FaultDuration, filter: RequestFilter) {
        self.0.push((fault, duration, filter));
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The fault that affects a request. A fault that lasts for a number of requests counts this one.
    pub fn take(&mut self, request: &RequestKind) -> Option<Fault> {
        let index = self.0.iter().position(|(fault, _, filter)| {
            filter.user.as_ref().is_none_or(|user| request.user.as_ref() == Some(user))
                && filter.resource.is_none_or(|resource| request.resource == resource)
                && (*fault != Fault::GoneInWatch || request.verb == Verb::Watch)
        })?;
        let (fault, duration, _) = &mut self.0[index];
        let fault = *fault;
        match duration {
            FaultDuration::UntilCleared => {}
            FaultDuration::Requests(left) => {
                *left = left.saturating_sub(1);
                if *left == 0 {
                    self.0.remove(index);
                }
            }
        }
        Some(fault)
    }
}
