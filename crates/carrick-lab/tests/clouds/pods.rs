//! Pods that a CNI plugin attaches. The plugin belongs to the test.

use std::os::unix::fs::PermissionsExt;

use carrick_lab::Lab;
use carrick_lab::address::Family;
use serde_json::{Value, json};

use crate::{lab, reaches};

/// A veth pair per pod; the last byte of its addresses is the number of earlier calls.
const PLUGIN: &str = r#"#!/bin/sh
set -e
cat > /run/plugin/input-$CNI_COMMAND-$CNI_CONTAINERID
env | grep '^CNI_\|^K8S' | sort > /run/plugin/environment-$CNI_COMMAND
case $CNI_COMMAND in
ADD)
    echo x >> /run/plugin/calls
    n=$(($(wc -l < /run/plugin/calls) + 1))
    ip link add v$n type veth peer name $CNI_IFNAME netns ${CNI_NETNS##*/}
    ip link set dev v$n up
    ip route add 10.42.1.$n dev v$n
    ip -n ${CNI_NETNS##*/} addr add 10.42.1.$n/32 dev $CNI_IFNAME
    ip -n ${CNI_NETNS##*/} addr add fd42::$n/128 dev $CNI_IFNAME nodad
    ip -n ${CNI_NETNS##*/} link set dev $CNI_IFNAME up
    ip -n ${CNI_NETNS##*/} route add default dev $CNI_IFNAME
    echo "{\"cniVersion\": \"1.0.0\", \"ips\": [{\"address\": \"10.42.1.$n/32\"}, {\"address\": \"fd42::$n/128\"}]}"
    ;;
DEL) ip -n ${CNI_NETNS##*/} link delete dev $CNI_IFNAME ;;
esac
"#;

const FAILING_PLUGIN: &str = r#"#!/bin/sh
[ $CNI_COMMAND = ADD ] || exit 0
echo '{"cniVersion": "1.0.0", "code": 100, "msg": "no address left"}'
exit 1
"#;

fn install(lab: &Lab, plugins: &[(&str, &str)]) {
    let node = lab.node("a1").unwrap();
    node.exec(&["mkdir", "-p", "/opt/cni/bin", "/etc/cni/net.d", "/run/plugin"]).unwrap();
    for (name, script) in plugins {
        let path = node.path(&format!("/opt/cni/bin/{name}")).unwrap();
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    }
    let plugins: Vec<_> = plugins.iter().map(|(name, _)| json!({ "type": name })).collect();
    let list = json!({ "cniVersion": "1.0.0", "name": "standin", "plugins": plugins });
    std::fs::write(node.path("/etc/cni/net.d/10-standin.conflist").unwrap(), list.to_string()).unwrap();
}

fn read(lab: &Lab, file: &str) -> String {
    std::fs::read_to_string(lab.node("a1").unwrap().path(&format!("/run/plugin/{file}")).unwrap()).unwrap()
}

#[test]
fn a_pod_is_wired_and_removed_by_its_nodes_plugins() {
    let mut lab = lab("[{name: a, nodes: [{name: a1}]}]");
    install(&lab, &[("standin", PLUGIN)]);
    let name = lab.add_pod("a1").unwrap().name().to_owned();
    let pod = lab.pod(&name).unwrap();
    assert_eq!(name, "a1-pod1");
    assert_eq!(pod.addresses().v4, "10.42.1.2".parse().ok());
    assert_eq!(pod.addresses().v6, "fd42::2".parse().ok());
    assert!(reaches(&lab.node("a1").unwrap().namespaces().unwrap(), "10.42.1.2".parse().unwrap()));
    let links = pod.exec(&["ip", "-brief", "link"]).unwrap();
    let links: Vec<_> = links.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(links.len(), 2, "{links:?}");
    assert_eq!(links[0], "lo");
    assert!(links[1].starts_with("eth0@"), "{links:?}");

    let environment = read(&lab, "environment-ADD");
    for line in [
        "CNI_COMMAND=ADD",
        "CNI_CONTAINERID=a1-pod1-sandbox",
        "CNI_IFNAME=eth0",
        "CNI_NETNS=/run/netns/cni-a1-pod1",
        "CNI_PATH=/opt/cni/bin",
        "CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=a1-pod1;K8S_POD_INFRA_CONTAINER_ID=a1-pod1-sandbox",
    ] {
        assert!(environment.lines().any(|found| found == line), "{line} is not in:\n{environment}");
    }

    lab.remove_pod(&name).unwrap();
    let removal: Value = serde_json::from_str(&read(&lab, "input-DEL-a1-pod1-sandbox")).unwrap();
    assert_eq!(removal["name"], "standin");
    assert_eq!(removal["prevResult"]["ips"][0]["address"], "10.42.1.2/32");
    assert_eq!(lab.node("a1").unwrap().exec(&["ip", "netns"]).unwrap(), "");
}

#[test]
fn a_failing_plugin_undoes_the_earlier_ones() {
    let mut lab = lab("[{name: a, nodes: [{name: a1}]}]");
    install(&lab, &[("standin", PLUGIN), ("failing", FAILING_PLUGIN)]);
    let error = format!("{:#}", lab.add_pod("a1").unwrap_err());
    assert!(error.contains("no address left"), "{error}");
    assert!(read(&lab, "environment-DEL").contains("CNI_COMMAND=DEL"));
    assert_eq!(lab.node("a1").unwrap().exec(&["ip", "netns"]).unwrap(), "");
}

/// Fails twice with code 11 (try again later), then calls the plugin.
const BUSY_PLUGIN: &str = r#"#!/bin/sh
[ $CNI_COMMAND = ADD ] || exec /opt/cni/bin/standin
echo x >> /run/plugin/busy
[ $(wc -l < /run/plugin/busy) -gt 2 ] && exec /opt/cni/bin/standin
echo '{"cniVersion": "1.0.0", "code": 11, "msg": "not yet"}'
exit 1
"#;

#[test]
fn a_plugin_that_answers_try_again_later_is_called_again() {
    let mut lab = lab("[{name: a, nodes: [{name: a1}]}]");
    install(&lab, &[("standin", PLUGIN)]);
    install(&lab, &[("busy", BUSY_PLUGIN)]);
    lab.add_pod("a1").unwrap();
    assert_eq!(read(&lab, "busy").lines().count(), 3);
}

#[test]
fn the_real_plugin_attaches_pods() {
    let mut lab = lab("[{name: a, nodes: [{name: a1}]}]");
    install(&lab, &[("carrick-cni", "")]);
    let node = lab.node("a1").unwrap();
    let program = carrick_lab::binaries::find("carrick-cni").unwrap();
    node.exec(&["cp", program.to_str().unwrap(), "/opt/cni/bin/carrick-cni"]).unwrap();
    node.exec(&["mkdir", "/run/carrick"]).unwrap();
    // These are the agent's.
    node.exec(&["sysctl", "-q", "-w", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"]).unwrap();
    let data = json!({ "podCidrs": node.layout().pod_cidrs, "mtu": 1370 });
    std::fs::write(node.path("/run/carrick/node.json").unwrap(), data.to_string()).unwrap();

    lab.add_pod("a1").unwrap();
    lab.add_pod("a1").unwrap();
    let (first, second) = (lab.pod("a1-pod1").unwrap(), lab.pod("a1-pod2").unwrap());
    assert_eq!(first.addresses().list().len(), 2);
    for family in [Family::V4, Family::V6] {
        assert!(reaches(first.namespaces(), second.addresses().of(family).unwrap()));
        let node = lab.node("a1").unwrap();
        assert!(reaches(&node.namespaces().unwrap(), first.addresses().of(family).unwrap()));
    }
    second.check(lab.node("a1").unwrap()).unwrap();
    lab.remove_pod("a1-pod1").unwrap();
    lab.remove_pod("a1-pod2").unwrap();
    assert_eq!(lab.node("a1").unwrap().exec(&["ip", "route", "show", "proto", "108"]).unwrap(), "");
}

#[test]
fn pods_end_with_their_node() {
    let mut lab = lab("[{name: a, nodes: [{name: a1}]}]");
    install(&lab, &[("standin", PLUGIN)]);
    lab.add_pod("a1").unwrap();
    lab.crash("a1").unwrap();
    lab.pod("a1-pod1").unwrap_err();
    lab.boot("a1").unwrap();
    install(&lab, &[("standin", PLUGIN)]);
    let pod = lab.add_pod("a1").unwrap();
    assert_eq!(pod.name(), "a1-pod1");
}
