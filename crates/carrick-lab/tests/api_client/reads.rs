use std::collections::BTreeSet;

use axum::http::{Request, header::ACCEPT};
use k8s_openapi::api::core::v1::{Namespace, Node};
use kube::{Api, ResourceExt, api::GetParams};
use serde_json::Value;

use crate::cluster::{Cluster, code};

pub async fn the_server_describes_itself(cluster: Cluster) {
    let client = cluster.client().await;
    let version = client.apiserver_version().await.expect("a version");
    assert_eq!((version.major.as_str(), version.minor.as_str()), ("1", "36"));
    let groups = client.list_api_groups().await.expect("groups");
    let names: BTreeSet<_> = groups.groups.into_iter().map(|group| group.name).collect();
    assert!(names.contains("carrick.dev") && names.contains("events.k8s.io"), "{names:?}");
    let peers = client.list_api_group_resources("carrick.dev/v1alpha1").await.expect("peers");
    let names: BTreeSet<_> = peers.resources.into_iter().map(|r| (r.name, r.namespaced)).collect();
    assert!(names.contains(&("peers".to_owned(), false)), "{names:?}");
    assert!(names.contains(&("peers/status".to_owned(), false)), "{names:?}");
    let core = client.list_core_api_resources("v1").await.expect("core");
    assert!(core.resources.iter().any(|r| r.name == "nodes" && r.kind == "Node" && !r.namespaced));
}

pub async fn a_cluster_is_known_by_its_uid(cluster: Cluster) {
    let namespaces: Api<Namespace> = Api::all(cluster.client().await);
    let first = namespaces.get("kube-system").await.expect("kube-system").uid();
    assert!(first.as_ref().is_some_and(|uid| uid.len() == 36), "{first:?}");
    assert_eq!(namespaces.get("kube-system").await.expect("kube-system").uid(), first);
}

pub async fn a_list_comes_in_pages(cluster: Cluster) {
    for suffix in ["a", "b", "c", "d", "e"] {
        cluster.make_node(suffix).await;
    }
    let nodes = cluster.nodes().await;
    let mut names = Vec::new();
    let mut sizes = Vec::new();
    let mut parameters = cluster.mine().limit(2);
    loop {
        let page = nodes.list(&parameters).await.expect("a page");
        sizes.push(page.items.len());
        names.extend(page.items.iter().map(Node::name_any));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => parameters = parameters.continue_token(&token),
            None => break,
        }
    }
    assert_eq!(sizes, [2, 2, 1]);
    assert_eq!(names, ["a", "b", "c", "d", "e"].map(|suffix| cluster.name(suffix)));
}

pub async fn metadata_comes_without_the_rest(cluster: Cluster) {
    cluster.make_node("a").await;
    let metadata = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
    let path = format!("/api/v1/nodes/{}", cluster.name("a"));
    let request = Request::get(path).header(ACCEPT, metadata).body(Vec::new()).expect("a request");
    let node: Value = cluster.client().await.request(request).await.expect("the node's metadata");
    let keys: BTreeSet<_> = node.as_object().expect("an object").keys().cloned().collect();
    assert_eq!(keys, ["apiVersion", "kind", "metadata"].map(str::to_owned).into());
    assert_eq!(node["kind"], "PartialObjectMetadata");
    assert_eq!(node["apiVersion"], "meta.k8s.io/v1");
    assert_eq!(node["metadata"]["annotations"]["carrick.dev/location"], "left");

    let list = cluster.node_metadata().await.list(&cluster.mine()).await.expect("a list");
    let names: Vec<_> = list.items.iter().map(ResourceExt::name_any).collect();
    assert_eq!(names, [cluster.name("a")]);
    let version = list.metadata.resource_version.unwrap_or_default();
    assert!(version.parse::<u64>().is_ok(), "{version:?}");
}

pub async fn a_missing_object_is_not_found(cluster: Cluster) {
    let nodes = cluster.nodes().await;
    let missing = cluster.name("nobody");
    assert_eq!(code(&nodes.get(&missing).await.expect_err("nobody")), 404);
    assert!(nodes.get_opt(&missing).await.expect("an answer").is_none());
    cluster.make_node("a").await;
    let any = nodes.get_with(&cluster.name("a"), &GetParams::any()).await;
    assert!(any.is_ok() || code(&any.expect_err("from an old cache")) == 404);
}
