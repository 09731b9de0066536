//! Which faults make the node not ready, which take new pods away from it, and which are reported.

use std::collections::BTreeSet;
use std::time::Duration;

use carrick_status::FaultKind;
use carrick_topology::plan::MeshDevices;
use carrick_topology::{Cluster, Family};

use super::fixture::{Fixture, cluster, published_cluster};
use crate::{
    ApiState, ApplyOutcome, Consequence, Effect, Event, FAULT_PATIENCE, Fault, FaultSource, PodAddressing, Readiness,
};

/// Every fault that a source outside of the core reports.
fn reported() -> Vec<Fault> {
    let chain = || "ip filter FORWARD".to_owned();
    let reason = || "operation not permitted".to_owned();
    vec![
        Fault::DeviceMissing(reason()),
        Fault::DeviceSilent("carrick0".parse().unwrap()),
        Fault::ForwardingOff(Family::V4, reason()),
        Fault::ForwardChainDrops { chain: chain(), reason: reason() },
        Fault::ForwardChainLocked { chain: chain(), reason: reason() },
        Fault::KernelRefuses(reason()),
        Fault::PodFilesNotWritten(reason()),
        Fault::PodRoutesNotRestored(reason()),
        Fault::PodFirewallNotRestored(reason()),
        Fault::StateNotWritten(reason()),
        Fault::WriteRefused(reason()),
        Fault::AnnotationsOverwritten,
        Fault::PolicyMissing("the ValidatingAdmissionPolicy carrick-nodes is not installed".to_owned()),
        Fault::ProbePortTaken([10, 0, 0, 1].into()),
        Fault::AllNodesSilent,
    ]
}

fn report(fixture: &mut Fixture, faults: impl IntoIterator<Item = Fault>) {
    fixture.event(Event::Faults(FaultSource::Kernel, faults.into_iter().collect()));
}

fn written(effects: &[Effect]) -> Vec<Option<Fault>> {
    let pod_files = |effect: &Effect| match effect {
        Effect::WritePodFiles(PodAddressing { fault, .. }) => Some(fault.clone()),
        _ => None,
    };
    effects.iter().filter_map(pod_files).collect()
}

fn told(effects: &[Effect]) -> Vec<BTreeSet<Fault>> {
    let told = |effect: &Effect| match effect {
        Effect::TellFaults(faults) => Some(faults.clone()),
        _ => None,
    };
    effects.iter().filter_map(told).collect()
}

fn effects_after(fixture: &mut Fixture, time: Duration) -> Vec<Effect> {
    let mut effects = Vec::new();
    let end = fixture.now + time;
    while fixture.now < end {
        for effect in fixture.effects_within(Duration::from_secs(1)) {
            effects.push(effect.clone());
            fixture.succeed(effect);
        }
    }
    effects
}

#[test]
fn only_a_fault_of_the_nodes_own_that_lasts_takes_new_pods_away() {
    for fault in reported() {
        let mut fixture = Fixture::steady();
        assert_eq!(fixture.core.readiness(), Readiness::Ready);
        report(&mut fixture, [fault.clone()]);
        let takes_away = fault.consequence() == Consequence::NoNewPods;
        let expected = if takes_away { Readiness::NotReady } else { Readiness::Ready };
        assert_eq!(fixture.core.readiness(), expected, "{fault}");
        assert!(fixture.core.faults().contains(&fault));

        let early = effects_after(&mut fixture, FAULT_PATIENCE - Duration::from_secs(2));
        assert_eq!(written(&early), [], "{fault}");
        let late = effects_after(&mut fixture, Duration::from_secs(4));
        let expected = if takes_away { vec![Some(fault.clone())] } else { Vec::new() };
        assert_eq!(written(&late), expected, "{fault}");
        assert_eq!(told(&late), [BTreeSet::from([fault.clone()])], "{fault}");

        report(&mut fixture, []);
        assert_eq!(fixture.core.readiness(), Readiness::Ready);
        let over = effects_after(&mut fixture, Duration::from_secs(2));
        assert_eq!(written(&over), if takes_away { vec![None] } else { Vec::new() }, "{fault}");
        assert_eq!(told(&over), [BTreeSet::new()], "{fault}");
    }
}

#[test]
fn a_fault_that_passes_soon_is_not_reported_and_takes_no_pods_away() {
    let mut fixture = Fixture::steady();
    for _ in 0..5 {
        report(&mut fixture, [Fault::DeviceMissing("restarts".to_owned())]);
        let mut effects = effects_after(&mut fixture, FAULT_PATIENCE - Duration::from_secs(2));
        report(&mut fixture, []);
        effects.extend(effects_after(&mut fixture, Duration::from_secs(3)));
        assert_eq!((written(&effects), told(&effects)), (vec![], vec![]));
    }
}

