use std::{
    pin::pin,
    time::{Duration, Instant},
};

use carrick_lab::proxy::Mode;
use futures::{FutureExt, StreamExt};
use k8s_openapi::api::core::v1::Node;
use kube::{
    Api,
    api::PartialObjectMeta,
    runtime::watcher::{self, watcher},
};

use crate::{cluster::Cluster, watches::next};

pub async fn a_cut_watch_resumes_without_a_new_list(cluster: Cluster) {
    cluster.make_node("a").await;
    let (proxy, client) = cluster.behind_proxy().await;
    let nodes: Api<PartialObjectMeta<Node>> = Api::all(client);
    let config = watcher::Config::default().labels(&cluster.selector());
    let mut events = pin!(watcher(nodes, config));
    for expected in ["Init".to_owned(), format!("InitApply({})", cluster.name("a")), "InitDone".to_owned()] {
        assert_eq!(next(&mut events).await, expected);
    }
    cluster.make_node("b").await;
    assert_eq!(next(&mut events).await, format!("Apply({})", cluster.name("b")));

    proxy.set(Mode::Cut);
    cluster.make_node("c").await;
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
    assert_eq!(resumed, format!("Apply({})", cluster.name("c")));
}

pub async fn a_hung_watch_catches_up(cluster: Cluster) {
    let (proxy, client) = cluster.behind_proxy().await;
    let nodes: Api<PartialObjectMeta<Node>> = Api::all(client);
    let config = watcher::Config::default().labels(&cluster.selector());
    let mut hung = pin!(watcher(nodes, config.clone()));
    let mut direct = pin!(watcher(cluster.node_metadata().await, config));
    let [a, b, c] = ["a", "b", "c"].map(|suffix| cluster.name(suffix));
    for expected in ["Init", "InitDone"] {
        assert_eq!(next(&mut hung).await, expected);
        assert_eq!(next(&mut direct).await, expected);
    }
    cluster.make_node("a").await;
    assert_eq!(next(&mut hung).await, format!("Apply({a})"));
    assert_eq!(next(&mut direct).await, format!("Apply({a})"));

    proxy.set(Mode::Hang);
    let before = proxy.traffic();
    cluster.make_node("b").await;
    cluster.make_node("c").await;
    assert_eq!(next(&mut direct).await, format!("Apply({b})"));
    assert_eq!(next(&mut direct).await, format!("Apply({c})"));
    assert!(hung.next().now_or_never().is_none(), "nothing comes through");
    assert_eq!(proxy.traffic(), before);
    proxy.set(Mode::Pass);
    assert_eq!(next(&mut hung).await, format!("Apply({b})"));
    assert_eq!(next(&mut hung).await, format!("Apply({c})"));
}

pub async fn a_delay_delays(cluster: Cluster) {
    let (proxy, client) = cluster.behind_proxy().await;
    client.apiserver_version().await.expect("a version");
    let delay = Duration::from_millis(150);
    proxy.set(Mode::Delay(delay));
    let begun = Instant::now();
    client.apiserver_version().await.expect("a version");
    assert!(begun.elapsed() >= 2 * delay, "{:?}", begun.elapsed());
}
