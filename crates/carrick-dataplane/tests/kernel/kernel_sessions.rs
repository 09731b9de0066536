//! Running sessions of the kernel's WireGuard: what a change of the plan leaves alone. For the virtual machine.

use std::net::SocketAddr;
use std::thread;

use carrick_dataplane::Operation;
use carrick_netlink::wireguard::{DeviceChange, Peer, PeerChange, PeerVerb, PublicKey, SecretKey, WireGuard};
use carrick_topology::plan::NodePlan;

use crate::kernel_wireguard::{KernelNode, on_kernel_node};
use crate::node::run;
use crate::plans;

/// Where the plan wants the far device, and where it is not.
const WANTED: &str = "198.51.100.77:51820";

/// A second WireGuard device, which dials the node over the loopback device and sends a keepalive each second.
struct Far {
    key: PublicKey,
}

impl Far {
    fn start(node: PublicKey) -> Self {
        run("ip link set lo up");
        run("ip link add far0 type wireguard");
        run("ip link set far0 up");
        let mut wireguard = WireGuard::open().unwrap();
        let peer = PeerChange {
            endpoint: Some("127.0.0.1:51820".parse().unwrap()),
            persistent_keepalive: Some(1),
            ..PeerChange::new(node, PeerVerb::Set)
        };
        let private_key = Some(SecretKey::new([5; 32]));
        wireguard.set("far0", &DeviceChange { private_key, peers: vec![peer], ..DeviceChange::default() }).unwrap();
        Self { key: wireguard.get("far0").unwrap().public_key.unwrap() }
    }

    /// What the node's kernel says of it.
    fn seen(&self) -> Option<Peer> {
        let device = WireGuard::open().unwrap().get("carrick0").unwrap();
        device.peers.into_iter().find(|peer| peer.public_key == self.key)
    }

    /// Waits until more than so many bytes came from it, and tells what the node's kernel says of it then.
    fn after(&self, received_bytes: u64) -> Peer {
        loop {
            match self.seen() {
                Some(peer) if peer.received_bytes > received_bytes => return peer,
                _ => thread::yield_now(),
            }
        }
    }

    /// Adds it to a plan.
    fn join(&self, plan: &mut NodePlan, endpoint: SocketAddr) {
        let key = self.key;
        let mut peer = plans::peer(77);
        peer.endpoint = Some(endpoint);
        peer.allowed_ips = [plans::net("10.200.0.0/24")].into();
        plan.wireguard.peers.insert(key, peer);
    }
}

/// A mesh with a far device that has dialled in.
fn with_session(test: impl FnOnce(&mut KernelNode, &Far, NodePlan) + Send) {
    on_kernel_node(|node| {
        let mut plan = plans::mesh(40, 4);
        node.reach(&plan);
        let own_key = WireGuard::open().unwrap().get("carrick0").unwrap().public_key.unwrap();
        let far = Far::start(own_key);
        far.join(&mut plan, WANTED.parse().unwrap());
        node.reach(&plan);
        // The first bytes that arrive are those of the handshake, which is not over then.
        while far.seen().is_none_or(|peer| peer.last_handshake.is_none()) {
            thread::yield_now();
        }
        test(node, &far, plan);
    });
}

#[test]
#[ignore = "needs a kernel with WireGuard: scripts/test-vm.sh"]
fn endpoint_that_roamed_is_left_alone_until_the_wish_changes() {
    with_session(|node, far, mut plan| {
        let roamed = far.seen().unwrap().endpoint.unwrap();
        assert!(roamed.ip().is_loopback(), "{roamed}");
        node.assert_settled(&plan);
        assert_eq!(far.seen().unwrap().endpoint, Some(roamed));

        let other: SocketAddr = "198.51.100.78:51820".parse().unwrap();
        far.join(&mut plan, other);
        let operations = node.reach(&plan).operations;
        assert!(
            matches!(&operations[..], [Operation::SetPeer(change)] if change.endpoint == Some(other)),
            "{operations:?}"
        );
    });
}

#[test]
#[ignore = "needs a kernel with WireGuard: scripts/test-vm.sh"]
fn changes_of_others_leave_sessions_and_counters_alone() {
    with_session(|node, far, mut plan| {
        let before = far.seen().unwrap();
        let others = &mut plan.wireguard.peers;
        others.remove(&plans::key(1));
        others.insert(plans::key(9), plans::peer(9));
        let changed = others.get_mut(&plans::key(2)).unwrap();
        changed.endpoint = Some("198.51.100.99:51820".parse().unwrap());
        changed.persistent_keepalive = Some(25);
        changed.allowed_ips.pop_first();
        changed.allowed_ips.insert(plans::net("10.201.0.0/24"));
        node.reach(&plan);
        plan.wireguard.mtu = 1380;
        node.reach(&plan);
        node.assert_settled(&plan);

        // Had the session ended, the next keepalive would have come with another handshake.
        let after = far.after(before.received_bytes);
        assert_eq!(after.last_handshake, before.last_handshake);
        assert!(after.sent_bytes >= before.sent_bytes);
        assert_eq!(after.allowed_ips, before.allowed_ips);
        assert!(after.endpoint.unwrap().ip().is_loopback());
    });
}
