//! The Helm chart: install, upgrade, roll back, uninstall.

use std::path::Path;
use std::process::{Command, Output};

use carrick_lab::cluster::Rollout;
use carrick_lab::kubernetes::{PUBLIC_API, SERVICE_CIDRS};
use carrick_lab::node::Node;
use carrick_lab::paths::project_file;
use carrick_lab::{Lab, wait};
use serde_json::{Map, Value, json};

use crate::lasting::{BETWEEN_LOCATIONS, loses_nothing};
use crate::removal::end_pods;
use crate::{cluster, kubectl};

const PEER: &str = r#"{"apiVersion": "carrick.dev/v1alpha1", "kind": "Peer", "metadata": {"name": "laptop"},
 "spec": {"publicKey": "ERERERERERERERERERERERERERERERERERERERERERE=", "allowedIPs": ["192.168.77.0/24"]}}"#;

/// Helm with an administrator's kubeconfig, beside the API server.
struct Helm<'l> {
    lab: &'l Lab,
    program: String,
    folder: tempfile::TempDir,
}

impl<'l> Helm<'l> {
    fn new(lab: &'l Lab) -> Self {
        let output = Command::new(project_file("scripts/check-chart.sh")).args(["--tool", "helm"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let program = String::from_utf8(output.stdout).unwrap().trim().to_owned();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("kubeconfig"), lab.kubernetes().admin_kubeconfig().unwrap()).unwrap();
        std::fs::write(folder.path().join("values.json"), values(lab).to_string()).unwrap();
        Self { lab, program, folder }
    }

    fn output(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(&self.program);
        command.args(arguments).args(["--namespace", "kube-system", "--timeout", "5m", "--kubeconfig"]);
        command.arg(self.folder.path().join("kubeconfig")).current_dir(self.folder.path());
        for variable in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
            command.env(variable, self.folder.path());
        }
        self.lab.kubernetes().namespaces().output(&mut command).unwrap()
    }

