//! What makes an admission policy weaker than the one that this version ships.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::admissionregistration::v1::{
    MatchResources, ValidatingAdmissionPolicyBindingSpec, ValidatingAdmissionPolicySpec,
};
use serde::Serialize;
use serde_json::Value;

/// The start of the user name of a service account. Its namespace and name follow.
const SERVICE_ACCOUNT: &str = "system:serviceaccount:";

/// The faults of a policy, each with the field; empty if the policy decides as the shipped one.
///
/// Only fields that decide are compared. A policy may have further validations, because these can only refuse more, and further
/// variables. It may name another service account of the agents, in the same way everywhere ([`service_accounts`]). White space in expressions
/// does not count, and neither do reasons and messages.
pub(super) fn policy_faults(
    held: &ValidatingAdmissionPolicySpec,
    shipped: &ValidatingAdmissionPolicySpec,
) -> Vec<String> {
    let mut faults = Vec::new();
    let failure_policy = held.failure_policy.as_deref().unwrap_or("Fail");
    if failure_policy != "Fail" {
        faults.push(format!("spec.failurePolicy is {failure_policy} instead of Fail"));
    }
    if held.param_kind != shipped.param_kind {
        faults.push("spec.paramKind is set".to_owned());
    }
    if constraints(held.match_constraints.as_ref()) != constraints(shipped.match_constraints.as_ref()) {
        faults.push("spec.matchConstraints differs".to_owned());
    }
    if conditions(held) != conditions(shipped) {
        faults.push("spec.matchConditions differs".to_owned());
    }
    let variables = variables(held);
    let changed = self::variables(shipped).into_iter().filter(|(name, value)| variables.get(name) != Some(value));
    faults.extend(changed.map(|(name, _)| format!("the variable {name} of spec.variables is missing or changed")));
    let expressions: BTreeSet<String> =
        held.validations.iter().flatten().map(|rule| normalized(&rule.expression)).collect();
    let lacking =
        shipped.validations.iter().flatten().filter(|rule| !expressions.contains(&normalized(&rule.expression)));
    faults.extend(lacking.map(|rule| {
        let message = rule.message.as_deref().unwrap_or(&rule.expression);
        format!("a rule of spec.validations is missing or changed: `{message}`")
    }));
    faults
}

/// The faults of a policy's binding, each with the field.
pub(super) fn binding_faults(name: &str, held: &ValidatingAdmissionPolicyBindingSpec) -> Vec<String> {
    let denies = held.validation_actions.iter().flatten().any(|action| action == "Deny");
    let names_another = held.policy_name.as_deref() != Some(name);
    [
        (names_another, "spec.policyName is not the name of the policy"),
        (!denies, "spec.validationActions does not contain Deny"),
        (held.match_resources.is_some(), "spec.matchResources restricts the binding"),
        (held.param_ref.is_some(), "spec.paramRef is set"),
    ]
    .into_iter()
    .filter(|(is_fault, _)| *is_fault)
    .map(|(_, fault)| fault.to_owned())
    .collect()
}

/// The service accounts that the expressions of a policy name.
pub(super) fn service_accounts(policy: &ValidatingAdmissionPolicySpec) -> BTreeSet<String> {
    let conditions = policy.match_conditions.iter().flatten().map(|condition| &condition.expression);
    let variables = policy.variables.iter().flatten().map(|variable| &variable.expression);
    let validations = policy.validations.iter().flatten().map(|rule| &rule.expression);
    let named = |expression: &String| -> Vec<String> {
        expression.split(SERVICE_ACCOUNT).skip(1).map(|rest| account(rest).0.to_owned()).collect()
    };
    conditions.chain(variables).chain(validations).flat_map(named).collect()
}

