//! Updates of Carrick and outages of the API server interrupt no traffic.

use carrick_lab::address::Family;
use carrick_lab::cluster::Rollout;
use carrick_lab::flow::Flow;
use carrick_lab::node::Node;
use carrick_lab::{Lab, wait};
use carrick_status::StatusPage;
use carrick_test_apiserver::proxy::Mode;

use crate::{INTERVAL, cluster, flow, kubectl};

/// The duration of an API server's outage, in seconds: two minutes in full runs.
fn outage_seconds() -> u64 {
    let given = std::env::var("CARRICK_API_OUTAGE_SECONDS").ok().map(|seconds| seconds.parse().unwrap());
    let all = std::env::var_os("CARRICK_REQUIRE_ALL").is_some();
    given.unwrap_or(if all { 120 } else { 20 })
}

/// A ping from one pod to another, in one address family.
pub type Watched = (&'static str, &'static str, Family);

/// Between clouds, and from behind NAT.
pub const BETWEEN_LOCATIONS: &[Watched] = &[("a1-pod1", "b1-pod1", Family::V4), ("h1-pod1", "a2-pod1", Family::V6)];

/// Runs an action under pings. No ping may be lost.
pub fn loses_nothing(lab: &Lab, event: &str, watched: &[Watched], happen: impl FnOnce()) {
    await_settled(lab);
    let start = |(from, to, family): &Watched| (format!("{from} to {to}"), flow(lab, from, to, *family));
    let flows: Vec<_> = watched.iter().map(start).collect();
    happen();
    Flow::await_answers_of_all(flows.iter().map(|(_, flow)| flow), 50).unwrap();
    for (name, flow) in flows {
        let report = flow.stop().unwrap();
        eprintln!("{event}: {name}: {} of {} lost", report.lost.len(), report.sent);
        assert!(report.lost.is_empty(), "{event}: {name}: {report:?}");
    }
}

/// Waits until no node sees a gateway of its location as down, and none takes part in a handover.
fn await_settled(lab: &Lab) {
    let is_settled = |node: &Node| -> anyhow::Result<bool> {
        let page: StatusPage = serde_json::from_str(&node.agent_page("/status")?.body)?;
        Ok(page.plan.is_some_and(|plan| plan.location.down.is_empty() && plan.handover.is_none()))
    };
    wait::until("all gateways to be up", || {
        let settled: Vec<_> = lab.nodes().map(|node| is_settled(node).unwrap_or(false)).collect();
        Ok(settled.iter().all(|settled| *settled).then_some(()))
    })
    .unwrap();
}

pub fn an_update_loses_nothing(lab: &Lab) {
    let rollout = Rollout::of(lab.topology());
    let with_setting = rollout.clone().with_setting("CARRICK_LOG_LEVEL=debug");
    loses_nothing(lab, "change of a setting", BETWEEN_LOCATIONS, || {
        cluster(lab).roll_out(lab.kubernetes(), &with_setting).unwrap();
    });
    loses_nothing(lab, "change of the image", BETWEEN_LOCATIONS, || {
        cluster(lab).roll_out(lab.kubernetes(), &rollout.with_next_image()).unwrap();
    });
    assert!(cluster(lab).unready(lab.kubernetes()).unwrap().is_empty());
}

pub fn an_outage_of_the_api_loses_nothing(lab: &Lab) {
    let answers = outage_seconds() * 1000 / u64::try_from(INTERVAL.as_millis()).unwrap();
    loses_nothing(lab, "outage of the API server", BETWEEN_LOCATIONS, || {
        let watch: Flow = flow(lab, "b2-pod1", "h1-pod1", Family::V4);
        lab.kubernetes().set_all(Mode::Cut);
        watch.await_answers(answers).unwrap();
        lab.kubernetes().set_all(Mode::Pass);
        watch.await_answers(100).unwrap();
        let report = watch.stop().unwrap();
        assert!(report.lost.is_empty(), "{report:?}");
    });
}

/// An update of the userspace data path interrupts traffic: packets through the node's tunnels are lost until the new process is configured.
pub fn a_replaced_data_path_comes_back(lab: &Lab) {
    let label = "--selector=app.kubernetes.io/name=carrick-userspace-wireguard";
    let namespace = "--namespace=carrick-system";
    let watched = flow(lab, "h1-pod1", "a2-pod1", Family::V4);
    watched.await_answers(50).unwrap();
    kubectl(lab, &["delete", "pod", namespace, label, "--field-selector=spec.nodeName=h1"]);
    watched.await_answers(100).unwrap();
    let report = watched.stop().unwrap();
    let (lost, silence) = (report.lost.len(), report.longest_silence.as_secs_f64());
    eprintln!(
        "userspace WireGuard replaced: h1-pod1 to a2-pod1: {lost} of {} lost, silent for {silence:.1} s",
        report.sent
    );
    assert!(cluster(lab).unready(lab.kubernetes()).unwrap().is_empty());
}
