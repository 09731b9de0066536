//! `carrick await-daemonset`: waits until a DaemonSet has done its work on each node. `helm uninstall` waits with it for the clean nodes.

use std::time::Duration;

use carrick_kube::client::{ApiClient, ClientError, ClientOptions};
use carrick_kube::daemonset::progress;
use carrick_kube::with_causes;

use crate::cli::AwaitDaemonsetOptions;
use crate::exit::Exit;

/// The time between two requests.
const INTERVAL: Duration = Duration::from_secs(1);

/// Why the command fails.
#[derive(Debug, thiserror::Error)]
pub enum AwaitError {
    /// There is no client of the API server.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Pods were not ready in time, or the API server did not answer.
    #[error("{state} after {seconds} s")]
    Late {
        /// What was seen last.
        state: String,
        /// The given time.
        seconds: u64,
    },
}

impl AwaitError {
    /// The exit status of the process.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Client(_) => Exit::Configuration,
            Self::Late { .. } => Exit::Failure,
        }
    }
}

/// Waits until the DaemonSet has a ready pod on each node.
///
/// # Errors
/// See [`AwaitError`].
pub async fn wait(options: &AwaitDaemonsetOptions) -> Result<(), AwaitError> {
    let client_options = ClientOptions { kubeconfig: None, api_server: options.api_server.clone() };
    let client = ApiClient::new(&client_options).await?;
    let client = client.client();
    let mut last = String::new();
    let ready = async {
        loop {
            let state = match progress(&client, &options.namespace, &options.name).await {
                Ok(progress) if progress.is_done() => return,
                Ok(progress) => progress.to_string(),
                Err(error) => with_causes(&error),
            };
            if state != last {
                tracing::info!(event = "daemonset_awaited", name = options.name, state);
                last = state;
            }
            tokio::time::sleep(INTERVAL).await;
        }
    };
    let timed = tokio::time::timeout(Duration::from_secs(options.timeout), ready).await;
    timed.map_err(|_| AwaitError::Late { state: last, seconds: options.timeout })
}
