use std::{
    pin::pin,
    time::{Duration, Instant},
};

use carrick_lab::apiserver::{Fault, FaultDuration, RequestFilter, Resource, Verb};
use futures::{FutureExt, StreamExt};
use k8s_openapi::api::core::v1::{Namespace, Node};
use kube::{
    Api,
    api::{ListParams, WatchEvent, WatchParams},
    runtime::{
        WatchStreamExt,
        watcher::{self, watcher},
    },
};

use crate::{
    cluster::{Cluster, code},
    watches::next,
};

const SECOND: Duration = Duration::from_secs(1);

pub async fn a_watcher_lists_again_after_its_version_expired(cluster: Cluster) {
    cluster.make_node("a").await;
    let a = cluster.name("a");
    let mut events = pin!(watcher(cluster.node_metadata().await, watcher::Config::default()));
    assert_eq!(next(&mut events).await, "Init");
    assert_eq!(next(&mut events).await, format!("InitApply({a})"));
    assert_eq!(next(&mut events).await, "InitDone");
    // Lets the watch begin.
    cluster.make_node("b").await;
    assert_eq!(next(&mut events).await, format!("Apply({})", cluster.name("b")));

    cluster.embedded().expire_history();
    let error = events.next().await.expect("an event").expect_err("the version is gone");
    let watcher::Error::WatchError(status) = error else { panic!("{error:?}") };
    assert_eq!(status.code, 410);
    assert_eq!(next(&mut events).await, "Init");
    assert_eq!(next(&mut events).await, format!("InitApply({a})"));
    assert_eq!(next(&mut events).await, format!("InitApply({})", cluster.name("b")));
    assert_eq!(next(&mut events).await, "InitDone");
}

pub async fn a_page_token_expires(cluster: Cluster) {
    cluster.make_node("a").await;
    cluster.make_node("b").await;
    let nodes = cluster.nodes().await;
    let page = nodes.list(&cluster.mine().limit(1)).await.expect("a page");
    let token = page.metadata.continue_.expect("a second page");
    cluster.embedded().expire_history();
    let gone = nodes.list(&cluster.mine().limit(1).continue_token(&token)).await;
    assert_eq!(code(&gone.expect_err("the first page's version is gone")), 410);
}

pub async fn the_client_waits_as_long_as_429_says(cluster: Cluster) {
    let fault = Fault::TooManyRequests { retry_after: SECOND };
    cluster.embedded().inject(fault, FaultDuration::Requests(1), RequestFilter::default());
    let refused = Api::<Node>::all(cluster.impatient_client().await).list(&cluster.mine()).await;
    let kube::Error::Api(status) = refused.expect_err("too many requests") else { panic!("expected a refusal") };
    assert_eq!((status.code, status.reason.as_str()), (429, "TooManyRequests"));
    assert_eq!(status.details.map(|details| details.retry_after_seconds), Some(1));

    cluster.embedded().inject(fault, FaultDuration::Requests(1), RequestFilter::default());
    let begun = Instant::now();
    cluster.nodes().await.list(&cluster.mine()).await.expect("kube-rs tries again by itself");
    assert!(begun.elapsed() >= SECOND, "{:?}", begun.elapsed());
}

pub async fn a_watcher_survives_429_with_back_off(cluster: Cluster) {
    cluster.make_node("a").await;
    let fault = Fault::TooManyRequests { retry_after: SECOND };
    cluster.embedded().inject(fault, FaultDuration::Requests(2), RequestFilter::default());
    let nodes: Api<Node> = Api::all(cluster.impatient_client().await);
    let mut events = pin!(watcher(nodes, watcher::Config::default()).default_backoff());
    let mut refusals = 0;
    let applied = loop {
        match events.next().await.expect("a watcher has no end") {
            Ok(watcher::Event::Init) => {}
            Ok(event) => break event.to_string(),
            Err(watcher::Error::InitialListFailed(error)) => {
                assert_eq!(code(&error), 429);
                refusals += 1;
            }
            Err(other) => panic!("{other:?}"),
        }
    };
    assert_eq!((refusals, applied), (2, format!("InitApply({})", cluster.name("a"))));
    let lists = cluster.embedded().request_counts().sum(|caller| caller.verb == Verb::List);
    assert_eq!(lists, 3);
}

