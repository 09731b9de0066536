//! Whether the admission policies of `deploy/policy.yaml` are in force. Without them, each agent and each kubelet can write the
//! annotations of Carrick that speak for other nodes.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding};
use kube::Api;
use thiserror::Error;
use tokio::time::timeout;

use crate::causes::with_causes;
use crate::client::ApiClient;

/// The names of the policies. Each has a binding of the same name.
pub const POLICIES: [&str; 2] = ["carrick-nodes", "carrick-peers"];

/// The answers must come within this time.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// Why it is unknown whether the policies are in force.
#[derive(Debug, Error)]
pub enum AdmissionError {
    /// The server could not be reached, or failed.
    #[error("{}", with_causes(.0))]
    Client(#[from] kube::Error),
    /// The server did not answer.
    #[error("no answer within {} s", .0.as_secs())]
    NoAnswer(Duration),
}

/// What is wrong with the policies, for people; empty if they are in force.
///
/// # Errors
/// See [`AdmissionError`]. A server that has no policies or does not let the agent read them is no error.
pub async fn policy_faults(api: &ApiClient) -> Result<BTreeSet<String>, AdmissionError> {
    timeout(ANSWER_LIMIT, read_faults(api)).await.map_err(|_| AdmissionError::NoAnswer(ANSWER_LIMIT))?
}

async fn read_faults(api: &ApiClient) -> Result<BTreeSet<String>, AdmissionError> {
    let policies: Api<ValidatingAdmissionPolicy> = Api::all(api.client());
    let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(api.client());
    let mut faults = BTreeSet::new();
    for name in POLICIES {
        let looked = async { Ok((policies.get_opt(name).await?, bindings.get_opt(name).await?)) };
        match looked.await {
            Ok((policy, binding)) => {
                faults.extend(fault_of_policy(name, policy.as_ref()));
                faults.extend(fault_of_binding(name, binding.as_ref()));
            }
            Err(kube::Error::Api(status)) if status.code == 403 => {
                faults.insert(format!("the agent is not permitted to read the admission policy {name}"));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(faults)
}

fn fault_of_policy(name: &str, policy: Option<&ValidatingAdmissionPolicy>) -> Option<String> {
    let Some(policy) = policy else {
        return Some(format!("the ValidatingAdmissionPolicy {name} is not installed"));
    };
    let failure_policy = policy.spec.as_ref().and_then(|spec| spec.failure_policy.as_deref());
    (failure_policy == Some("Ignore"))
        .then(|| format!("the ValidatingAdmissionPolicy {name} has the failurePolicy Ignore instead of Fail"))
}

fn fault_of_binding(name: &str, binding: Option<&ValidatingAdmissionPolicyBinding>) -> Option<String> {
    let Some(binding) = binding else {
        return Some(format!("the ValidatingAdmissionPolicyBinding {name} is not installed"));
    };
    let spec = binding.spec.clone().unwrap_or_default();
    let denies = spec.validation_actions.iter().flatten().any(|action| action == "Deny");
    if spec.policy_name.as_deref() != Some(name) {
        Some(format!("the ValidatingAdmissionPolicyBinding {name} names another policy"))
    } else if !denies {
        Some(format!("the ValidatingAdmissionPolicyBinding {name} does not have the validation action Deny"))
    } else if spec.match_resources.is_some() {
        Some(format!("the ValidatingAdmissionPolicyBinding {name} is restricted by matchResources"))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn policy(spec: &Value) -> Option<String> {
        let policy = serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": spec})).unwrap();
        fault_of_policy("p", Some(&policy))
    }

    fn binding(spec: &Value) -> Option<String> {
        let binding = serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": spec})).unwrap();
        fault_of_binding("p", Some(&binding))
    }

    #[test]
    fn a_policy_and_its_binding_must_refuse_writes() {
        assert_eq!(policy(&json!({"failurePolicy": "Fail"})), None);
        assert_eq!(policy(&json!({})), None, "Fail is the default");
        assert!(policy(&json!({"failurePolicy": "Ignore"})).unwrap().contains("failurePolicy"));
        assert!(fault_of_policy("p", None).unwrap().contains("not installed"));

        let good = json!({"policyName": "p", "validationActions": ["Audit", "Deny"]});
        assert_eq!(binding(&good), None);
        assert!(fault_of_binding("p", None).unwrap().contains("not installed"));
        for (field, value, fault) in [
            ("policyName", json!("q"), "another policy"),
            ("validationActions", json!(["Warn"]), "Deny"),
            ("matchResources", json!({"namespaceSelector": {}}), "restricted"),
        ] {
            let mut bad = good.clone();
            bad[field] = value;
            assert!(binding(&bad).unwrap().contains(fault), "{bad}");
        }
    }
}
