//! Walks the table of faults in `docs/operations.md`: `/readyz`, the metric, `carrickctl doctor` and the Event say the same about each.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use carrick_core::{ApiState, ApplyOutcome, Consequence, Core, Event, Fault, FaultSource, Readiness, WriteOutcome};
use carrick_doctor::{Agent, Observations, Pages, Severity, diagnose};
use carrick_kube::annotations::NodeMetadata;
use carrick_kube::own_node::OwnNode;
use carrick_kube::publish::fault_event;
use carrick_status::FaultKind;
use carrick_topology::plan::MeshDevices;
use carrick_topology::{Change, Family, Node, NodeName, PublicKey, Settings, discovery};

use super::reporter::fault_note;
use super::status::Status;

const OPERATIONS: &str = include_str!("../../../../docs/operations.md");
const NOW: Duration = Duration::from_secs(1000);

fn me() -> NodeName {
    "me".parse().unwrap()
}

fn new_core() -> Core {
    Core::new(me(), PublicKey::from_bytes([1; 32]), Settings::default(), 7)
}

/// A core that knows the cluster, with or without a pod CIDR, and has a plan.
fn planned(pod_cidr: Option<&str>) -> Core {
    let mut core = new_core();
    let node = Node { location: Some("here".parse().unwrap()), ..Node::new(me(), 0) };
    let pod_cidrs = pod_cidr.iter().map(|cidr| cidr.parse().unwrap()).collect();
    let own = discovery::OwnNode { pod_cidrs, ..discovery::OwnNode::new(node.clone()) };
    core.handle_event(NOW, Event::OwnNode(Box::new(own)));
    core.handle_event(NOW, Event::Host(Vec::new().into()));
    let other = Node {
        location: Some("there".parse().unwrap()),
        public_key: Some(PublicKey::from_bytes([2; 32])),
        pod_cidrs: BTreeSet::from(["10.42.2.0/24".parse().unwrap()]),
        mesh_addresses: BTreeSet::from(["10.4.0.2".parse().unwrap()]),
        advertised_endpoints: BTreeSet::from(["198.51.100.2".parse().unwrap()]),
        ..Node::new("other".parse().unwrap(), 0)
    };
    let changes = [node, other].map(|node| Change::Node {
        name: node.name.clone(),
        node: Some(Box::new(node)),
        warnings: BTreeSet::new(),
    });
    core.handle_event(NOW, Event::Changed(changes.into()));
    core.handle_event(NOW, Event::Synced);
    core.handle_event(NOW, Event::Api(ApiState::Synced));
    core.handle_timeout(NOW + Duration::from_secs(1));
    core
}

/// A core of a node that is ready.
fn ready() -> Core {
    let mut core = planned(Some("10.42.0.0/24"));
    core.handle_event(NOW + Duration::from_secs(1), Event::Applied(ApplyOutcome::Changed));
    core.handle_event(NOW + Duration::from_secs(1), Event::Published(WriteOutcome::Complete));
    assert_eq!((core.readiness(), core.faults()), (Readiness::Ready, BTreeSet::new()));
    core
}

/// A core of a ready node that is told of a fault.
fn told(source: FaultSource, fault: &Fault) -> Core {
    let mut core = ready();
    let faults = BTreeSet::from([fault.clone()]);
    core.handle_event(NOW + Duration::from_secs(2), Event::Faults(source, faults));
    core
}

/// A core of a ready node whose annotations the API accepts and does not show.
fn overwritten() -> Core {
    let mut core = ready();
    for round in 1..10 {
        let now = NOW + Duration::from_secs(400) * round;
        core.handle_timeout(now);
        core.handle_event(now, Event::Published(WriteOutcome::Complete));
    }
    core
}

/// Every fault, each with a core of a node that has it.
fn provoked() -> Vec<(Fault, Core)> {
    let reason = || "operation not permitted".to_owned();
    let chain = || "inet firewalld filter_FORWARD".to_owned();
    let mut without_node = ready();
    let gone = Change::Node { name: me(), node: None, warnings: BTreeSet::new() };
    without_node.handle_event(NOW + Duration::from_secs(2), Event::Changed(vec![gone]));
    without_node.handle_timeout(NOW + Duration::from_secs(3));
    let mut without_api = ready();
    without_api.handle_event(NOW + Duration::from_secs(2), Event::Api(ApiState::Lost));
    let mut not_accepted = planned(Some("10.42.0.0/24"));
    not_accepted.handle_event(NOW + Duration::from_secs(1), Event::Applied(ApplyOutcome::Changed));
    let mut provoked = vec![
        (Fault::ClusterUnknown, new_core()),
        (Fault::NodeMissing, without_node),
        (Fault::NotAccepted, not_accepted),
        (Fault::NotApplied, planned(Some("10.42.0.0/24"))),
        (Fault::PodCidrMissing, planned(None)),
        (Fault::ApiLost, without_api),
        (Fault::AnnotationsOverwritten, overwritten()),
    ];
    let policy = "the ValidatingAdmissionPolicy carrick-nodes is not installed".to_owned();
    for (source, fault) in [
        (FaultSource::Kernel, Fault::DeviceMissing(reason())),
        (FaultSource::Kernel, Fault::DeviceSilent("carrick0".parse().unwrap())),
        (FaultSource::Kernel, Fault::ForwardingOff(Family::V6, reason())),
        (FaultSource::Kernel, Fault::ForwardChainDrops { chain: chain(), reason: reason() }),
        (FaultSource::Kernel, Fault::ForwardChainLocked { chain: chain(), reason: reason() }),
        (FaultSource::Kernel, Fault::KernelRefuses(reason())),
        (FaultSource::PodFiles, Fault::PodFilesNotWritten(reason())),
        (FaultSource::PodRoutes, Fault::PodRoutesNotRestored(reason())),
        (FaultSource::PodFirewall, Fault::PodFirewallNotRestored(reason())),
        (FaultSource::SavedState, Fault::StateNotWritten(reason())),
        (FaultSource::AdmissionPolicies, Fault::PolicyMissing(policy)),
        (FaultSource::ProbePort, Fault::ProbePortTaken([10, 0, 0, 1].into())),
        (FaultSource::Probes, Fault::AllNodesSilent),
    ] {
        let core = told(source, &fault);
        provoked.push((fault, core));
    }
    let mut refused = ready();
    let changed = discovery::OwnNode {
        pod_cidrs: BTreeSet::from(["10.42.9.0/24".parse().unwrap()]),
        ..discovery::OwnNode::new(Node { location: Some("here".parse().unwrap()), ..Node::new(me(), 0) })
    };
    refused.handle_event(NOW + Duration::from_secs(2), Event::OwnNode(Box::new(changed)));
    let fault = Fault::WriteRefused("denied by policy".to_owned());
    let faults = BTreeSet::from([fault.clone()]);
    refused.handle_event(NOW + Duration::from_secs(2), Event::Faults(FaultSource::Publication, faults));
    provoked.push((fault, refused));
    provoked
}

