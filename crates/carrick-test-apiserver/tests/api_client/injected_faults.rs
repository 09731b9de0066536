use std::pin::pin;
use std::time::{Duration, Instant};

use carrick_test_apiserver::{Fault, FaultDuration, RequestFilter, Resource, Verb};
use futures::{FutureExt, StreamExt};
use k8s_openapi::api::core::v1::{Namespace, Node};
use kube::Api;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, watcher};

use crate::server::{TestServer, code};
use crate::watches::next;

const SECOND: Duration = Duration::from_secs(1);

pub async fn a_watcher_lists_again_after_its_version_expired(server: TestServer) {
    server.create_node("a").await;
    let a = server.name("a");
    let mut events = pin!(watcher(server.node_metadata().await, watcher::Config::default()));
    assert_eq!(next(&mut events).await, "Init");
    assert_eq!(next(&mut events).await, format!("InitApply({a})"));
    assert_eq!(next(&mut events).await, "InitDone");
    // An event shows that the watch is open.
    server.create_node("b").await;
    assert_eq!(next(&mut events).await, format!("Apply({})", server.name("b")));

    server.embedded().expire_history();
    let error = events.next().await.expect("an event").expect_err("the version is gone");
    let watcher::Error::WatchError(status) = error else { panic!("{error:?}") };
    assert_eq!(status.code, 410);
    assert_eq!(next(&mut events).await, "Init");
    assert_eq!(next(&mut events).await, format!("InitApply({a})"));
    assert_eq!(next(&mut events).await, format!("InitApply({})", server.name("b")));
    assert_eq!(next(&mut events).await, "InitDone");
}

pub async fn a_page_token_expires(server: TestServer) {
    server.create_node("a").await;
    server.create_node("b").await;
    let nodes = server.nodes().await;
    let page = nodes.list(&server.list_params().limit(1)).await.expect("a page");
    let token = page.metadata.continue_.expect("a second page");
    server.embedded().expire_history();
    let gone = nodes.list(&server.list_params().limit(1).continue_token(&token)).await;
    assert_eq!(code(&gone.expect_err("the first page's version is gone")), 410);
}

pub async fn a_client_waits_as_long_as_retry_after_says(server: TestServer) {
    let fault = Fault::TooManyRequests { retry_after: SECOND };
    server.embedded().inject(fault, FaultDuration::Requests(1), RequestFilter::default());
    let result = Api::<Node>::all(server.client_without_retries().await).list(&server.list_params()).await;
    let kube::Error::Api(status) = result.expect_err("too many requests") else { panic!("expected a status") };
    assert_eq!((status.code, status.reason.as_str()), (429, "TooManyRequests"));
    assert_eq!(status.details.map(|details| details.retry_after_seconds), Some(1));

    server.embedded().inject(fault, FaultDuration::Requests(1), RequestFilter::default());
    let began = Instant::now();
    server.nodes().await.list(&server.list_params()).await.expect("kube-rs retries");
    assert!(began.elapsed() >= SECOND, "{:?}", began.elapsed());
}

pub async fn a_watcher_survives_429_with_back_off(server: TestServer) {
    server.create_node("a").await;
    let fault = Fault::TooManyRequests { retry_after: SECOND };
    server.embedded().inject(fault, FaultDuration::Requests(2), RequestFilter::default());
    let nodes: Api<Node> = Api::all(server.client_without_retries().await);
    let mut events = pin!(watcher(nodes, watcher::Config::default()).default_backoff());
    let mut rejections = 0;
    let applied = loop {
        match events.next().await.expect("a watcher has no end") {
            Ok(watcher::Event::Init) => {}
            Ok(event) => break event.to_string(),
            Err(watcher::Error::InitialListFailed(error)) => {
                assert_eq!(code(&error), 429);
                rejections += 1;
            }
            Err(other) => panic!("{other:?}"),
        }
    };
    assert_eq!((rejections, applied), (2, format!("InitApply({})", server.name("a"))));
    let lists = server.embedded().request_counts().sum(|request| request.verb == Verb::List);
    assert_eq!(lists, 3);
}

pub async fn a_fault_affects_only_the_requests_that_its_filter_matches(server: TestServer) {
    let filter = RequestFilter { user: Some("left-1".to_owned()), resource: Some(Resource::Node) };
    server.embedded().inject(Fault::Gone, FaultDuration::UntilCleared, filter);
    let affected = server.client_of("left-1").await;
    let nodes: Api<Node> = Api::all(affected.clone());
    for _ in 0..3 {
        let gone = nodes.list(&ListParams::default()).await.expect_err("the filter matches");
        assert_eq!(code(&gone), 410);
    }
    Api::<Namespace>::all(affected).get("default").await.expect("another resource");
    let other: Api<Node> = Api::all(server.client_of("left-2").await);
    other.list(&ListParams::default()).await.expect("another user");
    server.embedded().clear_faults();
    nodes.list(&ListParams::default()).await.expect("no fault is left");
}

pub async fn a_watch_gets_410_inside_its_stream(server: TestServer) {
    server.embedded().inject(Fault::GoneInWatch, FaultDuration::Requests(1), RequestFilter::default());
    let nodes = server.nodes().await;
    let version = nodes.list(&server.list_params()).await.expect("a list").metadata.resource_version;
    let watch = nodes.watch(&WatchParams::default(), &version.expect("a version")).await;
    let mut watch = pin!(watch.expect("200"));
    let event = watch.next().await.expect("an event").expect("a readable event");
    let WatchEvent::Error(status) = event else { panic!("expected an error, got {event:?}") };
    assert_eq!(status.code, 410);
    assert!(watch.next().await.is_none());
}

pub async fn a_slow_server_answers_late(server: TestServer) {
    let delay = Duration::from_millis(200);
    server.embedded().inject(Fault::Slow(delay), FaultDuration::Requests(1), RequestFilter::default());
    let began = Instant::now();
    server.nodes().await.list(&server.list_params()).await.expect("a list");
    assert!(began.elapsed() >= delay, "{:?}", began.elapsed());
}

pub async fn a_bookmark_moves_a_watch_forward(server: TestServer) {
    let nodes = server.nodes().await;
    let version = nodes.list(&server.list_params()).await.expect("a list").metadata.resource_version;
    let parameters = WatchParams::default().fields("metadata.name=none");
    let watch = nodes.watch(&parameters, &version.expect("a version")).await.expect("a watch");
    let mut watch = pin!(watch);
    assert!(watch.next().now_or_never().is_none());
    server.create_node("a").await;
    let now = server.embedded().version();
    server.embedded().send_bookmarks();
    let event = watch.next().await.expect("an event").expect("a readable event");
    let WatchEvent::Bookmark(bookmark) = event else { panic!("expected a bookmark, got {event:?}") };
    assert_eq!(bookmark.metadata.resource_version, now.to_string());
    server.embedded().end_watches();
    assert!(watch.next().await.is_none());
}

pub async fn requests_are_counted_by_user_and_verb(server: TestServer) {
    let embedded = server.embedded();
    embedded.reset_request_counts();
    let nodes: Api<Node> = Api::all(server.client_of("left-1").await);
    nodes.list(&server.list_params()).await.expect("a list");
    nodes.list(&server.list_params()).await.expect("a list");
    assert_eq!(embedded.request_counts().writes(), 0);
    server.create_node("a").await;
    let counts = embedded.request_counts();
    assert_eq!(counts.writes(), 1);
    let own =
        |verb| counts.sum(|c| c.verb == verb && c.user.as_deref() == Some("left-1") && c.resource == Resource::Node);
    assert_eq!((own(Verb::List), own(Verb::Create)), (2, 0));
}
