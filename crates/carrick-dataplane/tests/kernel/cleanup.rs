//! Cleaning up leaves a machine as it was.

use carrick_dataplane::HandoverDataplane;
use carrick_dataplane::cleanup::cleanup;
use carrick_netlink::{Protocol, Socket};
use carrick_topology::model::DeviceName;
use carrick_topology::plan::NodePlan;

use crate::node::{on_node, run};
use crate::plans;

fn seen() -> Vec<String> {
    let commands = [
        "ip link show",
        "ip route show table all",
        "ip -6 route show table all",
        "ip rule show",
        "ip -6 rule show",
        "bridge fdb show",
        "ip neighbour show",
    ];
    commands.map(run).into()
}

#[test]
fn all_of_carricks_goes_and_nothing_else() {
    on_node(|node| {
        let devices: [DeviceName; 3] = ["carrick0", "carrick-vx", "carrick-ho"].map(|device| device.parse().unwrap());
        run("ip link delete carrick0");
        // What stays, and what the kernel adds in its own time.
        run("sysctl -q -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
        run("ip address flush dev eth0 scope link");
        run("ip address flush dev eth0-far scope link");
        run("ip route add 198.51.100.0/24 dev eth0 proto 107");
        run("ip rule add from 192.0.2.1 lookup 1107 priority 1106");
        run("ip rule add from 192.0.2.1 lookup 1106 priority 1106");
        let before = seen();
        // The tables are Carrick's.
        run("ip route add 192.0.2.0/24 dev eth0 table 1107 proto static");
        run("ip route add 192.0.2.0/24 dev eth0 table 1106 proto static");

        run("ip tuntap add carrick0 mode tun");
        node.reach(&plans::mesh(20, 3));
        HandoverDataplane::open()
            .unwrap()
            .apply(&NodePlan { handover: Some(plans::handover()), ..plans::alone() })
            .unwrap();
        assert_ne!(seen(), before);
        let memory = node.folder.path().join("endpoints");
        assert!(memory.exists());

        let mut socket = Socket::open(Protocol::Route).unwrap();
        let cleaned = cleanup(&mut socket, devices.each_ref(), node.folder.path());
        assert!(cleaned.failures.is_empty(), "{:?}", cleaned.failures);
        assert_eq!(cleaned.removed.iter().filter(|object| object.starts_with("device")).count(), 3);
        assert_eq!(seen(), before);
        assert!(!memory.exists());

        let again = cleanup(&mut socket, devices.each_ref(), node.folder.path());
        assert!(again.failures.is_empty() && again.removed.is_empty(), "{again:?}");
    });
}

#[test]
fn one_failure_does_not_stop_the_rest() {
    on_node(|node| {
        node.reach(&plans::mesh(20, 3));
        let memory = node.folder.path().join("endpoints");
        std::fs::remove_file(&memory).unwrap();
        std::fs::create_dir(&memory).unwrap();
        let mut socket = Socket::open(Protocol::Route).unwrap();
        // The loopback device cannot be removed.
        let devices: [DeviceName; 3] = ["lo", "carrick-vx", "carrick-ho"].map(|device| device.parse().unwrap());
        let cleaned = cleanup(&mut socket, devices.each_ref(), node.folder.path());
        assert_eq!(cleaned.failures.len(), 2, "{:?}", cleaned.failures);
        assert!(cleaned.failures[0].to_string().starts_with("delete link lo"), "{:?}", cleaned.failures);
        assert!(cleaned.removed.contains(&"device carrick-vx".to_owned()));
        assert_eq!(run("ip rule show priority 1107"), "");
        assert!(!run("ip route show table all").contains("1107"));
    });
}