/// The faults of the table, each with its effect.
fn documented() -> BTreeMap<String, String> {
    let section = OPERATIONS.split_once("\n## Faults\n").unwrap().1.split_once("\n## ").unwrap().0;
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let cells = rows.map(|row| row.split('|').map(str::trim).collect::<Vec<_>>());
    cells.map(|row| (row[1].trim_matches('`').to_owned(), row[2].to_owned())).collect()
}

fn own_node() -> OwnNode {
    OwnNode {
        metadata: NodeMetadata {
            name: me(),
            created: Node::new(me(), 0).created,
            annotations: BTreeMap::new(),
            labels: BTreeMap::new(),
        },
        uid: "uid".to_owned(),
        pod_cidrs: BTreeSet::new(),
        internal_ips: Vec::new(),
        external_ips: Vec::new(),
    }
}

#[test]
fn every_row_of_the_table_of_faults_says_the_same_everywhere() {
    let documented = documented();
    let kinds: BTreeSet<&str> = FaultKind::ALL.iter().map(|kind| kind.as_str()).collect();
    assert_eq!(documented.keys().map(String::as_str).collect::<BTreeSet<_>>(), kinds);
    let provoked = provoked();
    assert_eq!(provoked.iter().map(|(fault, _)| fault.kind().as_str()).collect::<BTreeSet<_>>(), kinds);
    for (fault, core) in provoked {
        let (kind, text) = (fault.kind().as_str(), fault.to_string());
        let remedy = fault.remedy(&MeshDevices::default());
        assert!(core.faults().contains(&fault), "{kind}: {:?}", core.faults());
        let effect = match fault.consequence() {
            Consequence::NotReadyAtStart => "not ready at start",
            Consequence::NoNewPods => "no new pods",
            Consequence::Warning => "warning",
        };
        assert_eq!(documented[kind], effect, "{kind}");

        let status = Status::new(me());
        if let Fault::PolicyMissing(what) = &fault {
            status.take_policy_faults(BTreeSet::from([what.clone()]));
        }
        status.turn(&core);
        let (readiness, body) = status.readiness();
        assert_eq!(readiness, core.readiness(), "{kind}");
        let is_of_a_start = matches!(kind, "ClusterUnknown" | "NotAccepted" | "NotApplied" | "PodCidrMissing");
        let expected = if is_of_a_start || effect == "no new pods" { Readiness::NotReady } else { Readiness::Ready };
        assert_eq!(readiness, expected, "{kind}: {body}");
        let is_warning = effect == "warning" || readiness == Readiness::Ready;
        let line = format!("{}{text} -> {remedy}", if is_warning { "warning: " } else { "" });
        assert!(body.lines().any(|found| found == line), "{kind}: {body}");
        assert_eq!(body.starts_with("ok\n"), readiness == Readiness::Ready, "{kind}: {body}");

        let metrics = status.metrics().encode().unwrap();
        assert!(metrics.contains(&format!("carrick_faults{{kind=\"{kind}\"}} 1")), "{kind}: {metrics}");
        assert!(metrics.contains(&format!("carrick_ready {}", u8::from(readiness == Readiness::Ready))), "{kind}");

        let pages = Pages { status: status.page(), ..Pages::default() };
        let agents = BTreeMap::from([(me(), Agent::Answered(Box::new(pages)))]);
        let findings = diagnose(&Observations { agents, ..Observations::default() });
        let found = findings.iter().find(|finding| finding.text.contains(&text));
        let found = found.unwrap_or_else(|| panic!("{kind}: {findings:#?}"));
        assert!(found.severity > Severity::Ok && found.remedy.contains(&remedy), "{kind}: {found:?}");

        let note = fault_note(&fault, &MeshDevices::default());
        let event = fault_event(&own_node(), kind, note, jiff::Timestamp::UNIX_EPOCH);
        assert_eq!((event.reason.as_deref(), event.note), (Some(kind), Some(format!("{text} -> {remedy}"))));
    }
}
