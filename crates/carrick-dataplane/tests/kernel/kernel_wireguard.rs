//! The kernel's own WireGuard. Kernels without it cannot run these: they are for the virtual machine.

use std::collections::BTreeSet;
use std::time::SystemTime;

use carrick_dataplane::wireguard::KernelWireGuard;
use carrick_dataplane::{Desired, Keys, Operation, Reconciler, Report, Sysctls, WireGuardMaker};
use carrick_netlink::wireguard::{self, SecretKey};
use carrick_topology::model::{Family, SecretReference};
use carrick_topology::plan::{NodePlan, WireGuardPeer};
use ipnet::IpNet;
use tempfile::TempDir;

use crate::node::{fresh_namespace, run};
use crate::plans;

pub struct KernelNode {
    pub dataplane: Reconciler,
    keys: Keys,
    _folder: TempDir,
}

pub fn on_kernel_node<T: Send>(test: impl FnOnce(&mut KernelNode) -> T + Send) -> T {
    fresh_namespace(|| {
        let folder = tempfile::tempdir().unwrap();
        let wireguard = Box::new(KernelWireGuard::open().unwrap());
        let dataplane = Reconciler::open(wireguard, Sysctls::default(), folder.path().to_owned()).unwrap();
        test(&mut KernelNode { dataplane, keys: plans::keys(), _folder: folder })
    })
}

impl KernelNode {
    pub fn reach(&mut self, plan: &NodePlan) -> Report {
        let desired = Desired::new(plan, &self.keys, WireGuardMaker::Kernel);
        let report = self.dataplane.reconcile(&desired, SystemTime::now()).unwrap();
        let failures: Vec<String> = report.failures.iter().map(ToString::to_string).collect();
        assert!(report.is_complete(), "{failures:#?} {:?}", report.unreadable_wireguard);
        report
    }

    pub fn assert_settled(&mut self, plan: &NodePlan) {
        let before = self.dataplane.writes();
        let operations = self.reach(plan).operations;
        let shown: Vec<String> = operations.iter().map(ToString::to_string).collect();
        assert!(operations.is_empty(), "{shown:?}");
        assert_eq!(self.dataplane.writes(), before);
    }
}

#[test]
#[ignore = "needs a kernel with WireGuard: scripts/test-vm.sh"]
fn plan_becomes_the_kernels_state() {
    on_kernel_node(|node| {
        let mut plan = plans::mesh(100, 10);
        let reference = SecretReference { name: "psk".to_owned(), key: "laptop".to_owned() };
        node.keys.preshared.insert(reference.clone(), SecretKey::new([3; 32]));
        let peer = plan.wireguard.peers.get_mut(&plans::key(1)).unwrap();
        peer.preshared_key = Some(reference);
        peer.persistent_keepalive = Some(25);
        node.reach(&plan);
        node.assert_settled(&plan);

        let dump = run("wg show carrick0 dump");
        let (own, peers) = dump.split_once('\n').unwrap();
        assert!(own.ends_with("\t51820\t0x1000"), "{own}");
        assert_eq!(peers.lines().count(), plan.wireguard.peers.len());
        assert!(run("wg show carrick0 persistent-keepalive").contains(&format!("{}\t25", plans::key(1))));
        assert!(run("wg show carrick0 endpoints").contains("198.51.100.1:51820"));
        assert!(run("ip -d link show carrick0").contains("wireguard"));
    });
}

#[test]
#[ignore = "needs a kernel with WireGuard: scripts/test-vm.sh"]
fn peer_with_thousands_of_allowed_ips_is_written_and_read_whole() {
    on_kernel_node(|node| {
        let mut plan = plans::alone();
        let mut peer = plans::peer(1);
        for family in Family::BOTH {
            peer.allowed_ips.extend((0..3000).map(|number| plans::pod_cidr(number, family)));
        }
        plan.wireguard.peers.insert(plans::key(1), peer);
        plan.wireguard.peers.insert(plans::key(2), plans::peer(2));
        node.reach(&plan);
        node.assert_settled(&plan);
        let shown = run("wg show carrick0 allowed-ips");
        assert_eq!(shown.split_whitespace().filter(|word| word.parse::<IpNet>().is_ok()).count(), 6000);
    });
}

