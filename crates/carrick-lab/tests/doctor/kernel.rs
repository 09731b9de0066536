//! What the kernel holds of Carrick's.

use std::net::UdpSocket;

use crate::patient::{Patient, data_path, run};

#[test]
fn kernels() {
    let patient = Patient::in_good_health();

    let text = patient.suffers_again_and_again("problem kernel-state b1", |mesh| {
        let peer = "wg set carrick0 peer $(wg show carrick0 peers | head -1) persistent-keepalive 7";
        run(mesh, "b1", peer);
    });
    assert!(text.contains("change peer"), "{text}");

    let stopped = data_path(&patient.0, "b1");
    patient.suffers(
        "problem wireguard-device b1",
        |mesh| drop(run(mesh, "b1", &format!("kill -STOP {stopped}"))),
        |mesh| drop(run(mesh, "b1", &format!("kill -CONT {stopped}"))),
    );

    let node = patient.0.node_namespaces("b1");
    let mut foreign = None;
    let text = {
        // The agent wants the port back after 5 s at the latest.
        foreign.replace(
            carrick_lab::wait::until("the port", || {
                run(&patient.0, "b1", "wg set carrick0 listen-port 51999");
                Ok(node.enter(|| Ok(UdpSocket::bind("0.0.0.0:51820")?)).ok())
            })
            .unwrap(),
        );
        patient.is_told(&["problem wireguard-port b1"])
    };
    assert!(text.contains("51820"), "{text}");
    drop(foreign);
    patient.is_told(&[]);
}
