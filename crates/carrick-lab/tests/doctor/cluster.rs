//! What people and agents write into Node objects.

use std::time::Duration;

use carrick_test_apiserver::{Fault, FaultDuration, RequestFilter, Resource};

use crate::mesh::Mesh;
use crate::patient::Patient;

fn annotated(patient: &Patient, verdict: &str, key: &str, value: &str) -> String {
    let key = format!("carrick.dev/{key}");
    let annotate = |mesh: &Mesh, value| mesh.kubernetes().annotate("b1", &key, value).unwrap();
    patient.suffers(verdict, |mesh| annotate(mesh, Some(value)), |mesh| annotate(mesh, None))
}

#[test]
fn nodes() {
    let patient = Patient::in_good_health();
    let internal = patient.0.internal_address("b1", carrick_lab::address::Family::V4);
    let text = annotated(&patient, "warning private-endpoint b1", "endpoint", &format!("{internal}:51820"));
    assert!(text.contains(&internal.to_string()), "{text}");

    let pod = patient.0.pod_address("b1-pod1", carrick_lab::address::Family::V4);
    annotated(&patient, "problem endpoint-in-pod-cidr b1", "endpoint", &format!("{pod}:51820"));

    let pods = patient.0.pod_address("a1-pod1", carrick_lab::address::Family::V4);
    annotated(&patient, "warning overlapping-cidrs b1", "allowed-location-cidrs", &format!("{pods}/32"));

    annotated(&patient, "warning ignored-values b1", "gateway", "perhaps");
}

#[test]
fn keys() {
    let patient = Patient::in_good_health();
    // The agent would put its key right at once; the API server refuses it.
    let filter = RequestFilter { user: Some("b1".to_owned()), resource: Some(Resource::Node) };
    let busy = Fault::TooManyRequests { retry_after: Duration::from_secs(1) };
    let another = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
    patient.suffers(
        "problem keys b1",
        |mesh| {
            mesh.kubernetes().embedded().unwrap().inject(busy, FaultDuration::UntilCleared, filter);
            mesh.kubernetes().annotate("b1", "carrick.dev/public-key", Some(another)).unwrap();
        },
        |mesh| mesh.kubernetes().embedded().unwrap().clear_faults(),
    );
}
