//! A pod cannot send packets with another source address.

use std::process::Command;

use crate::call::{Call, detach_all};
use crate::node::{DUAL_STACK, Pod, on_node, succeed};

#[test]
fn packets_with_a_forged_source_address_are_dropped() {
    on_node(&DUAL_STACK, |node| {
        // Some distributions set this value. It overrides a strict filter of a single device.
        std::fs::write("/proc/sys/net/ipv4/conf/all/rp_filter", "2").unwrap();
        let (spoofer, victim) = (Pod::new(), Pod::new());
        Call::new("ADD", node, &spoofer, "spoofer").run().result();
        Call::new("ADD", node, &victim, "victim").run().result();
        for (family, own, others, host) in [
            ("-4", "10.42.0.2", ["10.42.0.3/32", "198.51.100.1/32"], "192.0.2.1"),
            ("-6", "fd42::2", ["fd42::3/128", "2001:db8:5::1/128"], "2001:db8::1"),
        ] {
            for other in others {
                spoofer.succeed("ip", &[family, "address", "add", other, "dev", "eth0", "nodad"]);
                let before = dropped();
                let other = other.split('/').next().unwrap();
                spoofer.run("ping", &["-c1", "-W1", "-I", other, host]);
                assert!(dropped() > before, "packets from {other} passed");
            }
            spoofer.succeed("ping", &["-c1", "-I", own, host]);
            victim.succeed("ping", &["-c1", host]);
        }
        detach_all(node, &[(&spoofer, "spoofer"), (&victim, "victim")]);
    });
}

/// The number of packets that the plugin's chain has dropped: packets from pod devices before the chain minus those after it.
fn dropped() -> i64 {
    let counted = |priority: &str| {
        let table = "count-".to_owned() + if priority == "-301" { "before" } else { "after" };
        let script = format!(
            "add table inet {table}; add chain inet {table} c {{ type filter hook prerouting priority {priority}; }}"
        );
        if !succeed(Command::new("nft").args(["list", "tables"])).contains(&table) {
            succeed(Command::new("nft").arg(&script));
            let rule = ["add", "rule", "inet", &table, "c", "iifname", "crk*", "meta", "l4proto", "{icmp, icmpv6}"];
            succeed(Command::new("nft").args(rule).arg("counter"));
        }
        let printed = succeed(Command::new("nft").args(["list", "table", "inet", &table]));
        let number = printed.split("packets ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
        number.parse::<i64>().unwrap()
    };
    let before = counted("-301");
    before - counted("-299")
}
