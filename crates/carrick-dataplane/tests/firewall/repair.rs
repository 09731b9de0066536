//! What differs is put right, and nothing else is written.

use carrick_dataplane::firewall::{TableChange, table_name};
use carrick_netlink::nftables::Nftables;

use crate::namespace::{at, socket_seen, source_seen};
use crate::network::{INTERNET, NODE, Network, POD, address, nets, plan};

#[test]
fn an_unchanged_plan_writes_nothing() {
    let mut network = Network::new();
    assert_eq!(network.apply(&plan()).table, TableChange::Replaced);
    let written = network.firewall.writes();
    assert!(written > 0);
    for _ in 0..3 {
        assert!(!network.apply(&plan()).is_change());
    }
    network.node.nft("add table ip unrelated");
    assert!(!network.apply(&plan()).is_change());
    assert_eq!(network.firewall.writes(), written);

    let mut after_restart = network.node.run(|| carrick_dataplane::firewall::Firewall::open().unwrap());
    assert!(!after_restart.apply(&plan()).unwrap().is_change());
    assert_eq!(after_restart.writes(), 0);
}

#[test]
fn a_flushed_ruleset_is_put_back() {
    let mut network = Network::guarded();
    network.node.nft("flush ruleset");
    let stranger = network.outside.socket(INTERNET.0);
    assert_eq!(source_seen(&network.pod.socket(POD.0), &stranger), address(POD.0), "it is gone");
    assert_eq!(network.apply(&plan()).table, TableChange::Replaced);
    assert_eq!(source_seen(&network.pod.socket_at(POD.0, 7001), &stranger), address(NODE.0), "it is back");
}

#[test]
fn flows_survive_a_replacement() {
    let mut network = Network::guarded();
    let (pod, internet) = (network.pod.socket(POD.0), network.outside.socket(INTERNET.0));
    let translated = socket_seen(&pod, &internet);
    assert_eq!(translated.ip(), address(NODE.0));
    network.node.nft("insert rule inet carrick leak-guard accept");
    assert_eq!(network.apply(&plan()).table, TableChange::Replaced);
    assert_eq!(socket_seen(&pod, &internet), translated);
    internet.send_to(b"reply", translated).unwrap();
    let (_, from) = pod.recv_from(&mut [0; 16]).unwrap();
    assert_eq!(from, at(INTERNET.0), "the answer still finds the pod");
}

#[test]
fn tampering_is_put_right() {
    let mut network = Network::guarded();
    for (tampering, change) in [
        ("flush chain inet carrick leak-guard", TableChange::Replaced),
        ("insert rule inet carrick leak-guard accept", TableChange::Replaced),
        ("flush set inet carrick carried4", TableChange::Elements),
        ("add element inet carrick direct6 { fd02::/64 }", TableChange::Elements),
        ("delete table inet carrick", TableChange::Replaced),
        ("add chain inet carrick leak-guard { policy drop ; }", TableChange::Replaced),
    ] {
        network.node.nft(tampering);
        assert_eq!(network.apply(&plan()).table, change, "{tampering}");
        assert!(!network.apply(&plan()).is_change(), "{tampering}");
    }
}

#[test]
fn another_node_changes_elements_and_keeps_the_table() {
    let mut network = Network::guarded();
    let handle = || network.node.command("nft", &["-a", "list", "tables"], "");
    let table = handle();
    let more = nets(&["10.9.0.0/24", "fd99::/64"]);
    let mut wider = plan();
    wider.carried.extend(&more);
    wider.carried_by.get_mut("carrick0").unwrap().extend(&more);
    let mut firewall = network.node.run(|| carrick_dataplane::firewall::Firewall::open().unwrap());
    firewall.apply(&plan()).unwrap();
    assert_eq!(firewall.apply(&wider).unwrap().table, TableChange::Elements);
    assert_eq!(firewall.writes(), 4, "one message for each set that changed");
    assert_eq!(handle(), table);
    assert_eq!(network.apply(&plan()).table, TableChange::Elements);
}

#[test]
fn cleanup_removes_the_table_and_spares_others() {
    let mut network = Network::guarded();
    network.node.nft("add table ip unrelated");
    assert!(network.firewall.cleanup().unwrap().is_change());
    assert_eq!(network.node.nft("list tables"), "table ip unrelated\n");
    let written = network.firewall.writes();
    assert!(!network.firewall.cleanup().unwrap().is_change());
    assert_eq!(network.firewall.writes(), written);
    let mut nftables = network.node.run(|| Nftables::open().unwrap());
    assert_eq!(nftables.table(&table_name()).unwrap(), None);
}

#[test]
fn every_word_of_the_table_is_readable() {
    let network = Network::guarded();
    let printed = network.node.nft("list table inet carrick");
    for line in [
        "type filter hook postrouting priority srcnat - 1; policy accept;",
        "oifname \"lo\" accept",
        "meta l4proto udp meta mark & 0x00001000 == 0x00001000 accept comment \"WireGuard's own packets\"",
        "ip daddr @own_pods4 oifname != \"crk*\" counter packets 0 bytes 0 drop comment \"own pods by another device\"",
        "oifname \"carrick0\" ip daddr @carried_by_carrick0_4 accept",
        "ip6 daddr @carried6 counter packets 0 bytes 0 drop comment \"mesh destination in clear\"",
        "oifname @mesh_devices tcp flags syn / syn,rst tcp option maxseg size set rt mtu comment \"into the mesh\"",
        "udp dport 51822 ip saddr != @vxlan_sources4 counter packets 0 bytes 0 drop",
        "udp dport 51823 iifname != \"carrick0\" counter packets 0 bytes 0 drop",
        "udp dport 51823 ip6 saddr != @handover_senders6 counter packets 0 bytes 0 drop",
        "type filter hook prerouting priority raw; policy accept;",
        "iifname \"carrick-ho\" ip saddr != @handover_sources4 counter packets 0 bytes 0 drop",
        "iifname @tunnel_devices ip daddr @location_addresses4 oifname != @mesh_devices masquerade fully-random",
        "iif 0 oifname @mesh_devices ip saddr != @mesh_addresses4 ip saddr != @own_pods4 snat ip to 10.4.0.1",
    ] {
        assert!(printed.contains(line), "no {line:?} in\n{printed}");
    }
}