    fn run(&self, arguments: &[&str]) {
        let output = self.output(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        eprintln!(
            "helm {}: {}",
            arguments[0],
            String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default()
        );
    }

    /// `helm install` or `helm upgrade`, and the end of the rollout.
    fn apply(&self, command: &str, values: &[&str]) {
        let chart = project_file("deploy/chart");
        let set: Vec<_> = values.iter().flat_map(|value| ["--set", value]).collect();
        self.run(&[&[command, "carrick", &chart.to_string_lossy(), "--values", "values.json"], &set[..]].concat());
        self.rolled_out();
    }

    fn rolled_out(&self) {
        kubectl(self.lab, &["rollout", "status", "daemonset/carrick", "--namespace=carrick-system"]);
    }

    fn uninstall(&self) {
        end_pods(self.lab);
        self.run(&["uninstall", "carrick"]);
    }
}

/// What kubeadm publishes in a cluster, and the chart reads: the API server's address and the Service CIDRs.
fn publish_as_kubeadm(lab: &Lab, folder: &Path) {
    let kubeconfig = json!({"apiVersion": "v1", "kind": "Config", "clusters": [{"name": "", "cluster": {"server": format!("https://{PUBLIC_API}")}}]});
    let configuration = json!({"kind": "ClusterConfiguration", "networking": {"serviceSubnet": SERVICE_CIDRS}});
    for (namespace, name, key, value) in [
        ("kube-public", "cluster-info", "kubeconfig", kubeconfig),
        ("kube-system", "kubeadm-config", "ClusterConfiguration", configuration),
    ] {
        let file = folder.join(name);
        std::fs::write(&file, value.to_string()).unwrap();
        let from = format!("--from-file={key}={}", file.display());
        kubectl(lab, &["create", "configmap", name, "--namespace", namespace, &from]);
    }
}

/// The values with which the lab's cluster runs: its images, and the settings of its agents. The chart finds the API server itself.
fn values(lab: &Lab) -> Value {
    let rollout = Rollout::of(lab.topology());
    let settings: Map<_, _> = rollout
        .settings
        .iter()
        .map(|setting| setting.split_once('=').unwrap())
        .filter(|(name, _)| *name != "CARRICK_API_SERVER")
        .map(|(name, value)| (name.to_owned(), json!(value)))
        .collect();
    let (repository, tag) = rollout.image.split_once(':').unwrap();
    json!({
        "image": {"repository": repository, "tag": tag},
        "settings": {"environment": settings},
    })
}

/// Installs the chart, which finds the API server and the Service CIDRs itself.
fn install(lab: &Lab, helm: &Helm<'_>, values: &[&str]) {
    helm.apply("install", values);
    wait::until("every Node to be ready", || Ok(cluster(lab).unready(lab.kubernetes())?.is_empty().then_some(())))
        .unwrap();
}

pub fn a_release_is_installed_and_leaves_clean_nodes(lab: &Lab) {
    let helm = Helm::new(lab);
    let output = helm.output(&["install", "carrick", &project_file("deploy/chart").to_string_lossy()]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("Set apiServer to the URL"), "{output:?}");
    publish_as_kubeadm(lab, helm.folder.path());
    install(lab, &helm, &[]);
    let cidrs = kubectl(lab, &["get", "mesh", "default", "--output=jsonpath={.spec.serviceCIDRs}"]);
    assert_eq!(cidrs, json!(SERVICE_CIDRS.split(',').collect::<Vec<_>>()).to_string());
    let file = helm.folder.path().join("peer.json");
    std::fs::write(&file, PEER).unwrap();
    kubectl(lab, &["apply", "--filename", &file.to_string_lossy()]);
    // What is removed from the values is removed from the Mesh.
    let interval =
        || kubectl(lab, &["get", "mesh", "default", "--output=jsonpath={.spec.failoverIntervalMilliseconds}"]);
    helm.apply("upgrade", &["mesh.spec.failoverIntervalMilliseconds=300"]);
    assert_eq!(interval(), "300");
    helm.apply("upgrade", &[]);
    assert_eq!(interval(), "");

    helm.uninstall();
    for node in lab.nodes() {
        let key = "private-key\n";
        assert_eq!(left(node), key, "{}: nothing but the key, which makes the node the same again", node.name());
    }
    assert_eq!(kubectl(lab, &["get", "peers", "--output=name"]), "peer.carrick.dev/laptop\n");
    assert_eq!(kubectl(lab, &["get", "daemonsets,jobs", "--all-namespaces", "--output=name"]), "");

    // What was kept does not stand in the way of the next installation.
    install(lab, &helm, &["keepOnUninstall=false"]);
    helm.uninstall();
    for node in lab.nodes() {
        assert_eq!(left(node), "", "{}", node.name());
    }
    wait::until("the CRDs to be gone", || {
        Ok(lab.kubernetes().kubectl(&["get", "crd", "--output=name"])?.is_empty().then_some(()))
    })
    .unwrap();
}

pub fn an_upgrade_of_a_release_loses_nothing(lab: &Lab) {
    let helm = Helm::new(lab);
    install(lab, &helm, &[]);
    cluster(lab).run_workload(lab.kubernetes(), lab.topology()).unwrap();
    loses_nothing(lab, "helm upgrade", BETWEEN_LOCATIONS, || helm.apply("upgrade", &["image.tag=next"]));
    loses_nothing(lab, "helm rollback", BETWEEN_LOCATIONS, || {
        helm.run(&["rollback", "carrick", "1"]);
        helm.rolled_out();
    });
}

/// What is left of Carrick on a node: objects of the kernel, files, and the key.
fn left(node: &Node) -> String {
    let look =
        "{ ip -br link; ip rule; ip -6 rule; ip route show table all; ip -6 route show table all; nft list tables; } |
        grep -E 'carrick|crk|lookup 1107|proto 10[78]'; find /run/carrick /run/wireguard -type f,s 2>/dev/null; \
        ls -d /opt/cni/bin/* /etc/cni/net.d/*carrick* 2>/dev/null | grep -E 'carrick|loopback'; \
        ls /var/lib/carrick 2>/dev/null | grep -x private-key; true";
    node.exec(&["sh", "-c", look]).unwrap()
}
