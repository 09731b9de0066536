//! The keys that `deploy/policy.yaml` names, against those of the code and of the documents.

use std::collections::BTreeSet;

use carrick_kube::annotations::{PREFIX, key};
use serde_json::Value;

use crate::support::control_plane::root;

/// The policy for Nodes.
fn policy() -> Value {
    let text = std::fs::read_to_string(root().join("deploy/policy.yaml")).unwrap();
    let documents = serde_yaml_ng::Deserializer::from_str(&text);
    let mut documents = documents.map(|document| <Value as serde::Deserialize>::deserialize(document).unwrap());
    documents.find(|document| document["metadata"]["name"] == "carrick-nodes").unwrap()
}

/// The list in an expression.
fn listed(expression: &Value) -> BTreeSet<String> {
    let (_, rest) = expression.as_str().unwrap().split_once("['").unwrap();
    let (list, _) = rest.split_once("']").unwrap();
    let keys: Vec<_> = list.split("', '").collect();
    assert_eq!(owned(&keys).len(), keys.len(), "{list}");
    owned(&keys)
}

/// The list that a variable of the policy consists of.
fn policy_list(variable: &str) -> BTreeSet<String> {
    let policy = policy();
    let variables = policy["spec"]["variables"].as_array().unwrap();
    listed(&variables.iter().find(|one| one["name"] == variable).unwrap()["expression"])
}

/// The keys in a section of docs/annotations.md.
fn documented(heading: &str) -> BTreeSet<String> {
    let text = std::fs::read_to_string(root().join("docs/annotations.md")).unwrap();
    let section = text.split(&format!("\n## {heading}\n")).nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    rows.map(|(key, _)| format!("carrick.dev/{key}")).collect()
}

fn owned(keys: &[&str]) -> BTreeSet<String> {
    keys.iter().map(|key| (*key).to_owned()).collect()
}

#[test]
fn the_policy_names_the_keys_of_the_code_and_of_the_documents() {
    assert_eq!(policy_list("agentKeys"), owned(&key::AGENTS));
    assert_eq!(policy_list("peopleKeys"), owned(&key::PEOPLES));
    let compared = listed(&policy()["spec"]["matchConditions"][0]["expression"]);
    assert_eq!(compared, owned(&[key::AGENTS.as_slice(), key::PEOPLES.as_slice()].concat()));
    assert_eq!(documented("Annotations that the agent writes"), owned(&key::AGENTS));
    assert_eq!(documented("Annotations that people set"), owned(&key::PEOPLES));
    assert!(owned(&key::AGENTS).is_disjoint(&owned(&key::PEOPLES)));
}

/// Every key of the code is in one of the two lists.
#[test]
fn each_key_of_the_code_has_one_writer() {
    let source = include_str!("../../src/annotations/key.rs");
    let (source, _) = source.split_once("#[cfg(test)]").unwrap();
    let literals = source.split('"').skip(1).step_by(2);
    let keys: BTreeSet<_> = literals.filter(|text| *text != PREFIX).map(str::to_owned).collect();
    let listed: BTreeSet<_> =
        [key::AGENTS.as_slice(), key::PEOPLES.as_slice()].concat().iter().map(|key| (*key).to_owned()).collect();
    assert_eq!(keys, listed);
}
