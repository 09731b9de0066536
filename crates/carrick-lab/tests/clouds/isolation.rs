//! The isolation of nodes from each other, and the state that survives a node's crash.

use carrick_lab::Lab;

use crate::lab;

const TWO_NODES: &str = "[{name: a, nodes: [{name: a1}, {name: a2, sysctls: {net.ipv4.conf.all.rp_filter: '1'}}]}]";

#[test]
fn nodes_have_their_own_files_processes_and_names() {
    let lab = lab(TWO_NODES);
    let (a1, a2) = (lab.node("a1").unwrap(), lab.node("a2").unwrap());
    for file in ["/run/x", "/etc/cni/x", "/opt/cni/x", "/var/lib/carrick/x"] {
        a1.exec(&["touch", file]).unwrap();
        a2.exec(&["test", "!", "-e", file]).unwrap();
        assert!(!std::path::Path::new(file).exists(), "{file} is on the machine");
    }
    assert_eq!(a1.exec(&["uname", "-n"]).unwrap().trim(), "a1");
    assert_eq!(a2.exec(&["uname", "-n"]).unwrap().trim(), "a2");
    assert_eq!(a1.exec(&["cat", "/proc/1/comm"]).unwrap().trim(), "carrick-lab");
    assert_eq!(a1.exec(&["ls", "/sys/class/net"]).unwrap(), "eth0\nlo\n");
    assert_eq!(a2.exec(&["sysctl", "-n", "net.ipv4.conf.all.rp_filter"]).unwrap(), "1\n");
    // The machine's own files are there all the same.
    a1.exec(&["test", "-e", "/etc/passwd"]).unwrap();
}

#[test]
fn a_crash_ends_everything_but_the_disk() {
    let mut lab = lab(TWO_NODES);
    let a1 = lab.node("a1").unwrap();
    a1.exec(&["touch", "/var/lib/carrick/state", "/run/pid"]).unwrap();
    let pid = a1.exec(&["sh", "-c", "sleep 1000 >/dev/null 2>&1 & readlink /proc/self/ns/pid"]).unwrap();
    lab.crash("a1").unwrap();
    assert_eq!(processes_in(pid.trim()), Vec::<String>::new());
    lab.node("a1").unwrap().exec(&["true"]).unwrap_err();

    lab.boot("a1").unwrap();
    let a1 = lab.node("a1").unwrap();
    a1.exec(&["test", "-e", "/var/lib/carrick/state"]).unwrap();
    a1.exec(&["test", "!", "-e", "/run/pid"]).unwrap();
    a1.exec(&["ping", "-c1", "-W5", "10.10.0.12"]).unwrap();
    a1.exec(&["ping", "-c1", "-W5", "203.0.113.10"]).unwrap();
}

/// Otherwise the node's neighbours would send to an Ethernet address that no longer exists, for up to a minute.
#[test]
fn a_reboot_changes_no_hardware_address() {
    let mut lab = lab(TWO_NODES);
    let addresses = |lab: &Lab| {
        let node = lab.node("a2").unwrap();
        let bridge = &node.layout().lan.bridge;
        let router = lab.site("a").unwrap().router().exec(&["ip", "-json", "link", "show", bridge]).unwrap();
        let links: serde_json::Value = serde_json::from_str(&router).unwrap();
        let router = links[0]["address"].as_str().unwrap().to_owned();
        (router, node.exec(&["cat", "/sys/class/net/eth0/address"]).unwrap())
    };
    let before = addresses(&lab);
    assert_ne!(before.0, before.1.trim());
    for _ in 0..5 {
        lab.crash("a2").unwrap();
        lab.boot("a2").unwrap();
        assert_eq!(addresses(&lab), before);
    }
}

/// The processes of this machine that are in a process namespace.
pub fn processes_in(namespace: &str) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let inside = processes.filter(|process| {
        std::fs::read_link(process.path().join("ns/pid")).is_ok_and(|link| link.to_string_lossy() == namespace)
    });
    inside.map(|process| process.file_name().to_string_lossy().into_owned()).collect()
}
