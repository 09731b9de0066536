use std::collections::BTreeSet;

use http::{Request, header::ACCEPT};
use k8s_openapi::api::core::v1::{Namespace, Node, Secret};
use kube::api::{GetParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use crate::server::{TestServer, code};

pub async fn a_cluster_is_identified_by_a_uid(server: TestServer) {
    let namespaces: Api<Namespace> = Api::all(server.client().await);
    let first = namespaces.get("kube-system").await.expect("kube-system").uid();
    assert!(first.as_ref().is_some_and(|uid| uid.len() == 36), "{first:?}");
    assert_eq!(namespaces.get("kube-system").await.expect("kube-system").uid(), first);
}

pub async fn a_list_comes_in_pages(server: TestServer) {
    for suffix in ["a", "b", "c", "d", "e"] {
        server.create_node(suffix).await;
    }
    let nodes = server.nodes().await;
    let mut names = Vec::new();
    let mut sizes = Vec::new();
    let mut parameters = server.list_params().limit(2);
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
    assert_eq!(names, ["a", "b", "c", "d", "e"].map(|suffix| server.name(suffix)));
}

pub async fn a_metadata_request_returns_only_the_metadata(server: TestServer) {
    server.create_node("a").await;
    let metadata = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
    let path = format!("/api/v1/nodes/{}", server.name("a"));
    let request = Request::get(path).header(ACCEPT, metadata).body(Vec::new()).expect("a request");
    let node: Value = server.client().await.request(request).await.expect("the node's metadata");
    let keys: BTreeSet<_> = node.as_object().expect("an object").keys().cloned().collect();
    assert_eq!(keys, ["apiVersion", "kind", "metadata"].map(str::to_owned).into());
    assert_eq!(node["kind"], "PartialObjectMetadata");
    assert_eq!(node["apiVersion"], "meta.k8s.io/v1");
    assert_eq!(node["metadata"]["annotations"]["carrick.dev/location"], "left");

    let list = server.node_metadata().await.list(&server.list_params()).await.expect("a list");
    let names: Vec<_> = list.items.iter().map(ResourceExt::name_any).collect();
    assert_eq!(names, [server.name("a")]);
    let version = list.metadata.resource_version.unwrap_or_default();
    assert!(version.parse::<u64>().is_ok(), "{version:?}");
}

pub async fn a_missing_object_is_not_found(server: TestServer) {
    let nodes = server.nodes().await;
    let missing = server.name("missing");
    assert_eq!(code(&nodes.get(&missing).await.expect_err("no such node")), 404);
    assert!(nodes.get_opt(&missing).await.expect("an answer").is_none());
    server.create_node("a").await;
    let any = nodes.get_with(&server.name("a"), &GetParams::any()).await;
    assert!(any.is_ok() || code(&any.expect_err("from an old cache")) == 404);
}

pub async fn a_secret_is_read(server: TestServer) {
    let secrets: Api<Secret> = Api::namespaced(server.client().await, "kube-system");
    let name = server.name("s");
    let secret: Secret = serde_json::from_value(json!({
        "metadata": { "name": name }, "data": { "psk": "c2VjcmV0" },
    }))
    .expect("a Secret");
    secrets.create(&PostParams::default(), &secret).await.expect("a Secret is created");
    let read = secrets.get(&name).await.expect("the Secret");
    assert_eq!(read.data.expect("data")["psk"].0, b"secret");
}