/// The match constraints without what the API server adds by default, and with lists in order.
fn constraints(constraints: Option<&MatchResources>) -> Value {
    let mut value = as_json(&constraints);
    remove(&mut value, "matchPolicy", &Value::from("Equivalent"));
    for selector in ["namespaceSelector", "objectSelector"] {
        remove(&mut value, selector, &serde_json::json!({}));
    }
    for rules in ["resourceRules", "excludeResourceRules"] {
        let Some(Value::Array(rules)) = value.get_mut(rules) else { continue };
        for rule in &mut *rules {
            remove(rule, "scope", &Value::from("*"));
            let lists = rule.as_object_mut().into_iter().flat_map(|rule| rule.values_mut());
            lists.filter_map(Value::as_array_mut).for_each(|list| list.sort_by_key(ToString::to_string));
        }
        rules.sort_by_key(ToString::to_string);
    }
    value
}

fn remove(value: &mut Value, field: &str, default: &Value) {
    if value.get(field) == Some(default)
        && let Some(object) = value.as_object_mut()
    {
        object.remove(field);
    }
}

/// A value that cannot become JSON equals nothing that is shipped.
fn as_json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

fn conditions(policy: &ValidatingAdmissionPolicySpec) -> BTreeSet<String> {
    policy.match_conditions.iter().flatten().map(|condition| normalized(&condition.expression)).collect()
}

fn variables(policy: &ValidatingAdmissionPolicySpec) -> BTreeMap<&str, String> {
    let variables = policy.variables.iter().flatten();
    variables.map(|variable| (variable.name.as_str(), normalized(&variable.expression))).collect()
}

/// An expression with one space for each white space, and without the name of the agents' service account.
fn normalized(expression: &str) -> String {
    let words: Vec<&str> = expression.split_whitespace().collect();
    let words = words.join(" ");
    let mut parts = words.split(SERVICE_ACCOUNT);
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text.push_str(SERVICE_ACCOUNT);
        text.push_str(account(part).1);
    }
    text
}

