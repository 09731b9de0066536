//! Mesh objects: from the bytes that the API server sends to the change that an agent gets.

use std::collections::BTreeSet;

use carrick_topology::model::AllowedLocationMasquerade;
use carrick_topology::{Cluster, Mesh};
use ipnet::IpNet;
use serde_json::Value;

use super::cluster::{check_warnings, saved, view};
use crate::mesh::{MESH_NAME, MeshSpec, parse_mesh};
use crate::objects::Objects;
use crate::watch::follow::Signal;
use crate::watch::object::MeshObject;

/// Reads `bytes` as a Mesh object, and as a document that `kubectl` saved.
///
/// # Panics
///
/// Something does not hold that must.
pub fn check(bytes: &[u8]) {
    if let Ok(document) = serde_json::from_slice::<Value>(bytes) {
        let mut objects = Objects::default();
        if let Err(error) = objects.add(document) {
            assert!(!error.to_string().is_empty());
        }
        assert_eq!(objects.cluster(super::cluster::LABEL).mesh.is_some(), objects.mesh.is_some());
    }
    let Ok(object) = serde_json::from_slice::<MeshObject>(bytes) else { return };
    let parsed = parse_mesh(&object.spec);
    check_warnings(&parsed.warnings, MESH_NAME);
    check_each_field_alone(&object.spec, &parsed.mesh);
    check_written(&parsed.mesh);
    check_changes(&object);
}

/// Without a field, the settings are the same but for that field.
fn check_each_field_alone(spec: &Value, mesh: &Mesh) {
    for field in spec.as_object().into_iter().flatten().map(|(field, _)| field) {
        let mut without = spec.clone();
        without.as_object_mut().and_then(|spec| spec.remove(field));
        let mut expected = mesh.clone();
        match field.as_str() {
            "permittedLocationCIDRs" => expected.permitted_location_cidrs = None,
            "clusterCIDRs" => expected.cluster_cidrs = None,
            "internalCIDRs" => expected.internal_cidrs = None,
            "granularity" => expected.shared.granularity = None,
            "encapsulation" => expected.shared.encapsulation = None,
            "activeGateways" => expected.shared.active_gateways = None,
            "standbyGateways" => expected.shared.standby_gateways = None,
            "meshCIDRs" => expected.shared.mesh_cidrs = None,
            "serviceCIDRs" => expected.shared.service_cidrs = None,
            "topologyLabel" => expected.shared.topology_label = None,
            "failoverIntervalMilliseconds" => expected.shared.failover_interval_ms = None,
            "masqueradeAllowedLocation" => expected.shared.allowed_location_masquerade = None,
            _ => {}
        }
        assert_eq!(parse_mesh(&without).mesh, expected, "without {field}");
    }
}

/// Written as a Mesh object again, the settings are read as the same.
fn check_written(mesh: &Mesh) {
    let texts = |networks: &Option<BTreeSet<IpNet>>| {
        networks.as_ref().map(|networks| networks.iter().map(ToString::to_string).collect())
    };
    let shared = &mesh.shared;
    let spec = MeshSpec {
        granularity: shared.granularity.map(|value| value.to_string()),
        encapsulation: shared.encapsulation.map(|value| value.to_string()),
        active_gateways: shared.active_gateways.map(|count| count.get().try_into().unwrap()),
        standby_gateways: shared.standby_gateways.map(|count| count.try_into().unwrap()),
        mesh_cidrs: texts(&shared.mesh_cidrs),
        service_cidrs: texts(&shared.service_cidrs),
        topology_label: shared.topology_label.clone(),
        failover_interval_milliseconds: shared.failover_interval_ms.map(i32::from),
        masquerade_allowed_location: shared
            .allowed_location_masquerade
            .map(|masquerade| masquerade == AllowedLocationMasquerade::On),
        permitted_location_cidrs: texts(&mesh.permitted_location_cidrs),
        cluster_cidrs: texts(&mesh.cluster_cidrs),
        internal_cidrs: texts(&mesh.internal_cidrs),
    };
    let again = parse_mesh(&serde_json::to_value(spec).unwrap());
    assert_eq!(again.mesh, *mesh);
    assert!(again.warnings.is_empty(), "{:?}", again.warnings);
}

/// An object is one change at most, and none when it comes again or was on the disk. Its deletion leaves nothing behind.
fn check_changes(object: &MeshObject) {
    let mut cluster = Cluster::default();
    let mut view = view(&cluster);
    let changes = view.take_mesh(Signal::Applied(object.clone()));
    assert_eq!(changes.len(), usize::from(object.is_the_one()), "{changes:?}");
    changes.into_iter().for_each(|change| change.apply(&mut cluster));
    assert_eq!(view.take_mesh(Signal::Applied(object.clone())), []);
    assert_eq!(super::cluster::view(&saved(&cluster)).take_mesh(Signal::Applied(object.clone())), []);
    view.take_mesh(Signal::Deleted(object.clone())).into_iter().for_each(|change| change.apply(&mut cluster));
    assert_eq!(cluster, Cluster::default());
}
