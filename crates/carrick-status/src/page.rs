//! The page as a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use carrick_probe::ProbedPath;
use carrick_topology::Liveness;
use carrick_topology::model::PublicKey;
use carrick_topology::{NodeName, NodePlan, Settings};
use serde::{Deserialize, Serialize};

use crate::{Happening, PeerState, Traffic};

/// Whether changes arrive from the API server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ApiHearing {
    /// They do.
    Synced,
    /// They do not.
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
    /// What the node's clock said when the page was written, in milliseconds since 1970-01-01 UTC.
    #[serde(default)]
    pub unix_ms: u64,
    /// How long the agent has run, in seconds.
    #[serde(default)]
    pub running_seconds: u64,
    /// Whether `/readyz` says yes.
    pub ready: bool,
    /// What the agent waits for, in words; empty when it waits for nothing.
    pub waiting: String,
    /// Whether the API is heard.
    pub api: ApiHearing,
    /// How often the kernel was compared with the plan.
    pub applies: u64,
    /// How often something else than the agent had changed what is Carrick's.
    pub drift_repairs: u64,
    /// What the last apply could not do.
    pub failures: Vec<String>,
    /// What was left out of the plan, in words.
    pub warnings: BTreeSet<String>,
    /// The settings that the plan was made with.
    #[serde(default)]
    pub settings: Option<Arc<Settings>>,
    /// What the probes of this node say of the nodes.
    #[serde(default)]
    pub liveness: Liveness,
    /// The plan in force.
    pub plan: Option<Arc<NodePlan>>,
    /// The WireGuard peers as the device has them.
    pub peers: BTreeMap<PublicKey, PeerState>,
    /// The ways to the nodes that this one probes.
    #[serde(default)]
    pub paths: Vec<ProbedPath>,
    /// What this node sent through its tunnels, by location pair.
    #[serde(default)]
    pub traffic: Vec<Traffic>,
    /// What happened last, oldest first.
    #[serde(default)]
    pub happenings: Vec<Happening>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_an_agent_that_knows_less_is_readable() {
        let page: StatusPage = serde_json::from_str(
            r#"{"version":"0.1.0","ready":true,"waiting":"","api":"synced","applies":3,"drift_repairs":0,
                "failures":[],"warnings":[],"plan":null,"peers":{},"something_of_a_later_version":1}"#,
        )
        .unwrap();
        assert_eq!((page.applies, page.api, page.node), (3, ApiHearing::Synced, None));
    }

    #[test]
    fn a_page_is_read_as_it_was_written() {
        let page =
            StatusPage { version: "0.1.0".to_owned(), node: Some("a1".parse().unwrap()), ..StatusPage::default() };
        let text = serde_json::to_string(&page).unwrap();
        assert_eq!(serde_json::from_str::<StatusPage>(&text).unwrap(), page);
    }
}
