//! What the host around Carrick does to it.

use carrick_test_apiserver::proxy::Mode;
use carrick_test_apiserver::{Fault, FaultDuration, RequestFilter};
use std::time::Duration;

use crate::patient::{LockedTable, Patient, run};

#[test]
fn hosts() {
    let patient = Patient::in_good_health();

    let text = patient.suffers(
        "problem ip-forwarding b1",
        |mesh| drop(run(mesh, "b1", "sysctl -qw net.ipv4.ip_forward=0")),
        |mesh| drop(run(mesh, "b1", "sysctl -qw net.ipv4.ip_forward=1")),
    );
    assert!(text.contains("IPv4"), "{text}");

    let text = patient.suffers(
        "problem reverse-path-filter b1",
        |mesh| drop(run(mesh, "b1", "sysctl -qw net.ipv4.conf.carrick0.rp_filter=1")),
        |mesh| drop(run(mesh, "b1", "sysctl -qw net.ipv4.conf.carrick0.rp_filter=2")),
    );
    assert!(text.contains("net.ipv4.conf.carrick0.rp_filter"), "{text}");

    let mut owner = None;
    let text = {
        let node = patient.0.node_namespaces("b1");
        owner.replace(LockedTable::new(
            &node,
            "add table ip locked { flags owner; }\n\
             add chain ip locked f { type filter hook forward priority 0; policy drop; }\n",
        ));
        patient.is_told(&["problem forward-policy b1"])
    };
    assert!(text.contains("ip locked f"), "{text}");
    drop(owner);
    patient.is_told(&[]);

    let stale = "/etc/cni/net.d/05-stale.conflist";
    let text = patient.suffers(
        "problem cni-configuration b1",
        |mesh| drop(run(mesh, "b1", &format!("echo '{{}}' > {stale}"))),
        |mesh| drop(run(mesh, "b1", &format!("rm {stale}"))),
    );
    assert!(text.contains(stale), "{text}");

    let device = run(&patient.0, "b1", "ip -o link | grep -o 'crk[0-9a-f]*' | head -1").trim().to_owned();
    let own = run(&patient.0, "b1", &format!("cat /sys/class/net/{device}/address 2>/dev/null || ip -o link show {device} | sed 's/.*ether \\([^ ]*\\).*/\\1/'")).trim().to_owned();
    let text = patient.suffers(
        "problem pod-gateway b1",
        |mesh| drop(run(mesh, "b1", &format!("ip link set {device} address 02:00:00:00:00:99"))),
        |mesh| drop(run(mesh, "b1", &format!("ip link set {device} address {own}"))),
    );
    assert!(text.contains("02:00:00:00:00:99 instead of") && text.contains(&device), "{text}");
}

#[test]
fn api_servers() {
    let patient = Patient::in_good_health();
    for mode in [Mode::Cut, Mode::Hang] {
        patient.suffers(
            "problem api-server b1",
            |mesh| mesh.kubernetes().set("b1", mode).unwrap(),
            |mesh| mesh.kubernetes().set("b1", Mode::Pass).unwrap(),
        );
    }
    let filter = RequestFilter { user: Some("b1".to_owned()), resource: None };
    let slow = Fault::Slow(Duration::from_millis(700));
    patient.suffers(
        "warning api-server b1",
        |mesh| mesh.kubernetes().embedded().unwrap().inject(slow, FaultDuration::UntilCleared, filter),
        |mesh| mesh.kubernetes().embedded().unwrap().clear_faults(),
    );
}
