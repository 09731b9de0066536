//! The cluster that an object comes into.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use carrick_topology::model::CreationTime;
use carrick_topology::plan::plan_all;
use carrick_topology::walk::{Network, Origin, Outcome, Packet};
use carrick_topology::{Cluster, Granularity, Liveness, NodeName, PublicKey, Settings, Warning};
use carrick_types::is_printable;

use crate::annotations::{NodeMetadata, PREFIX, parse_node};
use crate::watch::view::View;

/// The label that names a location.
pub(super) const LABEL: &str = "topology.kubernetes.io/region";
/// The own node of the view. An object of this name would be kept when it is deleted, so it is one that no input has.
const OWN_NODE: &str = "the-own-node-has-a-name-that-is-longer-than-an-input-would-spell-by-chance";
/// Characters of the longest warning: what is shown of the value, what would be right, and the names.
const LONGEST_WARNING: usize = 1000;
/// Older than every input: the other nodes keep what they claim.
const OLDEST: CreationTime = CreationTime::MIN;

/// What the agent of another node knows of the cluster.
pub(super) fn view(known: &Cluster) -> View {
    View::new(OWN_NODE.parse().unwrap(), LABEL.to_owned(), known)
}

/// The cluster after it was written to the disk and read again.
pub(super) fn saved(cluster: &Cluster) -> Cluster {
    let read: Cluster = serde_json::from_slice(&serde_json::to_vec(cluster).unwrap()).unwrap();
    assert_eq!(read, *cluster);
    read
}

/// Warnings are about the object, of one line, and not long.
pub(super) fn check_warnings(warnings: &BTreeSet<Warning>, name: &str) {
    for warning in warnings {
        let text = warning.to_string();
        assert!(text.contains(name), "{text}");
        assert!(text.chars().all(is_printable), "{text:?}");
        assert!(text.chars().count() < LONGEST_WARNING + name.len(), "{text}");
    }
}

/// Whatever an object says, two older nodes with tunnels of their own reach each other's pods.
pub(super) fn check_others_reach_each_other(mut cluster: Cluster) {
    let names: [NodeName; 2] = ["the-first-other-node", "the-second-other-node"].map(|name| name.parse().unwrap());
    for (name, number) in names.iter().zip([1, 2]) {
        let annotations = [
            ("location", format!("the location of {name}")),
            ("public-key", PublicKey::from_bytes([number; 32]).to_string()),
            ("pod-cidrs", format!("10.42.{number}.0/24")),
            ("mesh-addresses", format!("10.4.0.{number}")),
            ("advertised-endpoints", format!("192.0.2.{number}:51820")),
            ("advertised-internal-addresses", format!("10.{number}.0.7/24")),
        ];
        let metadata = NodeMetadata {
            name: name.clone(),
            created: OLDEST,
            annotations: annotations.into_iter().map(|(key, value)| (format!("{PREFIX}{key}"), value)).collect(),
            labels: BTreeMap::new(),
        };
        cluster.insert_node(parse_node(&metadata, LABEL).node);
    }
    let settings = Settings { granularity: Granularity::Full, ..Settings::default() };
    let plans = plan_all(&cluster, &settings, &Liveness::default());
    let network = Network::new(&cluster, &settings, &Liveness::default(), &plans);
    let [first, second] = names;
    let pod = |number| IpAddr::from([10, 42, number, 7]);
    for (from, source, to, destination) in [(&first, pod(1), &second, pod(2)), (&second, pod(2), &first, pod(1))] {
        let walk = network.walk(&Origin::Pod(from.clone()), Packet { source: Some(source), destination });
        assert_eq!(walk.outcome, Outcome::Pod(to.clone()), "{cluster:#?}");
    }
}
