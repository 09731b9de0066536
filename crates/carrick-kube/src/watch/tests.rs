use super::view::View;
use super::*;
use crate::watch::object::{MeshObject, NodeObject, OwnNodeObject, PeerObject};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

fn object<K: DeserializeOwned>(name: &str, annotations: &Value, spec: &Value) -> K {
    let metadata = json!({"name": name, "uid": name, "resourceVersion": "1", "annotations": annotations});
    serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap()
}

fn node(name: &str, gateway: &str) -> NodeObject {
    object(
        name,
        &json!({"carrick.dev/gateway": gateway, "kubelet/heartbeat": rand::random::<u64>().to_string()}),
        &json!({}),
    )
}

fn peer(name: &str, allowed: &str) -> PeerObject {
    object(name, &json!({}), &json!({"publicKey": KEY, "allowedIPs": [allowed]}))
}

fn view(known: &Cluster) -> View {
    View::new("a".parse().unwrap(), "region".into(), known)
}

/// The names of the changed objects, with `-` before deleted ones.
fn names(changes: &[Change]) -> Vec<String> {
    let signed = |name: String, is_there: bool| if is_there { name } else { format!("-{name}") };
    changes
        .iter()
        .map(|change| match change {
            Change::Node { name, node, .. } => signed(name.to_string(), node.is_some()),
            Change::Peer { name, peer, .. } => signed(name.to_string(), peer.is_some()),
            Change::Mesh { mesh, .. } => signed("mesh".to_owned(), mesh.is_some()),
        })
        .collect()
}

fn list_nodes(view: &mut View, nodes: &[(&str, &str)]) -> Vec<Change> {
    let mut changes = view.take_node(Signal::ListBegins);
    for (name, gateway) in nodes {
        changes.extend(view.take_node(Signal::Listed(node(name, gateway))));
    }
    assert_eq!(names(&changes), [""; 0], "nothing counts before the list is complete");
    view.take_node(Signal::ListEnds)
}

#[test]
fn heartbeats_are_no_change_and_one_change_is_one() {
    let mut view = view(&Cluster::default());
    assert_eq!(names(&list_nodes(&mut view, &[("a", "never"), ("b", "never")])), ["a", "b"]);
    assert_eq!(names(&list_nodes(&mut view, &[("a", "never"), ("b", "never")])), [""; 0]);
    assert_eq!(names(&view.take_node(Signal::Applied(node("b", "never")))), [""; 0]);
    assert_eq!(names(&view.take_node(Signal::Applied(node("b", "preferred")))), ["b"]);
    assert_eq!(names(&view.take_node(Signal::Deleted(node("b", "preferred")))), ["-b"]);
    assert_eq!(names(&view.take_node(Signal::Deleted(node("b", "preferred")))), [""; 0]);
}

#[test]
fn a_list_without_the_own_node_removes_nothing() {
    let mut view = view(&Cluster::default());
    list_nodes(&mut view, &[("a", "never"), ("b", "never")]);
    assert_eq!(names(&list_nodes(&mut view, &[])), [""; 0]);
    assert_eq!(names(&list_nodes(&mut view, &[("c", "never")])), ["c"]);
    assert_eq!(names(&list_nodes(&mut view, &[("a", "never"), ("c", "never")])), ["-b"]);
}

#[test]
fn the_own_nodes_deletion_leaves_the_cluster_as_it_is() {
    let mut view = view(&Cluster::default());
    list_nodes(&mut view, &[("a", "never"), ("b", "never")]);
    assert_eq!(names(&view.take_node(Signal::Deleted(node("a", "never")))), [""; 0]);
}

