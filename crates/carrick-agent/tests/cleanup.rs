//! `carrick cleanup` in a namespace that holds Carrick's things and others'.
#![expect(clippy::expect_used, clippy::print_stderr, clippy::unwrap_used, reason = "all of this is tests")]

#[path = "userspace_wireguard/namespace.rs"]
#[expect(dead_code, reason = "shared with the tests of the data path, which use all of it")]
mod namespace;

use namespace::{CARRICK, Namespace};

/// What stands in the namespace, without counters and interface numbers.
fn describe(namespace: &Namespace) -> String {
    namespace.run(
        "ip -br link show | cut -d' ' -f1 | sort; ip rule show; ip -6 rule show; \
         ip route show table all; ip -6 route show table all proto static; nft list ruleset",
    )
}

#[test]
fn it_removes_what_is_carrick_s_and_nothing_else() {
    let namespace = Namespace::new();
    namespace.run(
        "ip link add foreign0 type bridge && ip link set foreign0 up && \
         ip route add 198.51.100.0/24 dev foreign0 proto static && ip route add 203.0.113.0/24 dev foreign0 table 1104 proto static && \
         ip rule add priority 1106 table 1106 && nft add table inet foreign && nft add table inet carrick-cni",
    );
    let before = describe(&namespace);
    let _path = namespace.start("carrick0");
    namespace.run(
        "ip link set carrick0 up && ip address add 10.4.0.1/32 dev carrick0 && \
         ip link add carrick-vx type vxlan id 1107 dstport 51822 dev foreign0 && ip link set carrick-vx up && \
         ip link add carrick-ho type vxlan id 1108 dstport 51823 dev foreign0 && ip link set carrick-ho up && \
         ip route add 10.244.2.0/24 dev carrick-ho table 1106 proto 109 && \
         ip route add 10.4.0.2 dev carrick0 table 1105 proto 109 && \
         ip rule add not iif lo priority 1106 table 1106 protocol 109 && \
         ip rule add iif lo ipproto udp dport 51823 priority 1105 table 1105 protocol 109 && \
         ip route add 10.244.1.0/24 dev carrick0 table 1107 proto 107 && \
         ip route add blackhole 10.244.3.0/24 table 1107 proto static && \
         ip route add unreachable 10.244.1.0/24 table 1107 proto 107 metric 10000 && \
         ip -6 route add unreachable fd00::/64 table 1107 proto 107 && \
         ip rule add priority 1107 table 1107 protocol 107 && ip -6 rule add priority 1107 table 1107 protocol 107 && \
         nft add table inet carrick",
    );
    assert_ne!(describe(&namespace), before);

    namespace.run(&format!("{CARRICK} cleanup"));
    assert_eq!(describe(&namespace), before);
    let socket = namespace.output("test -e /run/wireguard/carrick0.sock");
    assert!(!socket.status.success(), "the data path was stopped");

    let again = namespace.command(CARRICK).arg("cleanup").output().unwrap();
    assert!(again.status.success());
    let said = String::from_utf8(again.stderr).unwrap();
    assert!(said.contains("removed=0"), "{said}");
    assert_eq!(describe(&namespace), before);
}

#[test]
fn without_permission_it_says_so() {
    let namespace = Namespace::new();
    namespace.run("ip rule add priority 1107 table 1107 protocol 107 && nft add table inet carrick");
    let output =
        namespace.output(&format!("setpriv --bounding-set=-net_admin --inh-caps=-net_admin {CARRICK} cleanup"));
    assert_eq!(output.status.code(), Some(77), "{output:?}");
    assert!(namespace.run("ip rule show").contains("1107"));
}
