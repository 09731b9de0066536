use std::pin::pin;
use std::time::{Duration, Instant};

use carrick_test_apiserver::proxy::Mode;
use futures::{FutureExt, StreamExt};
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::PartialObjectMeta;
use kube::runtime::watcher::{self, watcher};

use crate::server::TestServer;
use crate::watches::next;

pub async fn a_watch_resumes_without_a_new_list_after_a_cut(server: TestServer) {
    server.create_node("a").await;
    let (proxy, client) = server.behind_proxy().await;
    let nodes: Api<PartialObjectMeta<Node>> = Api::all(client);
    let config = watcher::Config::default().labels(&server.selector());
    let mut events = pin!(watcher(nodes, config));
    for expected in ["Init".to_owned(), format!("InitApply({})", server.name("a")), "InitDone".to_owned()] {
        assert_eq!(next(&mut events).await, expected);
    }
    server.create_node("b").await;
    assert_eq!(next(&mut events).await, format!("Apply({})", server.name("b")));

    proxy.set(Mode::Cut);
    server.create_node("c").await;
    let broken = events.next().await.expect("a watcher has no end");
    assert!(broken.is_err(), "{broken:?}");
    proxy.set(Mode::Pass);
    let resumed = loop {
        match events.next().await.expect("a watcher has no end") {
            Ok(event) => break event.to_string(),
            Err(watcher::Error::WatchFailed(_) | watcher::Error::WatchStartFailed(_)) => {}
            Err(other) => panic!("{other:?}"),
        }
    };
    assert_eq!(resumed, format!("Apply({})", server.name("c")));
}

pub async fn a_stalled_watch_catches_up(server: TestServer) {
    let (proxy, client) = server.behind_proxy().await;
    let nodes: Api<PartialObjectMeta<Node>> = Api::all(client);
    let config = watcher::Config::default().labels(&server.selector());
    let mut stalled = pin!(watcher(nodes, config.clone()));
    let mut direct = pin!(watcher(server.node_metadata().await, config));
    let [a, b, c] = ["a", "b", "c"].map(|suffix| server.name(suffix));
    for expected in ["Init", "InitDone"] {
        assert_eq!(next(&mut stalled).await, expected);
        assert_eq!(next(&mut direct).await, expected);
    }
    server.create_node("a").await;
    assert_eq!(next(&mut stalled).await, format!("Apply({a})"));
    assert_eq!(next(&mut direct).await, format!("Apply({a})"));

    proxy.set(Mode::Hang);
    let before = proxy.traffic();
    server.create_node("b").await;
    server.create_node("c").await;
    assert_eq!(next(&mut direct).await, format!("Apply({b})"));
    assert_eq!(next(&mut direct).await, format!("Apply({c})"));
    assert!(stalled.next().now_or_never().is_none(), "the proxy forwards nothing");
    assert_eq!(proxy.traffic(), before);
    proxy.set(Mode::Pass);
    assert_eq!(next(&mut stalled).await, format!("Apply({b})"));
    assert_eq!(next(&mut stalled).await, format!("Apply({c})"));
}

pub async fn a_delay_delays_both_directions(server: TestServer) {
    let (proxy, client) = server.behind_proxy().await;
    let nodes: Api<Node> = Api::all(client);
    nodes.list(&server.list_params()).await.expect("a list");
    let delay = Duration::from_millis(150);
    proxy.set(Mode::Delay(delay));
    let began = Instant::now();
    nodes.list(&server.list_params()).await.expect("a list");
    assert!(began.elapsed() >= 2 * delay, "{:?}", began.elapsed());
}
