//! The admission policies that this version ships: `deploy/policy.yaml`.

use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicy;
use serde_json::Value;

/// The manifest that `kubectl apply` installs.
pub(super) const MANIFEST: &str = include_str!("../../../../deploy/policy.yaml");

/// The policy of this name in [`MANIFEST`], or why it cannot be read.
pub(super) fn shipped_policy(name: &str) -> Result<ValidatingAdmissionPolicy, String> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(MANIFEST).map_err(|error| error.to_string())?;
    let is_wanted =
        |one: &Value| one["kind"] == "ValidatingAdmissionPolicy" && one["metadata"]["name"].as_str() == Some(name);
    let policy = documents.into_iter().find(is_wanted).ok_or("it is missing")?;
    serde_json::from_value(policy).map_err(|error| error.to_string())
}
