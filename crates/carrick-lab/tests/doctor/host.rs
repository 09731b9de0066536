//! Findings about the host and its connection to the API server.

use carrick_test_apiserver::proxy::Mode;
use carrick_test_apiserver::{Fault, FaultDuration, RequestFilter};
use std::time::Duration;

use crate::diagnosed_mesh::{DiagnosedMesh, LockedTable, run};

/// Makes the kernel's settings read-only for the agent, so that the agent cannot restore what the test sets.
fn locked_setting(path: &str, value: u8) -> String {
    format!(
        "mkdir -p /run/settings && mount -t proc proc /run/settings && mount --bind /proc/sys /proc/sys && \
         mount -o remount,bind,ro /proc/sys && echo {value} > /run/settings/sys/{path}"
    )
}

/// Takes back [`locked_setting`]: the agent restores the setting.
const UNLOCK: &str = "umount /proc/sys && umount /run/settings";

#[test]
fn host_settings_that_break_the_mesh_are_problems() {
    let diagnosed = DiagnosedMesh::without_findings();

    // The kernel then forwards for no device, of pods neither.
    let text = diagnosed.reports_among(
        "problem ip-forwarding b1",
        |mesh| drop(run(mesh, "b1", &locked_setting("net/ipv4/ip_forward", 0))),
        |mesh| drop(run(mesh, "b1", UNLOCK)),
    );
    assert!(text.contains("IPv4"), "{text}");

    let text = diagnosed.reports_among(
        "problem reverse-path-filter b1",
        |mesh| drop(run(mesh, "b1", &locked_setting("net/ipv4/conf/carrick0/rp_filter", 1))),
        |mesh| drop(run(mesh, "b1", UNLOCK)),
    );
    assert!(text.contains("net.ipv4.conf.carrick0.rp_filter"), "{text}");

    let mut owner = None;
    let text = {
        let node = diagnosed.0.node_namespaces("b1");
        owner.replace(LockedTable::new(
            &node,
            "add table ip locked { flags owner; }\n\
             add chain ip locked f { type filter hook forward priority 0; policy drop; }\n",
        ));
        diagnosed.await_findings(&["problem forward-policy b1"])
    };
    assert!(text.contains("ip locked f"), "{text}");
    drop(owner);
    diagnosed.await_findings(&[]);

    let stale = "/etc/cni/net.d/05-stale.conflist";
    let text = diagnosed.reports(
        "problem cni-configuration b1",
        |mesh| drop(run(mesh, "b1", &format!("echo '{{}}' > {stale}"))),
        |mesh| drop(run(mesh, "b1", &format!("rm {stale}"))),
    );
    assert!(text.contains(stale), "{text}");
}

#[test]
fn an_api_server_that_is_unreachable_or_slow_is_reported() {
    let diagnosed = DiagnosedMesh::without_findings();
    for mode in [Mode::Cut, Mode::Hang] {
        diagnosed.reports(
            "problem api-server b1",
            |mesh| mesh.kubernetes().set("b1", mode).unwrap(),
            |mesh| mesh.kubernetes().set("b1", Mode::Pass).unwrap(),
        );
    }
    let filter = RequestFilter { user: Some("b1".to_owned()), resource: None };
    let slow = Fault::Slow(Duration::from_millis(700));
    diagnosed.reports(
        "warning api-server b1",
        |mesh| mesh.kubernetes().embedded().unwrap().inject(slow, FaultDuration::UntilCleared, filter),
        |mesh| mesh.kubernetes().embedded().unwrap().clear_faults(),
    );
}
