//! Calls of kubelet and containerd to the CNI plugin.

use std::net::SocketAddr;

use carrick_lab::cluster::services::{fetch, is_megabyte};
use carrick_lab::{Lab, wait};
use serde_json::Value;

use crate::{cluster, kubectl};

/// A node with public addresses.
const NODE: &str = "b1";
const HOST_PORT: u16 = 8081;
const POD: &str = "
apiVersion: v1
kind: Pod
metadata:
  name: asking
  namespace: default
  labels: {app: asking}
  annotations:
    kubernetes.io/ingress-bandwidth: 8M
    kubernetes.io/egress-bandwidth: 1M
spec:
  nodeName: b1
  terminationGracePeriodSeconds: 0
  automountServiceAccountToken: false
  containers:
  - name: asking
    image: localhost/box:lab
    imagePullPolicy: Never
    command: [sh, -c, 'mkdir /www && yes carrick | head -c 1000000 >/www/megabyte && exec httpd -f -p [::]:8080 -h /www']
    ports: [{containerPort: 8080, hostPort: 8081}]
    readinessProbe: {httpGet: {path: /megabyte, port: 8080}, periodSeconds: 1}
";

pub fn a_pod_gets_its_host_port_and_its_bandwidth(lab: &Lab) {
    let file = lab.state().path().join("asking.yaml");
    std::fs::write(&file, POD).unwrap();
    kubectl(lab, &["apply", "--filename", &file.to_string_lossy()]);
    if let Err(error) = lab.kubernetes().kubectl(&["wait", "--for=condition=Ready", "--timeout=90s", "pod/asking"]) {
        panic!("{error:#}\n{}", kubectl(lab, &["describe", "pod", "asking"]));
    }
    let node = lab.node(NODE).unwrap();
    let internet = lab.internet().namespaces();
    for address in node.layout().public.list() {
        let (body, _) = fetch(internet, SocketAddr::new(address, HOST_PORT), "/megabyte").unwrap();
        assert!(is_megabyte(&body), "{address}");
    }

    let pod = cluster(lab).pod(lab.kubernetes(), node, "app=asking").unwrap();
    let route = node.exec(&["ip", "-json", "route", "get", &pod.addresses.v4.unwrap().to_string()]).unwrap();
    let route: Value = serde_json::from_str(&route).unwrap();
    let device = route[0]["dev"].as_str().unwrap();
    let towards = node.exec(&["tc", "qdisc", "show", "dev", device]).unwrap();
    assert!(towards.contains("tbf") && towards.contains("rate 8Mbit"), "{towards}");
    let from = pod.namespaces(node).unwrap().exec(&["tc", "qdisc", "show", "dev", "eth0"]).unwrap();
    assert!(from.contains("tbf") && from.contains("rate 1Mbit"), "{from}");

    kubectl(lab, &["delete", "pod", "asking"]);
    wait::until("the host port to be given back", || {
        let address = SocketAddr::new(node.layout().public.v4.unwrap().into(), HOST_PORT);
        Ok(fetch(internet, address, "/megabyte").err())
    })
    .unwrap();
}

/// Without `node.json` the plugin cannot attach pods, and STATUS reports this before a pod starts.
pub fn the_runtime_asks_for_the_plugins_status(lab: &Lab) {
    let node = lab.node(NODE).unwrap();
    // The agent writes a file that is gone again. So the test hides the directory from the plugin alone.
    node.exec(&["mount", "-t", "tmpfs", "none", "/run/carrick"]).unwrap();
    let message = wait::until("the Node to be unready", || {
        let object = lab.kubernetes().node(NODE)?;
        let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let ready = conditions.into_iter().find(|condition| condition["type"] == "Ready");
        let unready = ready.filter(|condition| condition["status"] == "False");
        Ok(unready.and_then(|condition| condition["message"].as_str().map(str::to_owned)))
    });
    node.exec(&["umount", "/run/carrick"]).unwrap();
    let message = message.unwrap();
    assert!(message.contains("has not programmed this node"), "{message}");
    wait::until("the Node to be ready again", || Ok(cluster(lab).unready(lab.kubernetes())?.is_empty().then_some(())))
        .unwrap();
}