/// Namespace and name of a service account at the start of a text, and the rest.
fn account(text: &str) -> (&str, &str) {
    let is_part = |character: char| character.is_ascii_alphanumeric() || "-.:".contains(character);
    text.split_at(text.find(|character| !is_part(character)).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::POLICIES;
    use crate::admission::manifest::{MANIFEST, shipped_policy};
    use serde_json::json;

    fn shipped(name: &'static str) -> ValidatingAdmissionPolicySpec {
        shipped_policy(name).unwrap().spec.unwrap()
    }

    fn faults(change: impl FnOnce(&mut Value)) -> String {
        let shipped = shipped("carrick-nodes");
        let mut held = serde_json::to_value(&shipped).unwrap();
        change(&mut held);
        policy_faults(&serde_json::from_value(held).unwrap(), &shipped).join("; ")
    }

    #[test]
    fn the_shipped_policies_have_no_fault() {
        for name in POLICIES {
            assert_eq!(policy_faults(&shipped(name), &shipped(name)), Vec::<String>::new());
            assert_eq!(service_accounts(&shipped(name)), ["carrick-system:carrick".to_owned()].into());
        }
        let named = MANIFEST.lines().filter(|line| !line.trim_start().starts_with('#'));
        assert_eq!(named.filter(|line| line.contains(SERVICE_ACCOUNT)).count(), 3, "each is an expression");
    }

    #[test]
    fn what_the_api_server_adds_and_what_does_not_decide_is_no_fault() {
        let same = faults(|policy| {
            policy["matchConstraints"]["matchPolicy"] = "Equivalent".into();
            policy["matchConstraints"]["namespaceSelector"] = json!({});
            policy["matchConstraints"]["objectSelector"] = json!({});
            policy["matchConstraints"]["resourceRules"][0]["scope"] = "*".into();
            policy["matchConstraints"]["resourceRules"][0]["operations"] = json!(["UPDATE", "CREATE"]);
            policy["failurePolicy"].take();
            policy["validations"][0]["message"] = "Nein.".into();
            policy["validations"].as_array_mut().unwrap().push(json!({"expression": "object.metadata.name != 'x'"}));
            policy["variables"].as_array_mut().unwrap().push(json!({"name": "more", "expression": "1"}));
            let spaced = policy["variables"][2]["expression"].as_str().unwrap().replace(' ', "\n  ");
            policy["variables"][2]["expression"] = spaced.into();
        });
        assert_eq!(same, "");
    }

    #[test]
    fn the_agents_may_have_another_service_account() {
        let text = serde_json::to_string(&shipped("carrick-nodes")).unwrap();
        let other: ValidatingAdmissionPolicySpec =
            serde_json::from_str(&text.replace("carrick-system:carrick", "kube-system:mesh.agent")).unwrap();
        assert_eq!(policy_faults(&other, &shipped("carrick-nodes")), Vec::<String>::new());
        assert_eq!(service_accounts(&other), ["kube-system:mesh.agent".to_owned()].into());
        let half: ValidatingAdmissionPolicySpec =
            serde_json::from_str(&text.replacen("carrick-system:carrick", "other:agent", 1)).unwrap();
        assert_eq!(service_accounts(&half).len(), 2);
    }

    #[test]
    fn a_weakened_policy_is_named_with_its_field() {
        type Change = fn(&mut Value);
        let cases: [(&str, Change); 13] = [
            ("spec.failurePolicy is Ignore", |policy| policy["failurePolicy"] = "Ignore".into()),
            ("spec.paramKind", |policy| policy["paramKind"] = json!({"apiVersion": "v1", "kind": "ConfigMap"})),
            ("spec.matchConstraints", |policy| {
                policy["matchConstraints"]["resourceRules"][0]["operations"] = json!(["CREATE"]);
            }),
            ("spec.matchConstraints", |policy| {
                policy["matchConstraints"]["resourceRules"][0]["resourceNames"] = json!(["x"]);
            }),
            ("spec.matchConstraints", |policy| {
                policy["matchConstraints"]["excludeResourceRules"] =
                    policy["matchConstraints"]["resourceRules"].clone();
            }),
            ("spec.matchConstraints", |policy| {
                policy["matchConstraints"]["objectSelector"] = json!({"matchLabels": {"x": "y"}});
            }),
            ("spec.matchConstraints", |policy| drop(policy["matchConstraints"].take())),
            ("spec.matchConditions", |policy| policy["matchConditions"][0]["expression"] = "false".into()),
            ("spec.matchConditions", |policy| {
                let conditions = policy["matchConditions"].as_array_mut().unwrap();
                conditions.push(json!({"name": "never", "expression": "false"}));
            }),
            ("the variable isAgent of spec.variables", |policy| {
                policy["variables"][2]["expression"] = "false".into();
            }),
            ("the variable agentKeys of spec.variables", |policy| drop(policy["variables"].take())),
            ("spec.validations is missing or changed: `An agent does not create Nodes", |policy| {
                policy["validations"][2]["expression"] = "true".into();
            }),
            ("spec.validations is missing or changed: `The token of this agent", |policy| {
                policy["validations"] = json!([{"expression": "true"}]);
            }),
        ];
        for (expected, change) in cases {
            let found = faults(change);
            assert!(found.contains(expected), "{expected}: {found}");
        }
    }

    #[test]
    fn a_binding_that_refuses_nothing_is_named_with_its_field() {
        let binding = |spec: &Value| binding_faults("p", &serde_json::from_value(spec.clone()).unwrap()).join("; ");
        let good = json!({"policyName": "p", "validationActions": ["Audit", "Deny"]});
        assert_eq!(binding(&good), "");
        for (field, value) in [
            ("policyName", json!("q")),
            ("validationActions", json!(["Warn"])),
            ("matchResources", json!({"namespaceSelector": {}})),
            ("paramRef", json!({"name": "x", "parameterNotFoundAction": "Allow"})),
        ] {
            let mut bad = good.clone();
            bad[field] = value;
            assert!(binding(&bad).contains(&format!("spec.{field} ")), "{bad}");
        }
    }
}
