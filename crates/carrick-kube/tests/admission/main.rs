//! The admission policies of `deploy/` on a real kube-apiserver, with the credentials that agents, kubelets and others have.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod callers;
mod forged;
mod keys;
mod legitimate;
#[path = "../support/mod.rs"]
mod support;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use callers::{Caller, Clients};
use carrick_kube::admission::{POLICIES, policy_faults};
use carrick_kube::annotations::{NodeMetadata, Published};
use carrick_kube::client::ApiClient;
use carrick_kube::own_node::OwnNode;
use carrick_kube::peer::{ConditionStatus, Peer};
use carrick_kube::publish::{PeerReport, PublishError, publish_annotations, publish_fault, publish_peer_status};
use carrick_test_apiserver::control_plane::{ControlPlane, ExtraFlags};
use forged::{Forged, forged};
use jiff::Timestamp;
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicy;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use legitimate::legitimate;
use serde_json::{Value, json};
use support::{KEY, control_plane};
use write::{Mode, Target, Write};

/// Another WireGuard public key.
const OTHER_KEY: &str = "AQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
/// How long the API server may take until a changed policy is in force; it looks once a second.
const POLICY_LIMIT: Duration = Duration::from_secs(30);

#[tokio::test]
async fn the_policies_refuse_forged_writes_and_accept_legitimate_ones() {
    let state = control_plane::directory("kube-admission");
    let authority = callers::make_authority(&state);
    let flags = ExtraFlags { apiserver: vec![format!("--client-ca-file={authority}")], ..ExtraFlags::default() };
    let manifests = [
        "deploy/namespace.yaml",
        "deploy/crd",
        "deploy/rbac.yaml",
        "deploy/policy.yaml",
        "crates/carrick-kube/tests/admission/callers.yaml",
    ];
    let Some(server) = control_plane::start(state.clone(), callers::users(), &manifests, flags) else { return };
    let clients = callers::clients(&server, &state).await;

    legitimate_writes_are_accepted(&clients).await;
    agents_report_the_peers_that_they_serve(&clients).await;
    forged_writes_are_refused(&clients).await;
    an_agent_learns_why_its_write_is_refused(&clients).await;
    each_rule_is_needed(&clients).await;
    without_the_bindings_forged_writes_pass(&server, &clients).await;
}

async fn legitimate_writes_are_accepted(clients: &Clients) {
    let writes = legitimate();
    assert!(writes.len() >= 15, "{}", writes.len());
    for (name, caller, write) in writes {
        let outcome = write.send(&clients[&caller], &clients[&Caller::Admin], Mode::Real).await;
        assert!(outcome.is_ok(), "{name}: {outcome:?}");
    }
}

async fn agents_report_the_peers_that_they_serve(clients: &Clients) {
    let peers: Api<Peer> = Api::all(clients[&Caller::Admin].client());
    let peer = json!({"apiVersion": "carrick.dev/v1alpha1", "kind": "Peer", "metadata": {"name": "laptop"},
        "spec": {"publicKey": KEY, "allowedIPs": ["192.168.7.0/24"]}});
    peers.create(&PostParams::default(), &serde_json::from_value(peer).unwrap()).await.unwrap();
    for node in ["a", "b"] {
        let client = &clients[&Caller::Agent(node)];
        publish_peer_status(client, &"laptop".parse().unwrap(), &report(node), Timestamp::UNIX_EPOCH).await.unwrap();
    }
    assert_eq!(peers.get("laptop").await.unwrap().status.unwrap().serving_node.as_deref(), Some("b"));
    for repairer in [Caller::Repairer, Caller::Admin] {
        let removal = Write::Merge(Target::PeerStatus("laptop"), json!({"status": null}));
        removal.send(&clients[&repairer], admin(clients), Mode::Real).await.unwrap();
        assert_eq!(peers.get("laptop").await.unwrap().status, None);
        publish_peer_status(
            &clients[&Caller::Agent("b")],
            &"laptop".parse().unwrap(),
            &report("b"),
            Timestamp::UNIX_EPOCH,
        )
        .await
        .unwrap();
    }
    assert_eq!(peers.get("laptop").await.unwrap().status.unwrap().serving_node.as_deref(), Some("b"));
}

fn report(node: &str) -> PeerReport {
    PeerReport {
        serving_node: node.parse().unwrap(),
        connected: ConditionStatus::True,
        reason: "Handshake".into(),
        message: String::new(),
    }
}

async fn forged_writes_are_refused(clients: &Clients) {
    let writes = forged();
    assert!(writes.len() >= 30, "{}", writes.len());
    until_passing("no forged write passes", clients, &writes, |count| count == 0).await;
    for forged in &writes {
        let error = attempt(clients, forged).await.unwrap_err().to_string();
        assert!(error.contains("ValidatingAdmissionPolicy 'carrick-"), "{}: {error}", forged.name);
        assert!(error.contains(forged.reason), "{} by {:?}: {error}", forged.name, forged.caller);
    }
}

