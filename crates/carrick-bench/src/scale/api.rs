//! The API requests of kubelets and of other agents.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result};
use http::Request;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};
use tokio::runtime::{Handle, Runtime};
use tokio::task::JoinHandle;

const NODES: &str = "/api/v1/nodes";

/// A client, and the threads that run its requests.
pub(super) struct Api {
    runtime: Runtime,
    requests: Arc<Requests>,
}

/// The requests.
pub(super) struct Requests {
    client: Client,
}

impl Api {
    /// Makes a client in the calling thread's network namespace.
    pub(super) fn connect(kubeconfig: &str) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let client = runtime.block_on(async {
            let kubeconfig = Kubeconfig::from_yaml(kubeconfig)?;
            let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
            anyhow::Ok(Client::try_from(config)?)
        });
        Ok(Self { runtime, requests: Arc::new(Requests { client: client.context("make a client")? }) })
    }

    /// Runs requests and waits for their end.
    pub(super) fn run<T, F: Future<Output = T>>(&self, work: impl FnOnce(Arc<Requests>) -> F) -> T {
        self.runtime.block_on(work(self.requests.clone()))
    }

    /// Starts a write.
    pub(super) fn begin<F>(&self, write: impl FnOnce(Arc<Requests>) -> F) -> JoinHandle<Result<Instant>>
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        let write = write(self.requests.clone());
        self.runtime.spawn(async move {
            write.await?;
            Ok(Instant::now())
        })
    }

    /// Waits for a write, and returns the time at which the API server answered it.
    pub(super) fn end(&self, write: JoinHandle<Result<Instant>>) -> Result<Instant> {
        self.runtime.block_on(write).context("a write panicked")?
    }

    /// What requests in the background need.
    pub(super) fn background(&self) -> (Handle, Arc<Requests>) {
        (self.runtime.handle().clone(), self.requests.clone())
    }
}

impl Requests {
    /// Creates a Node, as a kubelet does.
    pub(super) async fn create_node(&self, node: &Value) -> Result<()> {
        let request = Request::post(format!("{NODES}?fieldManager=kubelet")).header("content-type", "application/json");
        self.send(request.body(node.to_string().into_bytes())?).await.context("create a Node")
    }

    /// Writes a Node's status, as a kubelet does.
    pub(super) async fn write_status(&self, node: &str, status: &Value) -> Result<()> {
        let body = json!({ "status": status }).to_string();
        let request = Request::patch(format!("{NODES}/{node}/status?fieldManager=kubelet"))
            .header("content-type", "application/merge-patch+json");
        self.send(request.body(body.into_bytes())?).await.with_context(|| format!("write the status of {node}"))
    }

    /// Applies the annotations that a node's agent owns, as the agent does.
    pub(super) async fn publish(&self, node: &str, annotations: &Value) -> Result<()> {
        let body = json!({
            "apiVersion": "v1", "kind": "Node", "metadata": { "name": node, "annotations": annotations },
        });
        let request = Request::patch(format!("{NODES}/{node}?fieldManager=carrick&force=true"))
            .header("content-type", "application/apply-patch+yaml");
        self.send(request.body(body.to_string().into_bytes())?).await.with_context(|| format!("annotate {node}"))
    }

    /// A `carrick.dev/` annotation of a Node.
    pub(super) async fn annotation(&self, node: &str, key: &str) -> Result<Option<String>> {
        let request = Request::get(format!("{NODES}/{node}")).body(Vec::new())?;
        let object: Value = self.client.request(request).await.with_context(|| format!("get Node {node}"))?;
        Ok(object["metadata"]["annotations"][format!("carrick.dev/{key}")].as_str().map(str::to_owned))
    }

    async fn send(&self, request: Request<Vec<u8>>) -> Result<()> {
        self.client.request_text(request).await.map(drop).map_err(Into::into)
    }
}
