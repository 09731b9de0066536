//! How far a DaemonSet is.

use std::fmt;

use k8s_openapi::api::apps::v1::DaemonSet;
use kube::{Api, Client};

/// How many of a DaemonSet's nodes have a ready pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    ready: i32,
    wanted: i32,
    /// Whether the numbers are those of the DaemonSet as it is now.
    is_current: bool,
}

/// Asks the API server for a DaemonSet.
///
/// # Errors
/// There is none, or the API server refused or did not answer.
pub async fn progress(client: &Client, namespace: &str, name: &str) -> Result<Progress, kube::Error> {
    Ok(Progress::of(&Api::namespaced(client.clone(), namespace).get(name).await?))
}

impl Progress {
    fn of(daemonset: &DaemonSet) -> Self {
        let status = daemonset.status.as_ref();
        let observed = status.and_then(|status| status.observed_generation);
        Self {
            ready: status.map_or(0, |status| status.number_ready),
            wanted: status.map_or(0, |status| status.desired_number_scheduled),
            is_current: observed.is_some() && observed >= daemonset.metadata.generation,
        }
    }

    /// Whether each node has a ready pod.
    #[must_use]
    pub const fn is_done(self) -> bool {
        self.is_current && self.ready >= self.wanted
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} nodes are ready", self.ready, self.wanted)
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::apps::v1::DaemonSetStatus;

    use super::*;

    fn progress(observed: Option<i64>, wanted: i32, ready: i32) -> Progress {
        let mut daemonset = DaemonSet::default();
        daemonset.metadata.generation = Some(2);
        daemonset.status = observed.map(|observed| DaemonSetStatus {
            observed_generation: Some(observed),
            desired_number_scheduled: wanted,
            number_ready: ready,
            ..DaemonSetStatus::default()
        });
        Progress::of(&daemonset)
    }

    #[test]
    fn a_daemonset_is_done_when_its_controller_has_seen_it_and_every_node_is_ready() {
        assert!(progress(Some(2), 3, 3).is_done());
        assert!(!progress(Some(2), 3, 2).is_done(), "a node is missing");
        assert!(!progress(Some(1), 0, 0).is_done(), "the controller has not seen the change");
        assert!(!progress(None, 0, 0).is_done(), "the controller has not seen the DaemonSet");
        assert_eq!(progress(Some(2), 3, 2).to_string(), "2 of 3 nodes are ready");
    }
}