#[test]
#[ignore = "needs a kernel with WireGuard: scripts/test-vm.sh"]
fn a_thousand_allowed_ips_are_read_back_and_changed_one_by_one() {
    on_kernel_node(|node| {
        let mut plan = plans::alone();
        let mut peer = plans::peer(1);
        for family in Family::BOTH {
            peer.allowed_ips.extend((0..500).map(|number| plans::pod_cidr(number, family)));
        }
        plan.wireguard.peers.insert(plans::key(1), peer);
        plan.wireguard.peers.insert(
            plans::key(2),
            WireGuardPeer { allowed_ips: [plans::net("10.200.0.0/24")].into(), ..plans::peer(2) },
        );
        node.reach(&plan);
        node.assert_settled(&plan);
        assert_eq!(held_allowed_ips(1), plan.wireguard.peers[&plans::key(1)].allowed_ips);

        for number in 500..510 {
            for family in Family::BOTH {
                let allowed_ips = &mut plan.wireguard.peers.get_mut(&plans::key(1)).unwrap().allowed_ips;
                allowed_ips.insert(plans::pod_cidr(number, family));
                assert_eq!(node.reach(&plan).operations.len(), 1);
                let allowed_ips = &mut plan.wireguard.peers.get_mut(&plans::key(1)).unwrap().allowed_ips;
                allowed_ips.remove(&plans::pod_cidr(number - 300, family));
                assert_eq!(node.reach(&plan).operations.len(), 1);
            }
            assert_eq!(held_allowed_ips(1), plan.wireguard.peers[&plans::key(1)].allowed_ips);
            assert_eq!(held_allowed_ips(2), plan.wireguard.peers[&plans::key(2)].allowed_ips);
        }
        node.assert_settled(&plan);
    });
}

/// What the kernel itself says of a peer.
fn held_allowed_ips(number: u32) -> BTreeSet<IpNet> {
    let device = wireguard::WireGuard::open().unwrap().get("carrick0").unwrap();
    let key = *plans::key(number).as_bytes();
    let peer = device.peers.into_iter().find(|peer| peer.public_key.0 == key).unwrap();
    peer.allowed_ips.into_iter().collect()
}

#[test]
#[ignore = "needs a kernel with WireGuard: scripts/test-vm.sh"]
fn changes_touch_what_changed_alone() {
    on_kernel_node(|node| {
        let mut plan = plans::mesh(60, 5);
        node.reach(&plan);

        let moved = plan.wireguard.peers.remove(&plans::key(3)).unwrap();
        plan.wireguard.peers.get_mut(&plans::key(4)).unwrap().allowed_ips.extend(moved.allowed_ips);
        let operations = node.reach(&plan).operations;
        assert!(matches!(operations[..], [Operation::SetPeer(_), Operation::RemovePeer(_)]), "{operations:?}");
        node.assert_settled(&plan);

        plan.wireguard.peers.get_mut(&plans::key(4)).unwrap().allowed_ips.pop_first();
        for _ in 0..2 {
            plan.wireguard.peers.get_mut(&plans::key(4)).unwrap().allowed_ips.pop_first();
            node.reach(&plan);
            node.assert_settled(&plan);
        }
        plan.wireguard.port = 51999;
        plan.wireguard.mtu = 1380;
        assert_eq!(node.reach(&plan).operations.len(), 2);
        node.assert_settled(&plan);

        run("ip link delete carrick0");
        node.reach(&plan);
        node.assert_settled(&plan);
    });
}

#[test]
#[ignore = "needs a kernel with WireGuard: scripts/test-vm.sh"]
fn device_of_another_kind_is_replaced() {
    on_kernel_node(|node| {
        run("ip tuntap add carrick0 mode tun");
        node.reach(&plans::mesh(20, 3));
        node.assert_settled(&plans::mesh(20, 3));
        assert!(run("ip -d link show carrick0").contains("wireguard"));
    });
}
