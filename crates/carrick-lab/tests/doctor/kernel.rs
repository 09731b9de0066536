//! Findings about Carrick's state in the kernel.

use std::net::UdpSocket;

use crate::diagnosed_mesh::{DiagnosedMesh, data_path, run};

#[test]
fn kernel_state_that_differs_from_the_plan_is_a_problem() {
    let diagnosed = DiagnosedMesh::without_findings();

    let text = diagnosed.reports_before_the_repair("problem kernel-state b1", "b1", |mesh| {
        let peer = "wg set carrick0 peer $(wg show carrick0 peers | head -1) persistent-keepalive 7";
        run(mesh, "b1", peer);
    });
    assert!(text.contains("change peer"), "{text}");

    let stopped = data_path(&diagnosed.0, "b1");
    diagnosed.reports(
        "problem wireguard-device b1",
        |mesh| drop(run(mesh, "b1", &format!("kill -STOP {stopped}"))),
        |mesh| drop(run(mesh, "b1", &format!("kill -CONT {stopped}"))),
    );

    let node = diagnosed.0.node_namespaces("b1");
    let mut foreign = None;
    let text = {
        // The agent restores the port after 5 s at the latest.
        foreign.replace(
            carrick_lab::wait::until("the port", || {
                run(&diagnosed.0, "b1", "wg set carrick0 listen-port 51999");
                Ok(node.enter(|| Ok(UdpSocket::bind("0.0.0.0:51820")?)).ok())
            })
            .unwrap(),
        );
        diagnosed.await_findings(&["problem wireguard-port b1"])
    };
    assert!(text.contains("51820"), "{text}");
    drop(foreign);
    diagnosed.await_findings(&[]);
}
