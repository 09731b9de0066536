//! One node: a network namespace with an uplink, a dataplane in it, and userspace WireGuard's double.

use std::panic::resume_unwind;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, SystemTime};

use carrick_dataplane::wireguard::UserspaceWireGuard;
use carrick_dataplane::{Desired, Keys, Reconciler, Report, Sysctls, WireGuardMaker};
use carrick_topology::plan::NodePlan;
use nix::sched::{CloneFlags, unshare};
use tempfile::TempDir;

use crate::plans;
use crate::userspace_double::UserspaceDouble;

/// One node.
pub struct Node {
    pub folder: TempDir,
    pub wireguard: UserspaceDouble,
    pub dataplane: Reconciler,
    pub keys: Keys,
}

/// Runs `test` on a thread of its own in a fresh network namespace, which dies with the thread.
pub fn fresh_namespace<T: Send>(test: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("these tests need root: unshare(CLONE_NEWNET)");
            test()
        });
        thread.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

/// Runs `test` on a node with an uplink `eth0` (10.0.0.1/24, fd00::1/64) and the device of userspace WireGuard.
pub fn on_node<T: Send>(test: impl FnOnce(&mut Node) -> T + Send) -> T {
    fresh_namespace(|| {
        run("ip link set lo up");
        run("ip link add eth0 type veth peer name eth0-far");
        run("ip link set eth0-far up");
        run("ip link set eth0 up");
        run("ip address add 10.0.0.1/24 dev eth0");
        run("ip address add fd00::1/64 dev eth0 nodad");
        run("ip tuntap add carrick0 mode tun");
        // The kernel marks the uplink's routes `linkdown` until it has noticed the carrier, up to a second later.
        while run("ip -brief link show dev eth0").split_whitespace().nth(1) != Some("UP") {
            thread::sleep(Duration::from_millis(5));
        }
        let folder = tempfile::tempdir().unwrap();
        let wireguard = UserspaceDouble::start(folder.path(), "carrick0");
        let dataplane = dataplane(folder.path());
        test(&mut Node { folder, wireguard, dataplane, keys: plans::keys() })
    })
}

/// A dataplane as a freshly started agent opens it.
pub fn dataplane(folder: &Path) -> Reconciler {
    let wireguard = Box::new(UserspaceWireGuard::below(folder));
    Reconciler::open(wireguard, Sysctls::default(), folder.to_owned()).unwrap()
}

impl Node {
    pub fn desired(&self, plan: &NodePlan) -> Desired {
        Desired::new(plan, &self.keys, WireGuardMaker::Process)
    }

    pub fn reconcile(&mut self, plan: &NodePlan) -> Report {
        let desired = self.desired(plan);
        self.dataplane.reconcile(&desired, SystemTime::now()).unwrap()
    }

    /// Reconciles and checks that all went well.
    pub fn reach(&mut self, plan: &NodePlan) -> Report {
        let report = self.reconcile(plan);
        let failures: Vec<String> = report.failures.iter().map(ToString::to_string).collect();
        assert!(report.is_complete(), "{failures:#?} {:?} {:?}", report.waiting_for, report.unreadable_wireguard);
        report
    }

    /// Checks that the kernel is as planned, and that finding out wrote nothing at all.
    pub fn assert_settled(&mut self, plan: &NodePlan) {
        let before = (self.dataplane.writes(), self.wireguard.state().sets.len());
        let report = self.reach(plan);
        assert_eq!(report.operations, []);
        assert_eq!((self.dataplane.writes(), self.wireguard.state().sets.len()), before);
    }
}

/// Runs a command that must succeed, and returns what it prints.
pub fn run(command: &str) -> String {
    let mut words = command.split_whitespace();
    let output = Command::new(words.next().unwrap()).args(words).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