async fn an_agent_learns_why_its_write_is_refused(clients: &Clients) {
    let node = Api::<Node>::all(admin(clients).client()).get("a").await.unwrap();
    let own = OwnNode {
        metadata: NodeMetadata {
            name: "a".parse().unwrap(),
            created: 0,
            annotations: BTreeMap::new(),
            labels: BTreeMap::new(),
        },
        uid: node.metadata.uid.unwrap(),
        pod_cidrs: BTreeSet::new(),
        internal_ips: Vec::new(),
        external_ips: Vec::new(),
    };
    let published = Published { public_key: Some(OTHER_KEY.parse().unwrap()), ..Published::default() };
    let error = publish_annotations(&clients[&Caller::Agent("b")], &own, &published).await.unwrap_err();
    let PublishError::Refused(reason) = &error else { panic!("{error:?}") };
    assert!(reason.contains("The agent of the node b must not write the Node a"), "{reason}");
    assert!(!error.to_string().contains("Status {"), "{error}");
    publish_fault(&clients[&Caller::Agent("b")], &own, "WriteRefused", reason.to_string(), Timestamp::UNIX_EPOCH)
        .await
        .unwrap();
    let events =
        Api::<Event>::namespaced(admin(clients).client(), "default").list(&ListParams::default()).await.unwrap();
    let note = events.items[0].note.clone().unwrap();
    assert!(note.contains("must not write the Node a"), "{note}");
}

/// Without a rule, at least one forged write passes, and the agents say which policy lacks it.
async fn each_rule_is_needed(clients: &Clients) {
    let writes = forged();
    let policies: Api<ValidatingAdmissionPolicy> = Api::all(clients[&Caller::Admin].client());
    for name in POLICIES {
        let policy = serde_json::to_value(policies.get(name).await.unwrap()).unwrap();
        let rules = policy["spec"]["validations"].as_array().unwrap().clone();
        for index in 0..rules.len() {
            let mut others = rules.clone();
            let rule = others.remove(index);
            set_rules(&policies, name, &rules).await;
            until_passing("no forged write passes with all rules", clients, &writes, |count| count == 0).await;
            set_rules(&policies, name, &others).await;
            let what = format!("a forged write passes without the rule {rule}");
            until_passing(&what, clients, &writes, |count| count > 0).await;
            let faults = policy_faults(&clients[&Caller::Agent("a")]).await.unwrap();
            let fault = faults.first().unwrap();
            assert!(faults.len() == 1 && fault.contains(name) && fault.contains("spec.validations"), "{faults:?}");
        }
        set_rules(&policies, name, &rules).await;
        until_passing("all rules are in force again", clients, &writes, |count| count == 0).await;
    }
}

async fn set_rules(policies: &Api<ValidatingAdmissionPolicy>, name: &str, rules: &[Value]) {
    let patch = json!({"spec": {"validations": rules}});
    policies.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
}

/// Neither RBAC nor the admission of nodes (NodeRestriction) stops one of these writes.
async fn without_the_bindings_forged_writes_pass(server: &ControlPlane, clients: &Clients) {
    let agent = &clients[&Caller::Agent("a")];
    assert_eq!(policy_faults(agent).await.unwrap(), BTreeSet::new());
    server.kubectl(&["delete", "validatingadmissionpolicybinding", "carrick-nodes", "carrick-peers"]).unwrap();
    let faults = policy_faults(agent).await.unwrap();
    assert_eq!(faults.len(), 2, "{faults:?}");
    let writes = forged();
    until_passing("all forged writes pass", clients, &writes, |count| count == writes.len()).await;
}

async fn attempt(clients: &Clients, forged: &Forged) -> Result<Value, kube::Error> {
    forged.write.send(&clients[&forged.caller], admin(clients), Mode::DryRun).await
}

/// Waits until a condition holds of the number of forged writes that the server accepts.
async fn until_passing(what: &str, clients: &Clients, writes: &[Forged], holds: impl Fn(usize) -> bool) {
    let began = Instant::now();
    loop {
        let (mut passing, mut refused) = (Vec::new(), Vec::new());
        for forged in writes {
            match attempt(clients, forged).await {
                Ok(_) => passing.push(forged.name),
                Err(error) => refused.push(format!("{}: {}", forged.name, carrick_kube::with_causes(&error))),
            }
        }
        if holds(passing.len()) {
            return;
        }
        assert!(
            began.elapsed() < POLICY_LIMIT,
            "waited for {} s until {what}\npassing: {passing:#?}\nrefused: {refused:#?}",
            POLICY_LIMIT.as_secs()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn admin(clients: &Clients) -> &ApiClient {
    &clients[&Caller::Admin]
}
