//! The workload of the cluster: CoreDNS, and in each location a Service with a web server on every node.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::images;
use crate::kubernetes::Kubernetes;
use crate::topology::Topology;

/// The label selector of the workload's pods.
pub const SELECTOR: &str = "app.kubernetes.io/part-of=lab";
/// The size of `/megabyte` on every web server, in bytes.
pub const MEGABYTE: usize = 1_000_000;
/// The line that `/megabyte` repeats.
pub const LINE: &[u8] = b"carrick\n";
/// The port of the web servers.
pub const PORT: u16 = 8080;

const COREDNS: &str = include_str!("manifests/coredns.yaml");
const ECHO: &str = include_str!("manifests/echo.yaml");

/// The name of a location's DaemonSet and Service.
#[must_use]
pub fn service_name(location: &str) -> String {
    format!("echo-{location}")
}

/// Applies the workload and waits until it is ready.
pub(super) fn run(kubernetes: &Kubernetes, topology: &Topology, directory: &Path) -> Result<()> {
    let mut manifests = COREDNS.to_owned();
    let locations = topology.locations.iter().filter(|location| !location.nodes.is_empty());
    for location in locations.clone() {
        let echo = ECHO.replace("LOCATION", &location.name).replace("IMAGE", images::BOX);
        write!(manifests, "---\n{echo}").context("write a manifest")?;
    }
    let file = directory.join("workload.yaml");
    std::fs::write(&file, manifests).context("write the workload's manifests")?;
    kubernetes.kubectl(&["apply", "--server-side", "--filename", &file.to_string_lossy()])?;
    kubernetes.kubectl(&["rollout", "status", "deployment/coredns", "--namespace=kube-system"])?;
    for location in locations {
        let daemon_set = format!("daemonset/{}", service_name(&location.name));
        kubernetes.kubectl(&["rollout", "status", &daemon_set])?;
    }
    tracing::info!(event = "workload_ready");
    Ok(())
}
