//! Pods that do nothing.

use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::images;
use super::pods::addresses_of;
use crate::kubernetes::Kubernetes;

/// A Deployment of idle pods, spread evenly over all nodes. The API removes a pod when its kubelet reports the end, a second after the
/// deletion.
#[derive(Debug)]
pub struct IdlePods<'k> {
    kubernetes: &'k Kubernetes,
    name: &'static str,
}

impl<'k> IdlePods<'k> {
    /// Creates the Deployment without pods.
    ///
    /// # Errors
    /// kubectl fails.
    pub fn create(kubernetes: &'k Kubernetes, directory: &Path, name: &'static str) -> Result<Self> {
        let file = directory.join(format!("{name}.yaml"));
        std::fs::write(&file, manifest(name)).context("write a Deployment")?;
        kubernetes.kubectl(&["apply", "--server-side", "--filename", &file.to_string_lossy()])?;
        Ok(Self { kubernetes, name })
    }

    /// Sets the number of pods.
    ///
    /// # Errors
    /// kubectl fails.
    pub fn scale(&self, pods: usize) -> Result<()> {
        self.kubernetes.kubectl(&["scale", &self.resource(), &format!("--replicas={pods}")]).map(drop)
    }

    /// Waits until all pods are ready.
    ///
    /// # Errors
    /// kubectl fails.
    pub fn await_ready(&self) -> Result<()> {
        self.kubernetes.kubectl(&["rollout", "status", &self.resource(), "--timeout=15m"]).map(drop)
    }

    /// Waits until the API has no pod of the Deployment.
    ///
    /// # Errors
    /// kubectl fails.
    pub fn await_gone(&self) -> Result<()> {
        self.kubernetes.kubectl(&["wait", "--for=delete", "pod", &self.selector(), "--timeout=15m"]).map(drop)
    }

    /// The addresses of all pods.
    ///
    /// # Errors
    /// kubectl fails.
    pub fn addresses(&self) -> Result<Vec<IpAddr>> {
        let pods: Value =
            serde_json::from_str(&self.kubernetes.kubectl(&["get", "pods", &self.selector(), "--output=json"])?)?;
        Ok(pods["items"].as_array().into_iter().flatten().flat_map(addresses_of).collect())
    }

    /// Deletes the Deployment.
    ///
    /// # Errors
    /// kubectl fails.
    pub fn delete(self) -> Result<()> {
        self.kubernetes.kubectl(&["delete", &self.resource()]).map(drop)
    }

    fn resource(&self) -> String {
        format!("deployment/{}", self.name)
    }

    fn selector(&self) -> String {
        format!("--selector=app={}", self.name)
    }
}

fn manifest(name: &str) -> String {
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: default}}
spec:
  replicas: 0
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      terminationGracePeriodSeconds: 1
      automountServiceAccountToken: false
      topologySpreadConstraints:
      - {{maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway, labelSelector: {{matchLabels: {{app: {name}}}}}}}
      containers:
      - {{name: sleep, image: '{image}', imagePullPolicy: Never, command: [sleep, '1000000']}}
",
        image = images::BOX
    )
}
