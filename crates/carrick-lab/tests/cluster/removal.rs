//! The removal of Carrick, as docs/operations.md describes it.

use carrick_lab::cluster::CARRICK;
use carrick_lab::node::Node;
use carrick_lab::{Lab, wait};

use crate::{cluster, kubectl};

pub fn a_removal_leaves_nothing(lab: &Lab) {
    let before: Vec<_> = lab.nodes().map(traces).collect();
    assert!(before.iter().all(|traces| traces.contains("carrick0") && traces.contains("carrick-vx")), "{before:#?}");
    end_pods(lab);
    cluster(lab).delete_carrick(lab.kubernetes()).unwrap();
    for node in lab.nodes() {
        clean_up(lab, node);
        assert_eq!(traces(node), "", "{}", node.name());
    }
}

/// Deletes the pods first: only the plugin that attached a pod can detach it.
pub fn end_pods(lab: &Lab) {
    kubectl(lab, &["delete", "daemonset", "--all", "--namespace=default"]);
    kubectl(lab, &["delete", "deployment", "--all", "--namespace=kube-system"]);
    wait::until("the last pods to be gone", || {
        let devices = lab.nodes().map(|node| node.exec(&["sh", "-c", "ls /sys/class/net | grep ^crk; true"]));
        let devices: String = devices.collect::<anyhow::Result<_>>()?;
        Ok(devices.is_empty().then_some(()))
    })
    .unwrap();
}

/// Runs the image's own `carrick cleanup` without Kubernetes.
fn clean_up(lab: &Lab, node: &Node) {
    let run = ["--namespace", "k8s.io", "run", "--rm", "--net-host", "--cap-add", "CAP_NET_ADMIN"];
    let directories = ["/run", "/var/lib/carrick", "/etc/cni/net.d", "/opt/cni/bin"];
    let mounts = directories.map(|path| format!("type=bind,src={path},dst={path},options=rbind:rw"));
    let mounts: Vec<_> = mounts.iter().flat_map(|mount| ["--mount", mount]).collect();
    let program = [CARRICK, "cleanup", "/bin/carrick", "cleanup", "--files", "--state"];
    cluster(lab).exec(node, "ctr", &[&run[..], &mounts, &program].concat()).unwrap();
}

/// Carrick's objects on a node.
fn traces(node: &Node) -> String {
    let look =
        "{ ip -br link; ip rule; ip -6 rule; ip route show table all; ip -6 route show table all; nft list tables; } |
        grep -E 'carrick|crk|lookup 1107|proto 10[78]'; ls -d /run/carrick /var/lib/carrick/* /opt/cni/bin/carrick* \
        /etc/cni/net.d/*carrick* /run/wireguard/carrick* 2>/dev/null; true";
    node.exec(&["sh", "-c", look]).unwrap()
}
