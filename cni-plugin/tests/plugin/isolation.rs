//! No pod speaks in another's name.

use std::process::Command;

use crate::call::Call;
use crate::node::{DUAL_STACK, Pod, on_node, succeed};

#[test]
fn packets_with_anothers_source_address_are_dropped() {
    on_node(&DUAL_STACK, |node| {
        // As some distributions set it: with it, the reverse path filter of a single device counts no more.
        std::fs::write("/proc/sys/net/ipv4/conf/all/rp_filter", "2").unwrap();
        let (liar, victim) = (Pod::new(), Pod::new());
        Call::new("ADD", node, &liar, "liar").run().result();
        Call::new("ADD", node, &victim, "victim").run().result();
        for (family, own, others, host) in [
            ("-4", "10.42.0.2", ["10.42.0.3/32", "198.51.100.1/32"], "192.0.2.1"),
            ("-6", "fd42::2", ["fd42::3/128", "2001:db8:5::1/128"], "2001:db8::1"),
        ] {
            for other in others {
                liar.succeed("ip", &[family, "address", "add", other, "dev", "eth0", "nodad"]);
                // Where the answers would go if the lie were believed.
                let before = dropped();
                let other = other.split('/').next().unwrap();
                liar.run("ping", &["-c1", "-W1", "-I", other, host]);
                assert!(dropped() > before, "{other} got through");
            }
            liar.succeed("ping", &["-c1", "-I", own, host]);
            victim.succeed("ping", &["-c1", host]);
        }
        for (pod, container_id) in [(&liar, "liar"), (&victim, "victim")] {
            Call::new("DEL", node, pod, container_id).run().silent();
        }
        node.assert_nothing_left();
    });
}

/// Counts behind the plugin's own chain what it dropped: all that came up pods' devices less what went on.
fn dropped() -> i64 {
    let counted = |priority: &str| {
        let table = "count-".to_owned() + if priority == "-301" { "before" } else { "behind" };
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
