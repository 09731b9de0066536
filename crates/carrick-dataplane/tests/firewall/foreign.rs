//! Forward chains of others that drop by policy.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Child, Command, Stdio};

use carrick_dataplane::firewall::{Applied, Certainty, ForeignCount, TableChange};

use crate::namespace::{Namespace, is_silent, source_seen};
use crate::network::{INTERNET, NODE, Network, POD, REMOTE_POD, address, in_both, plan};

const IPTABLES: [&str; 2] = ["iptables-nft", "ip6tables-nft"];

/// Docker's and ufw's way, both versions.
fn drop_by_iptables(node: &Namespace) {
    for iptables in IPTABLES {
        node.command(iptables, &["-P", "FORWARD", "DROP"], "");
        node.command(iptables, &["-N", "DOCKER-USER"], "");
        node.command(iptables, &["-A", "FORWARD", "-j", "DOCKER-USER"], "");
    }
}

/// firewalld's way.
fn reject_at_the_end(node: &Namespace) {
    node.command(
        "nft",
        &["-f", "-"],
        "table inet firewalld {
            chain filter_FORWARD {
                type filter hook forward priority filter + 10; policy accept;
                ct state established,related accept
                ct state invalid drop
                reject with icmpx admin-prohibited
            }
        }",
    );
}

fn inserted(chain: &str, count: usize) -> BTreeMap<String, ForeignCount> {
    [(chain.to_owned(), ForeignCount { inserted: count, deleted: 0 })].into()
}

fn assert_pods_reach_each_other(network: &Network) {
    for (pod, remote) in in_both(POD, REMOTE_POD) {
        let (pod_socket, remote_socket) = (network.pod.socket(pod), network.remote.socket(remote));
        assert_eq!(source_seen(&pod_socket, &remote_socket), address(pod));
        assert_eq!(source_seen(&remote_socket, &pod_socket), address(remote));
    }
}

fn assert_pods_are_cut_off(network: &Network) {
    for (pod, remote) in in_both(POD, REMOTE_POD) {
        let (pod_socket, remote_socket) = (network.pod.socket(pod), network.remote.socket(remote));
        pod_socket.send_to(b"x", remote_socket.local_addr().unwrap()).unwrap();
        assert!(is_silent(&remote_socket), "the foreign chain drops");
    }
}

#[test]
fn a_policy_of_iptables_does_not_cut_the_mesh_off() {
    let mut network = Network::guarded();
    drop_by_iptables(&network.node);
    assert_pods_are_cut_off(&network);

    let Applied { foreign, .. } = network.apply(&plan());
    let expected: BTreeMap<_, _> =
        ["ip filter FORWARD", "ip6 filter FORWARD"].map(|chain| inserted(chain, 8)).into_iter().flatten().collect();
    assert_eq!(foreign, expected);
    assert_pods_reach_each_other(&network);
    let internet = network.outside.socket(INTERNET.0);
    let pod = network.pod.socket(POD.0);
    assert_eq!(source_seen(&pod, &internet), address(NODE.0));
}

#[test]
fn iptables_shows_the_rules_and_keeps_working() {
    let mut network = Network::new();
    drop_by_iptables(&network.node);
    network.apply(&plan());
    for iptables in IPTABLES {
        let shown = network.node.command(iptables, &["-S", "FORWARD"], "");
        assert_eq!(
            shown,
            "-P FORWARD DROP\n\
             -A FORWARD -i carrick0 -m comment --comment carrick -j ACCEPT\n\
             -A FORWARD -o carrick0 -m comment --comment carrick -j ACCEPT\n\
             -A FORWARD -i carrick-vx -m comment --comment carrick -j ACCEPT\n\
             -A FORWARD -o carrick-vx -m comment --comment carrick -j ACCEPT\n\
             -A FORWARD -i carrick-ho -m comment --comment carrick -j ACCEPT\n\
             -A FORWARD -o carrick-ho -m comment --comment carrick -j ACCEPT\n\
             -A FORWARD -i crk+ -m comment --comment carrick -j ACCEPT\n\
             -A FORWARD -o crk+ -m comment --comment carrick -j ACCEPT\n\
             -A FORWARD -j DOCKER-USER\n"
        );
        let saved = network.node.command(&format!("{iptables}-save"), &[], "");
        network.node.command(&format!("{iptables}-restore"), &[], &saved);
        network.node.command(
            iptables,
            &["-I", "FORWARD", "-s", POD.both()[usize::from(iptables == IPTABLES[1])], "-j", "DOCKER-USER"],
            "",
        );
    }
    assert_pods_reach_each_other(&network);
}

#[test]
fn rules_that_iptables_saved_and_restored_are_still_ours() {
    let mut network = Network::new();
    drop_by_iptables(&network.node);
    network.apply(&plan());
    for iptables in IPTABLES {
        let saved = network.node.command(&format!("{iptables}-save"), &[], "");
        network.node.command(&format!("{iptables}-restore"), &[], &saved);
    }
    network.apply(&plan());
    let shown = network.node.command(IPTABLES[0], &["-S", "FORWARD"], "");
    assert_eq!(shown.matches("--comment carrick").count(), 8, "{shown}");
    network.firewall.cleanup().unwrap();
    let shown = network.node.command(IPTABLES[0], &["-S", "FORWARD"], "");
    assert_eq!(shown, "-P FORWARD DROP\n-A FORWARD -j DOCKER-USER\n");
}