#[test]
fn what_the_disk_knows_is_compared() {
    let mut cluster = Cluster::default();
    let mut first = view(&cluster);
    for change in list_nodes(&mut first, &[("a", "never"), ("b", "garbage"), ("c", "never")]) {
        change.apply(&mut cluster);
    }
    assert_eq!((cluster.nodes.len(), cluster.warnings.len()), (3, 1));
    first.take_peer(Signal::ListBegins);
    first.take_peer(Signal::Listed(peer("laptop", "10.9.0.0/16")));
    for change in first.take_peer(Signal::ListEnds) {
        change.apply(&mut cluster);
    }

    let mut second = view(&cluster);
    let changes = list_nodes(&mut second, &[("a", "preferred"), ("b", "garbage")]);
    assert_eq!(names(&changes), ["a", "-c"]);
    second.take_peer(Signal::ListBegins);
    second.take_peer(Signal::Listed(peer("laptop", "10.9.0.0/16")));
    assert_eq!(names(&second.take_peer(Signal::ListEnds)), [""; 0]);
    for change in changes {
        change.apply(&mut cluster);
    }
    assert_eq!(cluster.nodes.len(), 2);
}

#[test]
fn warnings_go_with_the_value_that_caused_them() {
    let mut cluster = Cluster::default();
    let mut view = view(&cluster);
    for (gateway, warnings) in [("garbage", 1), ("rubbish", 1), ("never", 0), ("garbage", 1)] {
        for change in view.take_node(Signal::Applied(node("a", gateway))) {
            change.apply(&mut cluster);
        }
        assert_eq!(cluster.warnings.len(), warnings, "{gateway}");
    }
    cluster.nodes.clear();
    Change::Node { name: "a".parse().unwrap(), node: None, warnings: BTreeSet::new() }.apply(&mut cluster);
    assert_eq!(cluster, Cluster::default());
}

#[test]
fn a_peer_that_cannot_be_used_is_gone_with_a_warning() {
    let mut cluster = Cluster::default();
    let mut view = view(&cluster);
    for (allowed, count) in [("10.9.0.0/16", (1, 0)), ("x", (0, 1)), ("10.9.0.0/16", (1, 0))] {
        for change in view.take_peer(Signal::Applied(peer("laptop", allowed))) {
            change.apply(&mut cluster);
        }
        assert_eq!((cluster.peers.len(), cluster.warnings.len()), count, "{allowed}");
    }
    assert_eq!(names(&view.take_peer(Signal::Deleted(peer("laptop", "x")))), ["-laptop"]);
}

#[test]
fn it_is_synced_when_nodes_peers_the_mesh_and_the_own_node_are_known() {
    let uid = ClusterUid("u".into());
    let mut view = view(&Cluster::default());
    let own = || object::<OwnNodeObject>("a", &json!({}), &json!({"podCIDRs": ["10.244.1.0/24"]}));
    list_nodes(&mut view, &[("b", "never")]);
    view.go_on_without_peers();
    assert!(!view.is_synced(), "the Mesh is not known");
    view.go_on_without_mesh();
    assert!(matches!(view.take_own(Signal::Applied(own())), Some(ClusterEvent::OwnNode(_))));
    assert_eq!(view.synced(&uid), None, "the list lacks the own node");
    list_nodes(&mut view, &[("a", "never"), ("b", "never")]);
    assert_eq!(view.synced(&uid), Some(ClusterEvent::Synced(uid.clone())));
    assert_eq!(view.synced(&uid), None, "said once");
}

#[test]
fn the_own_node_is_told_when_it_differs() {
    let mut view = view(&Cluster::default());
    let own = |cidr: &str, beat: u32| {
        let annotations = json!({"kubelet/heartbeat": beat.to_string()});
        object::<OwnNodeObject>("a", &annotations, &json!({"podCIDRs": [cidr]}))
    };
    view.take_own(Signal::ListBegins);
    assert_eq!(view.take_own(Signal::ListEnds), Some(ClusterEvent::OwnNodeMissing));
    view.take_own(Signal::ListBegins);
    assert_eq!(view.take_own(Signal::ListEnds), None, "said once");
    assert!(view.take_own(Signal::Applied(own("10.244.1.0/24", 1))).is_some());
    assert_eq!(view.take_own(Signal::Applied(own("10.244.1.0/24", 2))), None);
    assert!(view.take_own(Signal::Applied(own("10.244.2.0/24", 3))).is_some());
    assert_eq!(view.take_own(Signal::Deleted(own("10.244.2.0/24", 4))), Some(ClusterEvent::OwnNodeMissing));
    assert!(view.take_own(Signal::Applied(own("10.244.2.0/24", 5))).is_some());
    view.take_own(Signal::ListBegins);
    assert_eq!(view.take_own(Signal::ListEnds), Some(ClusterEvent::OwnNodeMissing));
}

