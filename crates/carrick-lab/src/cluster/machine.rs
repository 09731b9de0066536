//! The programs of a Kubernetes node: containerd, kubelet and kube-proxy.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use super::images::Images;
use crate::kubernetes::POD_CIDRS;
use crate::log_tail::log_tail;
use crate::node::Node;
use crate::paths::lab_file;
use crate::process::Process;
use crate::topology::LOCATION_LABEL;
use crate::wait;

/// The kubelet works without systemd and without swap control, and with control groups of either version, which all nodes share.
const KUBELET: &str = "\
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
authentication:
  anonymous:
    enabled: true
  webhook:
    enabled: false
authorization:
  mode: AlwaysAllow
makeIPTablesUtilChains: false
clusterDNS: [10.96.0.10]
clusterDomain: cluster.local
nodeStatusUpdateFrequency: 4s
failCgroupV1: false
cgroupDriver: cgroupfs
cgroupsPerQOS: false
enforceNodeAllocatable: []
failSwapOn: false
localStorageCapacityIsolation: false
oomScoreAdj: 0
evictionHard: {}
imageGCHighThresholdPercent: 100
";

const CONTAINERD: &str = r#"
version = 3
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "localhost/pause:lab"
[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["/opt/cni/bin"]
    use_internal_loopback = true
    conf_dir = "/etc/cni/net.d"
"#;

/// The running programs of one node.
#[derive(Debug)]
pub struct Machine {
    node: String,
    programs: Vec<(&'static str, Process, PathBuf)>,
}

impl Machine {
    /// Starts the programs. The kubelet registers the node at the API server.
    ///
    /// # Errors
    /// The node is off, an image cannot be imported, or a program ends at once.
    pub fn start(node: &Node, programs: &Path, images: &Images, kube_proxy: &str) -> Result<Self> {
        prepare(node)?;
        node.give_file("kubelet.yaml", KUBELET)?;
        node.give_file("containerd.toml", CONTAINERD)?;
        node.give_file("kube-proxy.conf", kube_proxy)?;
        let mut machine = Self { node: node.name().to_owned(), programs: Vec::new() };
        machine.run(node, programs, "containerd", &["--config".to_owned(), lab_file("containerd.toml")])?;
        let ctr = programs.join("ctr");
        let ctr = ctr.to_string_lossy();
        wait::until(&format!("containerd on {}", node.name()), || {
            machine.check()?;
            Ok(node.exec(&[&ctr, "version"]).ok().map(drop))
        })?;
        for image in images.archives() {
            node.exec(&[&ctr, "--namespace", "k8s.io", "images", "import", &image.to_string_lossy()])?;
        }
        machine.run(node, programs, "kube-proxy", &kube_proxy_arguments(node))?;
        machine.run(node, programs, "kubelet", &kubelet_arguments(node))?;
        Ok(machine)
    }

    /// Checks that the programs run.
    ///
    /// # Errors
    /// A program has ended; the error shows the end of its log.
    pub fn check(&self) -> Result<()> {
        for (program, process, log) in &self.programs {
            if let Some(status) = process.status() {
                bail!("{}: {program} ended ({status}); its log ends with:\n{}", self.node, log_tail(log));
            }
        }
        Ok(())
    }

    fn run(&mut self, node: &Node, programs: &Path, program: &'static str, arguments: &[String]) -> Result<()> {
        let path = std::env::var("PATH").unwrap_or_default();
        let log = node.path(&lab_file(&format!("{program}.log")))?;
        let mut command = Command::new(programs.join(program));
        command.args(arguments).env("PATH", format!("{}:{path}:/usr/sbin:/sbin", programs.display()));
        let process = Process::start_with_log(&node.namespaces()?, &mut command, &log)?;
        self.programs.push((program, process, log));
        Ok(())
    }
}

/// Makes the mounts that a container runtime expects: shared mounts, and a private /var/log for containers' logs.
fn prepare(node: &Node) -> Result<()> {
    node.exec(&["mount", "-t", "tmpfs", "tmpfs", "/var/log"])?;
    node.exec(&["mount", "--make-rshared", "/"])?;
    Ok(())
}

fn kube_proxy_arguments(node: &Node) -> Vec<String> {
    vec![
        "--proxy-mode=nftables".to_owned(),
        format!("--kubeconfig={}", lab_file("kube-proxy.conf")),
        format!("--hostname-override={}", node.name()),
        format!("--cluster-cidr={}", POD_CIDRS),
        "--conntrack-max-per-core=0".to_owned(),
        // In nftables mode the default is the Node's own addresses, which are internal in the lab.
        "--nodeport-addresses=0.0.0.0/0,::/0".to_owned(),
    ]
}

fn kubelet_arguments(node: &Node) -> Vec<String> {
    let layout = node.layout();
    let addresses: Vec<_> = layout.internal.list().iter().map(ToString::to_string).collect();
    let own = node.spec().labels.iter().map(|(key, value)| format!("{key}={value}"));
    let labels: Vec<_> = own.chain([format!("{LOCATION_LABEL}={}", layout.location)]).collect();
    vec![
        format!("--config={}", lab_file("kubelet.yaml")),
        format!("--kubeconfig={}", lab_file("kubeconfig")),
        format!("--hostname-override={}", node.name()),
        format!("--node-ip={}", addresses.join(",")),
        format!("--node-labels={}", labels.join(",")),
    ]
}