#[test]
fn a_reject_at_the_end_counts_as_policy() {
    let mut network = Network::guarded();
    reject_at_the_end(&network.node);
    assert_pods_are_cut_off(&network);
    assert_eq!(network.apply(&plan()).foreign, inserted("inet firewalld filter_FORWARD", 8));
    assert_pods_reach_each_other(&network);
}

#[test]
fn one_insertion_is_enough_and_a_flush_is_repaired() {
    let mut network = Network::new();
    drop_by_iptables(&network.node);
    network.apply(&plan());
    let written = network.firewall.writes();
    for _ in 0..3 {
        assert!(!network.apply(&plan()).is_change());
    }
    assert_eq!(network.firewall.writes(), written);

    network.node.command(IPTABLES[0], &["-F", "FORWARD"], "");
    assert_eq!(network.apply(&plan()).foreign, inserted("ip filter FORWARD", 8));
    assert_pods_reach_each_other(&network);
}

#[test]
fn the_rules_go_when_they_are_no_longer_needed() {
    let mut network = Network::new();
    drop_by_iptables(&network.node);
    network.apply(&plan());
    network.node.command(IPTABLES[0], &["-P", "FORWARD", "ACCEPT"], "");
    let gone = ForeignCount { inserted: 0, deleted: 8 };
    assert_eq!(network.apply(&plan()).foreign, [("ip filter FORWARD".to_owned(), gone)].into());

    network.firewall.cleanup().unwrap();
    for iptables in IPTABLES {
        let shown = network.node.command(iptables, &["-S", "FORWARD"], "");
        assert!(!shown.contains("carrick"), "{shown}");
        assert!(shown.contains("-A FORWARD -j DOCKER-USER"), "{shown}");
    }
}

#[test]
fn chains_that_let_pass_are_left_alone() {
    let mut network = Network::new();
    network.node.command(IPTABLES[0], &["-A", "FORWARD", "-p", "tcp", "-j", "DROP"], "");
    let before = network.node.nft("list table ip filter");
    assert!(network.apply(&plan()).foreign.is_empty());
    assert_eq!(network.node.nft("list table ip filter"), before);
}

/// An `nft` that has locked a table of its own, as firewalld does.
struct Owner(Child);

impl Owner {
    fn new(node: &Namespace) -> Self {
        Self::of_chain(node, "policy drop;", &[])
    }

