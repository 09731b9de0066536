//! Findings about annotations of Node objects.

use std::time::Duration;

use carrick_test_apiserver::{Fault, FaultDuration, RequestFilter, Resource};

use crate::diagnosed_mesh::DiagnosedMesh;
use crate::mesh::Mesh;

fn annotated(diagnosed: &DiagnosedMesh, finding: &str, key: &str, value: &str) -> String {
    let key = format!("carrick.dev/{key}");
    let annotate = |mesh: &Mesh, value| mesh.kubernetes().annotate("b1", &key, value).unwrap();
    diagnosed.reports(finding, |mesh| annotate(mesh, Some(value)), |mesh| annotate(mesh, None))
}

#[test]
fn wrong_annotations_of_a_node_are_reported() {
    let diagnosed = DiagnosedMesh::without_findings();
    let internal = diagnosed.0.internal_address("b1", carrick_lab::address::Family::V4);
    let endpoint = format!("{internal}:51820");
    let annotate = |mesh: &Mesh, value| mesh.kubernetes().annotate("b1", "carrick.dev/endpoint", value).unwrap();
    let text = diagnosed.reports_among(
        "warning private-endpoint b1",
        |mesh| annotate(mesh, Some(&endpoint)),
        |mesh| annotate(mesh, None),
    );
    assert!(text.contains(&internal.to_string()), "{text}");

    let pod = diagnosed.0.pod_address("b1-pod1", carrick_lab::address::Family::V4);
    annotated(&diagnosed, "problem endpoint-in-pod-cidr b1", "endpoint", &format!("{pod}:51820"));

    let pods = diagnosed.0.pod_address("a1-pod1", carrick_lab::address::Family::V4);
    annotated(&diagnosed, "warning overlapping-cidrs b1", "allowed-location-cidrs", &format!("{pods}/32"));

    annotated(&diagnosed, "warning ignored-values b1", "gateway", "perhaps");
}

#[test]
fn a_published_key_that_is_not_the_agents_key_is_a_problem() {
    let diagnosed = DiagnosedMesh::without_findings();
    // The API server refuses the agent's requests, so that the agent cannot restore its key.
    let filter = RequestFilter { user: Some("b1".to_owned()), resource: Some(Resource::Node) };
    let busy = Fault::TooManyRequests { retry_after: Duration::from_secs(1) };
    let another = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
    diagnosed.reports(
        "problem keys b1",
        |mesh| {
            mesh.kubernetes().embedded().unwrap().inject(busy, FaultDuration::UntilCleared, filter);
            mesh.kubernetes().annotate("b1", "carrick.dev/public-key", Some(another)).unwrap();
        },
        |mesh| mesh.kubernetes().embedded().unwrap().clear_faults(),
    );
}
