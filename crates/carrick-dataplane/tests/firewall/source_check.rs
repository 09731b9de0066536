//! Packets in the name of other nodes' pods come in by devices of the mesh.

use crate::namespace::{at_port, is_silent, source_seen};
use crate::network::{NEAR_POD, Network, POD, REMOTE_POD, address, give, in_both, nets, plan};

const PORT: u16 = 7001;

#[test]
fn a_host_outside_of_the_mesh_cannot_send_in_the_name_of_a_pod() {
    let mut network = Network::guarded();
    give(&network.outside, "lo", &[REMOTE_POD]);
    for (pod, remote) in in_both(POD, REMOTE_POD) {
        let receiver = network.pod.socket_at(pod, PORT);
        network.outside.socket(remote).send_to(b"x", at_port(pod, PORT)).unwrap();
        assert!(is_silent(&receiver), "{remote}");
        let elsewhere = network.pod.socket(pod);
        assert_eq!(source_seen(&network.remote.socket(remote), &elsewhere), address(remote), "by the mesh's device");
    }
    for (pod, near) in in_both(POD, NEAR_POD) {
        let receiver = network.pod.socket(pod);
        assert_eq!(source_seen(&network.near.socket(near), &receiver), address(near), "by the mesh's device");
    }
    assert_eq!(network.counted("mesh source by another device"), 2);

    // A network of the host, which has its addresses, and sources that may come without encapsulation.
    let mut direct = plan();
    direct.direct.extend(nets(&["10.2.0.0/24", "fd02::/64"]));
    let mut plain = plan();
    plain.encapsulated_sources.clear();
    for permitting in [direct, plain] {
        network.apply(&permitting);
        for (pod, remote) in in_both(POD, REMOTE_POD) {
            let receiver = network.pod.socket(pod);
            assert_eq!(source_seen(&network.outside.socket(remote), &receiver), address(remote));
        }
    }
}
