//! Whether the admission policies of `deploy/policy.yaml` are in force. Without them, each agent and each kubelet can write the
//! annotations of Carrick that speak for other nodes.

mod compare;
mod manifest;

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::{join, join_all};
use k8s_openapi::api::admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding};
use kube::Api;
use serde::de::DeserializeOwned;
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
    /// The manifest that the program contains is damaged.
    #[error("the policy {0} in the manifest of this version cannot be read: {1}")]
    Manifest(&'static str, String),
}

/// What is wrong with the policies and bindings, for people: which object, and which field. Empty if they decide as `deploy/policy.yaml`
/// of this version does. The policies may name another service account of the agents, which must be the same everywhere.
///
/// # Errors
/// See [`AdmissionError`]. A server that has no policies or does not let the agent read them is no error.
pub async fn policy_faults(api: &ApiClient) -> Result<BTreeSet<String>, AdmissionError> {
    timeout(ANSWER_LIMIT, read_faults(api)).await.map_err(|_| AdmissionError::NoAnswer(ANSWER_LIMIT))?
}

async fn read_faults(api: &ApiClient) -> Result<BTreeSet<String>, AdmissionError> {
    let policies: Api<ValidatingAdmissionPolicy> = Api::all(api.client());
    let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(api.client());
    let read = POLICIES.map(|name| join(read(&policies, name), read(&bindings, name)));
    let (mut faults, mut accounts) = (BTreeSet::new(), BTreeSet::new());
    for (name, (policy, binding)) in POLICIES.into_iter().zip(join_all(read).await) {
        let (policy, binding) = (policy?, binding?);
        if let Held::Object(policy) = &policy {
            accounts.extend(compare::service_accounts(&policy.spec.clone().unwrap_or_default()));
        }
        faults.extend(faults_of_policy(name, policy)?);
        faults.extend(faults_of_binding(name, binding));
    }
    if accounts.len() > 1 {
        let accounts: Vec<_> = accounts.into_iter().collect();
        faults.insert(format!(
            "the ValidatingAdmissionPolicies {} name several service accounts of the agents: {}",
            POLICIES.join(" and "),
            accounts.join(", ")
        ));
    }
    Ok(faults)
}

/// What the API holds under a name.
enum Held<K> {
    Object(K),
    Missing,
    /// The agent may not read it.
    Forbidden,
}

async fn read<K>(api: &Api<K>, name: &str) -> Result<Held<K>, kube::Error>
where
    K: Clone + DeserializeOwned + std::fmt::Debug,
{
    match api.get_opt(name).await {
        Ok(object) => Ok(object.map_or(Held::Missing, Held::Object)),
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(Held::Forbidden),
        Err(error) => Err(error),
    }
}

fn faults_of_policy(
    name: &'static str,
    policy: Held<ValidatingAdmissionPolicy>,
) -> Result<Vec<String>, AdmissionError> {
    let kind = "ValidatingAdmissionPolicy";
    let policy = match policy {
        Held::Missing => return Ok(vec![missing(kind, name)]),
        Held::Forbidden => return Ok(vec![forbidden(kind, name)]),
        Held::Object(policy) => policy.spec.unwrap_or_default(),
    };
    let shipped = manifest::shipped_policy(name).map_err(|reason| AdmissionError::Manifest(name, reason))?;
    let shipped = shipped.spec.unwrap_or_default();
    let faults = compare::policy_faults(&policy, &shipped);
    let more = match faults.len() {
        0 | 1 => String::new(),
        number => format!(", and {} more differences", number - 1),
    };
    let first = faults.into_iter().next();
    Ok(first
        .map(|first| format!("the {kind} {name} is not the one of this version: {first}{more}"))
        .into_iter()
        .collect())
}

fn faults_of_binding(name: &str, binding: Held<ValidatingAdmissionPolicyBinding>) -> Vec<String> {
    let kind = "ValidatingAdmissionPolicyBinding";
    match binding {
        Held::Missing => vec![missing(kind, name)],
        Held::Forbidden => vec![forbidden(kind, name)],
        Held::Object(binding) => {
            let faults = compare::binding_faults(name, &binding.spec.unwrap_or_default()).into_iter();
            faults.map(|fault| format!("the {kind} {name} does not put the policy in force: {fault}")).collect()
        }
    }
}

fn missing(kind: &str, name: &str) -> String {
    format!("the {kind} {name} is not installed")
}

fn forbidden(kind: &str, name: &str) -> String {
    format!("the agent is not permitted to read the {kind} {name}")
}
