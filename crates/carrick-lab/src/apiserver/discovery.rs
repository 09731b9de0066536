//! What the server says about itself
//! (<https://kubernetes.io/docs/concepts/overview/kubernetes-api/#discovery-api>).

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::resource::{Resource, Scope, StatusPart};

const VERBS: [&str; 7] = ["create", "delete", "get", "list", "patch", "update", "watch"];

pub(super) fn version() -> Value {
    json!({
        "major": "1", "minor": "36", "gitVersion": "v1.36.0+carrick-lab", "gitCommit": "",
        "gitTreeState": "clean", "buildDate": "1970-01-01T00:00:00Z", "goVersion": "",
        "compiler": "", "platform": "linux/amd64",
    })
}

pub(super) fn core_versions() -> Value {
    json!({
        "kind": "APIVersions", "versions": ["v1"],
        "serverAddressByClientCIDRs": [],
    })
}

fn describe_group(group: &str, version: &str) -> Value {
    let version = json!({ "groupVersion": format!("{group}/{version}"), "version": version });
    json!({ "name": group, "versions": [version], "preferredVersion": version })
}

fn groups_served() -> BTreeSet<(&'static str, &'static str)> {
    let named = Resource::ALL.into_iter().filter(|resource| !resource.group().is_empty());
    named.map(|resource| (resource.group(), resource.version())).collect()
}

pub(super) fn groups() -> Value {
    let groups: Vec<_> = groups_served().into_iter().map(|(group, version)| describe_group(group, version)).collect();
    json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups })
}

pub(super) fn group(name: &str) -> Option<Value> {
    let (group, version) = groups_served().into_iter().find(|(group, _)| *group == name)?;
    let mut description = describe_group(group, version);
    description["kind"] = json!("APIGroup");
    description["apiVersion"] = json!("v1");
    Some(description)
}

pub(super) fn resources(group: &str, version: &str) -> Option<Value> {
    let served = |r: &Resource| r.group() == group && r.version() == version;
    let mut list = Vec::new();
    for resource in Resource::ALL.into_iter().filter(served) {
        let namespaced = resource.scope() == Scope::Namespaced;
        list.push(json!({
            "name": resource.plural(), "singularName": resource.kind().to_lowercase(),
            "namespaced": namespaced, "kind": resource.kind(), "verbs": VERBS,
        }));
        if resource.status_part() != StatusPart::Absent {
            list.push(json!({
                "name": format!("{}/status", resource.plural()), "singularName": "",
                "namespaced": namespaced, "kind": resource.kind(),
                "verbs": ["get", "patch", "update"],
            }));
        }
    }
    let group_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    (!list.is_empty()).then(|| {
        json!({
            "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version,
            "resources": list,
        })
    })
}
