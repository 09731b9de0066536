//! The page `/status`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use carrick_probe::ProbedPath;
use carrick_topology::Liveness;
use carrick_topology::model::PublicKey;
use carrick_topology::{NodeName, NodePlan, Settings};
use serde::{Deserialize, Serialize};

use crate::{AgentEvent, FaultReport, PeerState, Traffic};

/// Whether the agent receives changes from the API server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ApiConnection {
    /// The agent's watches are in sync.
    Synced,
    /// The agent receives no changes.
    #[default]
    Lost,
}

/// The page `/status` of one agent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StatusPage {
    /// The agent's version.
    pub version: String,
    /// The agent's node.
    #[serde(default)]
    pub node: Option<NodeName>,
    /// The node's clock when the agent wrote the page, in milliseconds since 1970-01-01 UTC.
    #[serde(default)]
    pub unix_ms: u64,
    /// How long the agent has been running, in seconds.
    #[serde(default)]
    pub running_seconds: u64,
    /// Whether `/readyz` reports ready.
    pub ready: bool,
    /// What the agent waits for, for people; empty if it waits for nothing.
    pub waiting: String,
    /// The state of the connection to the API server.
    pub api: ApiConnection,
    /// How often the agent compared the kernel with the plan.
    pub applies: u64,
    /// How often the agent repaired what another program had changed.
    pub drift_repairs: u64,
    /// What the agent repaired at least three times in the last ten minutes, for people, with the number of repairs: another program writes
    /// the same things.
    #[serde(default)]
    pub repeated_drift: BTreeMap<String, usize>,
    /// The operations that failed in the last apply.
    pub failures: Vec<String>,
    /// The values that the plan ignores, and why, for people.
    pub warnings: BTreeSet<String>,
    /// What is wrong with the admission policies that protect the annotations, for people. Empty if they are in force, and until the agent
    /// knows.
    #[serde(default)]
    pub policy_faults: BTreeSet<String>,
    /// The faults in force; the warnings of the plan are not among them.
    #[serde(default)]
    pub faults: Vec<FaultReport>,
    /// The settings that the plan was computed with.
    #[serde(default)]
    pub settings: Option<Arc<Settings>>,
    /// The state of other nodes according to this node's probes.
    #[serde(default)]
    pub liveness: Liveness,
    /// The plan in force.
    pub plan: Option<Arc<NodePlan>>,
    /// The WireGuard peers on the device.
    pub peers: BTreeMap<PublicKey, PeerState>,
    /// The paths to the nodes that this node probes.
    #[serde(default)]
    pub paths: Vec<ProbedPath>,
    /// What this node sent through its tunnels, for each pair of locations.
    #[serde(default)]
    pub traffic: Vec<Traffic>,
    /// The latest events, oldest first.
    #[serde(default)]
    pub events: Vec<AgentEvent>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_with_missing_and_unknown_fields_can_be_read() {
        let page: StatusPage = serde_json::from_str(
            r#"{"version":"0.1.0","ready":true,"waiting":"","api":"synced","applies":3,"drift_repairs":0,
                "failures":[],"warnings":[],"plan":null,"peers":{},"something_of_a_later_version":1}"#,
        )
        .unwrap();
        assert_eq!((page.applies, page.api, page.node), (3, ApiConnection::Synced, None));
    }

    #[test]
    fn a_page_survives_a_round_trip_through_json() {
        let page =
            StatusPage { version: "0.1.0".to_owned(), node: Some("a1".parse().unwrap()), ..StatusPage::default() };
        let text = serde_json::to_string(&page).unwrap();
        assert_eq!(serde_json::from_str::<StatusPage>(&text).unwrap(), page);
    }
}