#[test]
fn no_fault_that_all_nodes_share_makes_a_ready_node_not_ready() {
    // The API is gone, and comes back without the Nodes; a Peer or a setting is one that no kernel takes.
    let mut fixture = Fixture::steady();
    fixture.event(Event::Api(ApiState::Lost));
    fixture.show(&Cluster::default());
    report(&mut fixture, [Fault::KernelRefuses("set peer: invalid argument".to_owned())]);
    fixture.event(Event::Faults(FaultSource::Probes, BTreeSet::from([Fault::AllNodesSilent])));
    let policy = Fault::PolicyMissing("the policy is not installed".to_owned());
    fixture.event(Event::Faults(FaultSource::AdmissionPolicies, BTreeSet::from([policy])));
    let full = Fault::StateNotWritten("no space left on device".to_owned());
    fixture.event(Event::Faults(FaultSource::SavedState, BTreeSet::from([full])));
    let effects = fixture.effects_within(FAULT_PATIENCE * 3);
    assert_eq!(fixture.core.readiness(), Readiness::Ready);
    assert_eq!(written(&effects), []);
    let kinds: BTreeSet<FaultKind> = fixture.core.faults().iter().map(Fault::kind).collect();
    assert_eq!(
        kinds,
        BTreeSet::from([
            FaultKind::NodeMissing,
            FaultKind::KernelRefuses,
            FaultKind::ApiLost,
            FaultKind::PolicyMissing,
            FaultKind::StateNotWritten,
            FaultKind::AllNodesSilent,
        ]),
        "the faults are reported all the same"
    );
}

#[test]
fn a_new_node_with_a_fault_that_stops_its_pods_does_not_become_ready() {
    let mut fixture = Fixture::new();
    fixture.show_first(&published_cluster(&["a", "b"]));
    fixture.report_surroundings();
    fixture.event(Event::Api(ApiState::Synced));
    let fault = Fault::ForwardingOff(Family::V4, "read-only file system".to_owned());
    report(&mut fixture, [fault]);
    fixture.wait(Duration::from_millis(50));
    fixture.event(Event::Applied(ApplyOutcome::Changed));
    assert_eq!(written(&fixture.effects()), []);
    assert_eq!(fixture.core.readiness(), Readiness::NotReady);
    report(&mut fixture, []);
    assert_eq!(written(&fixture.effects()), [None]);
    assert_eq!(fixture.core.readiness(), Readiness::Ready);
}

#[test]
fn an_agent_that_starts_is_not_ready_and_writes_nothing_before_its_kernel_holds_the_plan() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.core.faults(), BTreeSet::from([Fault::ClusterUnknown]));
    fixture.report_surroundings();
    fixture.show_first(&cluster(&["a", "b"]));
    fixture.event(Event::Api(ApiState::Synced));
    let effects = fixture.effects_within(FAULT_PATIENCE * 2);
    assert_eq!(fixture.core.faults(), BTreeSet::from([Fault::NotAccepted, Fault::NotApplied]));
    assert_eq!(fixture.core.readiness(), Readiness::NotReady);
    assert_eq!(written(&effects), []);
}

#[test]
fn every_fault_has_its_kind_its_text_and_its_remedy() {
    let mut all = reported();
    all.extend([
        Fault::ClusterUnknown,
        Fault::NodeMissing,
        Fault::NotAccepted,
        Fault::NotApplied,
        Fault::PodCidrMissing,
        Fault::ApiLost,
    ]);
    let kinds: BTreeSet<FaultKind> = all.iter().map(Fault::kind).collect();
    assert_eq!(kinds, FaultKind::ALL.iter().copied().collect());
    for fault in all {
        assert!(!fault.to_string().is_empty() && !fault.remedy(&MeshDevices::default()).is_empty(), "{fault:?}");
    }
}

#[test]
fn the_remedy_for_a_chain_names_every_device_of_the_mesh_by_its_name_on_this_node() {
    let devices = MeshDevices::with_wireguard("wg-mesh".parse().unwrap());
    for chain in ["ip filter FORWARD", "inet firewalld filter_FORWARD"] {
        let reason = || "operation not permitted".to_owned();
        for fault in [
            Fault::ForwardChainDrops { chain: chain.to_owned(), reason: reason() },
            Fault::ForwardChainLocked { chain: chain.to_owned(), reason: reason() },
        ] {
            let remedy = fault.remedy(&devices);
            for device in devices.all() {
                assert!(remedy.contains(device.as_str()), "{device}: {remedy}");
            }
            assert!(!remedy.contains("carrick0"), "{remedy}");
        }
    }
}