pub async fn a_fault_meets_only_those_it_is_aimed_at(cluster: Cluster) {
    let filter = RequestFilter { user: Some("left-1".to_owned()), resource: Some(Resource::Node) };
    cluster.embedded().inject(Fault::Gone, FaultDuration::UntilCleared, filter);
    let met = cluster.client_of("left-1").await;
    let nodes: Api<Node> = Api::all(met.clone());
    for _ in 0..3 {
        let gone = nodes.list(&ListParams::default()).await.expect_err("it is aimed at");
        assert_eq!(code(&gone), 410);
    }
    Api::<Namespace>::all(met).get("default").await.expect("another resource");
    let other: Api<Node> = Api::all(cluster.client_of("left-2").await);
    other.list(&ListParams::default()).await.expect("another user");
    cluster.embedded().clear_faults();
    nodes.list(&ListParams::default()).await.expect("no fault any more");
}

pub async fn a_watch_can_be_told_gone_inside_its_stream(cluster: Cluster) {
    cluster.embedded().inject(Fault::GoneInWatch, FaultDuration::Requests(1), RequestFilter::default());
    let nodes = cluster.nodes().await;
    let version = nodes.list(&cluster.mine()).await.expect("a list").metadata.resource_version;
    let watch = nodes.watch(&WatchParams::default(), &version.expect("a version")).await;
    let mut watch = pin!(watch.expect("200"));
    let event = watch.next().await.expect("an event").expect("a readable event");
    let WatchEvent::Error(status) = event else { panic!("expected an error, got {event:?}") };
    assert_eq!(status.code, 410);
    assert!(watch.next().await.is_none());
}

pub async fn a_slow_server_is_slow(cluster: Cluster) {
    let delay = Duration::from_millis(200);
    cluster.embedded().inject(Fault::Slow(delay), FaultDuration::Requests(1), RequestFilter::default());
    let begun = Instant::now();
    cluster.nodes().await.list(&cluster.mine()).await.expect("a list");
    assert!(begun.elapsed() >= delay, "{:?}", begun.elapsed());
}

pub async fn bookmarks_move_a_watch_forward(cluster: Cluster) {
    let nodes = cluster.nodes().await;
    let version = nodes.list(&cluster.mine()).await.expect("a list").metadata.resource_version;
    let parameters = WatchParams::default().fields("metadata.name=nobody");
    let watch = nodes.watch(&parameters, &version.expect("a version")).await.expect("a watch");
    let mut watch = pin!(watch);
    assert!(watch.next().now_or_never().is_none());
    cluster.make_node("a").await;
    let now = cluster.embedded().version();
    cluster.embedded().send_bookmarks();
    let event = watch.next().await.expect("an event").expect("a readable event");
    let WatchEvent::Bookmark(bookmark) = event else { panic!("expected a bookmark, got {event:?}") };
    assert_eq!(bookmark.metadata.resource_version, now.to_string());
    cluster.embedded().end_watches();
    assert!(watch.next().await.is_none());
}

pub async fn requests_are_counted_by_user_and_verb(cluster: Cluster) {
    let server = cluster.embedded();
    server.reset_request_counts();
    let nodes: Api<Node> = Api::all(cluster.client_of("left-1").await);
    nodes.list(&cluster.mine()).await.expect("a list");
    nodes.list(&cluster.mine()).await.expect("a list");
    assert_eq!(server.request_counts().writes(), 0);
    cluster.make_node("a").await;
    let counts = server.request_counts();
    assert_eq!(counts.writes(), 1);
    let mine =
        |verb| counts.sum(|c| c.verb == verb && c.user.as_deref() == Some("left-1") && c.resource == Resource::Node);
    assert_eq!((mine(Verb::List), mine(Verb::Create)), (2, 0));
}