    /// Locks a table `locked` whose chain `f` has this policy and these rules.
    fn of_chain(node: &Namespace, policy: &str, rules: &[&str]) -> Self {
        let mut child =
            node.run(|| Command::new("nft").arg("-i").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap());
        let mut commands = format!(
            "add table ip locked {{ flags owner; }}\nadd chain ip locked refuse\nadd rule ip locked refuse drop\n\
             add chain ip locked f {{ type filter hook forward priority 0; {policy} }}\n"
        );
        commands.extend(rules.iter().map(|rule| format!("add rule ip locked f {rule}\n")));
        commands += "add chain ip locked complete\n";
        child.stdin.as_mut().unwrap().write_all(commands.as_bytes()).unwrap();
        while !node.nft("list chains").contains("chain complete {") {
            std::thread::yield_now();
        }
        Self(child)
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

#[test]
fn a_locked_table_is_told_and_stops_nothing_else() {
    let mut network = Network::new();
    drop_by_iptables(&network.node);
    let owner = Owner::new(&network.node);
    let applied = network.firewall.apply(&plan()).unwrap();
    assert_eq!(applied.table, TableChange::Replaced);
    assert_eq!(applied.foreign.len(), 2, "the chains of iptables");
    let [refused] = applied.refused.as_slice() else { panic!("{:?}", applied.refused) };
    assert!(refused.is_not_permitted() && refused.to_string().contains("ip locked f"), "{refused}");
    let locked = network.firewall.locked_chains();
    assert_eq!(locked["ip locked f"].certainty, Certainty::Certain, "a policy that drops, and no rule: {locked:?}");

    assert!(!network.apply(&plan()).is_change());
    let written = network.firewall.writes();
    network.node.nft("add table ip unrelated");
    assert!(!network.apply(&plan()).is_change());
    assert_eq!(network.firewall.writes(), written, "it is not tried again and again");

    drop(owner);
    network.apply(&plan());
    assert_pods_reach_each_other(&network);
}

#[test]
fn a_locked_chain_that_drops_pods_packets_is_told_however_it_drops() {
    let established = "ct state { established, related } accept";
    for (what, policy, rules, drops) in [
        ("firewalld's last rule", "policy accept;", &[established, "reject with icmp admin-prohibited"][..], true),
        ("a policy", "policy drop;", &[established], true),
        (
            "a jump to a chain that drops",
            "policy accept;",
            &["ip saddr 10.0.0.0/8 tcp dport 25 accept", "jump refuse"],
            true,
        ),
        (
            "Carrick's devices and those of pods are accepted",
            "policy drop;",
            &[
                "iifname \"crk*\" accept",
                "oifname \"crk*\" accept",
                "iifname \"carrick*\" accept",
                "oifname \"carrick*\" accept",
            ],
            false,
        ),
    ] {
        let mut network = Network::guarded();
        let owner = Owner::of_chain(&network.node, policy, rules);
        let (pod, remote) = (network.pod.socket(POD.0), network.remote.socket(REMOTE_POD.0));
        pod.send_to(b"x", remote.local_addr().unwrap()).unwrap();
        assert_eq!(is_silent(&remote), drops, "{what}");
        let refused = network.firewall.apply(&plan()).unwrap().refused;
        let [refused] = refused.as_slice() else { panic!("{what}: {refused:?}") };
        assert!(refused.is_not_permitted() && refused.to_string().contains("ip locked f"), "{what}: {refused}");
        let expected = if drops { Certainty::Certain } else { Certainty::Undecided };
        assert_eq!(network.firewall.locked_chains()["ip locked f"].certainty, expected, "{what}");
        drop(owner);
    }
}

/// Rulesets whose forward chain drops what no rule accepts, in ways that differ, and the number of rules that are put in.
const DROPPING: [(&str, &str, usize); 6] = [
    ("a last rule that logs and drops", include_str!("fixtures/logdrop.nft"), 8),
    ("a last rule that rejects", include_str!("fixtures/lastdrop.nft"), 8),
    ("a jump to a chain that goes to one that drops, IPv4 alone", include_str!("fixtures/jump.nft"), 8),
    ("a verdict map by the state of the connection", include_str!("fixtures/verdict-map.nft"), 8),
    ("all devices but some", include_str!("fixtures/negated-devices.nft"), 8),
    ("pods' addresses among the sources", include_str!("fixtures/private-sources.nft"), 16),
];

#[test]
fn a_chain_that_drops_pods_packets_gets_accept_rules_however_it_drops() {
    for (what, ruleset, rules) in DROPPING {
        let mut network = Network::guarded();
        network.node.command("nft", &["-f", "-"], ruleset);
        let (pod, remote) = (network.pod.socket(POD.0), network.remote.socket(REMOTE_POD.0));
        pod.send_to(b"x", remote.local_addr().unwrap()).unwrap();
        assert!(is_silent(&remote), "{what}: the ruleset does not drop");
        drop((pod, remote));
        assert_eq!(network.firewall.inspect(&plan()).unwrap().dropping.len(), rules / 8, "{what}");

        let Applied { foreign, refused, .. } = network.apply(&plan());
        assert!(refused.is_empty(), "{what}: {refused:?}");
        assert_eq!(foreign.values().map(|count| count.inserted).sum::<usize>(), rules, "{what}: {foreign:?}");
        assert_pods_reach_each_other(&network);
        assert!(network.firewall.inspect(&plan()).unwrap().dropping.is_empty(), "{what}");
        assert!(!network.apply(&plan()).is_change(), "{what}");
    }
}

#[test]
fn a_chain_that_lets_pods_packets_pass_is_left_alone() {
    for ruleset in [
        "table inet a { chain f { type filter hook forward priority 0; policy accept; iifname eth0 drop; } ; }",
        "table inet a { chain f { type filter hook forward priority 0; policy accept; tcp dport 25 reject; ct state invalid drop; } ; }",
        "table inet a { chain g { drop; } ; chain f { type filter hook forward priority 0; policy accept; iifname { eth0, eth1 } jump g; } ; }",
        "table ip a { chain f { type filter hook forward priority 0; policy accept; ip saddr 192.168.0.0/16 drop; limit rate 5/second log; } ; }",
        "table inet a { chain f { type filter hook forward priority 0; policy accept; ct state vmap { invalid : drop, new : accept, established : accept, untracked : accept }; reject; } ; }",
    ] {
        let mut network = Network::guarded();
        network.node.command("nft", &["-f", "-"], ruleset);
        assert_eq!(network.apply(&plan()).foreign, BTreeMap::new(), "{ruleset}");
        assert_pods_reach_each_other(&network);
    }
}

#[test]
fn the_chain_and_the_rule_that_drop_are_named() {
    let mut network = Network::guarded();
    for (ruleset, named) in [
        (include_str!("fixtures/logdrop.nft"), "inet filter forward (by rule 2 of the chain forward)"),
        (include_str!("fixtures/jump.nft"), "ip filter FORWARD (by rule 2 of the chain refuse)"),
        ("table ip x { chain f { type filter hook forward priority 0; policy drop; } ; }", "ip x f (by its policy)"),
    ] {
        network.node.command("nft", &["-f", "-"], ruleset);
        let dropping = network.firewall.inspect(&plan()).unwrap().dropping;
        assert_eq!(dropping.into_iter().collect::<Vec<_>>(), [named]);
        for table in ["inet filter", "ip filter", "ip x"] {
            network.node.command("nft", &["-f", "-"], &format!("add table {table}\ndelete table {table}"));
        }
    }
}