fn mesh(name: &str, cidr: &str) -> MeshObject {
    object(name, &json!({}), &json!({"clusterCIDRs": [cidr]}))
}

fn list_meshes(view: &mut View, meshes: impl IntoIterator<Item = MeshObject>) -> Vec<Change> {
    view.take_mesh(Signal::ListBegins);
    for mesh in meshes {
        assert_eq!(names(&view.take_mesh(Signal::Listed(mesh))), [""; 0]);
    }
    view.take_mesh(Signal::ListEnds)
}

#[test]
fn only_the_mesh_of_the_name_default_counts() {
    let mut view = view(&Cluster::default());
    assert_eq!(names(&list_meshes(&mut view, [mesh("other", "10.0.0.0/8")])), [""; 0]);
    assert_eq!(names(&view.take_mesh(Signal::Applied(mesh("other", "10.0.0.0/8")))), [""; 0]);
    assert_eq!(names(&view.take_mesh(Signal::Applied(mesh("default", "10.0.0.0/8")))), ["mesh"]);
    assert_eq!(names(&view.take_mesh(Signal::Applied(mesh("default", "10.0.0.0/8")))), [""; 0]);
    assert_eq!(names(&view.take_mesh(Signal::Deleted(mesh("other", "10.0.0.0/8")))), [""; 0]);
    assert_eq!(names(&view.take_mesh(Signal::Deleted(mesh("default", "10.0.0.0/8")))), ["-mesh"]);
}

#[test]
fn a_mesh_that_is_known_from_the_disk_is_no_change_and_its_absence_is() {
    let mut known = Cluster::default();
    for change in list_meshes(&mut view(&known), [mesh("default", "10.0.0.0/8")]) {
        change.apply(&mut known);
    }
    assert!(known.mesh.is_some());
    assert_eq!(names(&list_meshes(&mut view(&known), [mesh("default", "10.0.0.0/8")])), [""; 0]);
    assert_eq!(names(&list_meshes(&mut view(&known), [mesh("default", "11.0.0.0/8")])), ["mesh"]);
    assert_eq!(names(&list_meshes(&mut view(&known), [])), ["-mesh"]);
}

#[test]
fn another_topology_label_of_the_mesh_asks_for_all_nodes_again() {
    let located = || -> NodeObject {
        let labels = json!({"region": "basel", "zone": "cellar"});
        serde_json::from_value(json!({"metadata": {"name": "a", "labels": labels}})).unwrap()
    };
    let labelled = |label: &str| object::<MeshObject>("default", &json!({}), &json!({"topologyLabel": label}));
    let location = |changes: &[Change]| match changes {
        [Change::Node { node: Some(node), .. }] => node.location.as_ref().unwrap().to_string(),
        _ => panic!("{changes:?}"),
    };
    let list = |view: &mut View| {
        view.take_node(Signal::ListBegins);
        view.take_node(Signal::Listed(located()));
        view.take_node(Signal::ListEnds)
    };
    let mut known = Cluster::default();
    let mut of_region = view(&known);
    assert_eq!(location(&list(&mut of_region)), "basel");
    let changes = of_region.take_mesh(Signal::Applied(labelled("zone")));
    assert!(of_region.relabel(&changes) && !of_region.relabel(&changes));
    changes.into_iter().for_each(|change| change.apply(&mut known));
    assert_eq!(location(&list(&mut of_region)), "cellar");
    let same = of_region.take_mesh(Signal::Applied(mesh("default", "10.0.0.0/8")));
    assert!(of_region.relabel(&same), "the label of the flags holds again");
    assert_eq!(location(&list(&mut of_region)), "basel");
    assert_eq!(location(&list(&mut view(&known))), "cellar", "the label of the saved Mesh");
}
