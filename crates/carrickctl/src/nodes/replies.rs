//! Probes that other agents send to a node that seems to be gone.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use carrick_status::LiveTracePage;

use crate::access::Access;
use crate::snapshot::{Agent, Snapshot};

/// The most agents of the node's own location that probe it.
const MOST_OF_OWN_LOCATION: usize = 3;
/// The most other agents that probe it, each of another location.
const MOST_OF_OTHERS: usize = 3;
/// The hop limit: a path has at most the node, two gateways of each of three locations, and the destination.
const HOPS: usize = 8;

/// The replies of one node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Replies {
    /// The nodes whose probes arrived.
    pub replied_to: BTreeSet<String>,
    /// The nodes whose probes did not arrive.
    pub silent_for: BTreeSet<String>,
}

/// Lets witnesses probe the mesh addresses of nodes. A kernel replies even if the agent of its node does not run.
pub(super) async fn gather(
    access: &Access,
    snapshot: &Snapshot,
    witnesses: &BTreeSet<String>,
    nodes: &[String],
) -> BTreeMap<String, Replies> {
    let mut gathered = BTreeMap::new();
    // One node after the other: an agent probes one path at a time.
    for name in nodes {
        let (addresses, probers) = plan(snapshot, witnesses, name);
        let probers = probers.iter().filter_map(|prober| snapshot.agent(prober));
        let asked = probers.map(|agent| async { (agent.name.clone(), probe(access, agent, &addresses).await) });
        let mut replies = Replies::default();
        for (prober, arrives) in access.run_all(asked).await {
            match arrives {
                Some(true) => drop(replies.replied_to.insert(prober)),
                Some(false) => drop(replies.silent_for.insert(prober)),
                None => {}
            }
        }
        gathered.insert(name.clone(), replies);
    }
    gathered
}

/// The mesh addresses of a node, and the witnesses that probe it.
fn plan(snapshot: &Snapshot, witnesses: &BTreeSet<String>, name: &str) -> (Vec<IpAddr>, Vec<String>) {
    let cluster = snapshot.cluster();
    let Some(node) = cluster.nodes.values().find(|node| node.name.as_str() == name) else {
        return (Vec::new(), Vec::new());
    };
    let members =
        || cluster.nodes.values().filter(|other| other.name != node.name && witnesses.contains(other.name.as_str()));
    let beside = members().filter(|other| other.location == node.location).take(MOST_OF_OWN_LOCATION);
    let mut seen = BTreeSet::new();
    let elsewhere = members().filter(|other| other.location != node.location && seen.insert(other.location.clone()));
    let probers = beside.map(|other| other.name.to_string()).collect::<Vec<_>>();
    let probers = probers.into_iter().chain(elsewhere.take(MOST_OF_OTHERS).map(|other| other.name.to_string()));
    (node.mesh_addresses.iter().copied().collect(), probers.collect())
}

/// Whether probes of an agent arrive at one of the addresses. `None`: the agent could not probe any.
async fn probe(access: &Access, agent: &Agent, addresses: &[IpAddr]) -> Option<bool> {
    let mut arrives = None;
    for address in addresses {
        let page = format!("/trace?to={address}&hops={HOPS}");
        match access.fetch_json::<LiveTracePage>(agent, &page).await {
            Ok(page) if page.arrives() => return Some(true),
            Ok(page) if page.not_sent.is_none() => arrives = Some(false),
            Ok(_) | Err(_) => {}
        }
    }
    arrives
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::snapshot;

    #[test]
    fn witnesses_of_the_own_and_of_other_locations_probe_a_node() {
        let all: BTreeSet<String> = ["a1", "a2", "b1"].map(str::to_owned).into();
        let (addresses, probers) = plan(&snapshot(), &all, "b1");
        assert_eq!((addresses, probers), (vec!["10.4.0.3".parse().unwrap()], vec!["a1".to_owned()]));
        let others: BTreeSet<String> = ["a1", "b1"].map(str::to_owned).into();
        assert_eq!(plan(&snapshot(), &others, "a2").1, ["a1", "b1"]);
        assert_eq!(plan(&snapshot(), &others, "c1"), (Vec::new(), Vec::new()));
    }
}
