//! Which cluster answers.

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, PartialObjectMeta};
use thiserror::Error;
use tokio::time::timeout;

use super::event::ClusterUid;
use super::follow::Limits;
use crate::client::ApiClient;

/// Why the cluster cannot be identified.
#[derive(Debug, Error)]
pub(super) enum IdentityError {
    #[error("cannot read the namespace `kube-system`, whose UID identifies the cluster: {0}")]
    Client(#[from] kube::Error),
    #[error("cannot read the namespace `kube-system`, whose UID identifies the cluster: no answer within {} s", .0.as_secs())]
    NoAnswer(std::time::Duration),
    #[error("the namespace `kube-system` has no UID")]
    NoUid,
}

impl IdentityError {
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Self::Client(kube::Error::Api(status)) if matches!(status.code, 401 | 403 | 404))
    }
}

pub(super) async fn cluster_uid(api: &ApiClient, limits: &Limits) -> Result<ClusterUid, IdentityError> {
    let namespaces: Api<PartialObjectMeta<Namespace>> = Api::all(api.client());
    let answer = timeout(limits.answer, namespaces.get("kube-system")).await;
    let namespace = answer.map_err(|_| IdentityError::NoAnswer(limits.answer))??;
    namespace.metadata.uid.map(ClusterUid).ok_or(IdentityError::NoUid)
}
