//! Repair of the plugin's nftables table after another program flushed it, in a network namespace for each test.
#![expect(clippy::expect_used, clippy::unwrap_used, reason = "all of this is tests")]

use std::panic::resume_unwind;
use std::process::Command;
use std::thread;

use carrick_pods::Attachment;
use carrick_pods::firewall::{Firewall, Restored};
use carrick_pods::host_port::{HostPort, Transport};
use carrick_pods::ipam::{Reservation, Store, pools};
use nix::sched::{CloneFlags, unshare};

/// Runs `test` on its own thread in a new network namespace, which ends with the thread.
fn in_new_namespace(test: impl FnOnce() + Send) {
    let inside = || {
        unshare(CloneFlags::CLONE_NEWNET).expect("these tests need root: unshare(CLONE_NEWNET)");
        test();
    };
    thread::scope(|scope| scope.spawn(inside).join().unwrap_or_else(|panic| resume_unwind(panic)));
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn reservation(container_id: &str, host_port: u16) -> Reservation {
    let attachment = Attachment {
        network: "carrick".to_owned(),
        container_id: container_id.to_owned(),
        interface: "eth0".to_owned(),
    };
    let port = HostPort { transport: Transport::Tcp, host: "0.0.0.0".parse().unwrap(), host_port, pod_port: 80 };
    Reservation { host_ports: vec![port], ..Reservation::plain(attachment, None) }
}

#[test]
fn a_flushed_table_is_restored_for_the_pods_that_exist() {
    in_new_namespace(|| {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::under(directory.path());
        let mut firewall = Firewall::open().unwrap();
        assert_eq!(firewall.reconcile(&store).unwrap(), Restored::Unchanged);
        assert_eq!(run("nft", &["list", "ruleset"]), "", "no table without pods");

        let pools = pools(&["10.42.0.0/24".parse().unwrap()]).unwrap();
        let stays = store.reserve(reservation("stays", 8080), &pools).unwrap();
        // As during an ADD that has created no device yet, or a DEL that has removed it.
        store.reserve(reservation("partial", 8081), &pools).unwrap();
        run("ip", &["link", "add", &stays.device, "type", "bridge"]);
        assert_eq!(firewall.reconcile(&store).unwrap(), Restored::Structure);
        let whole = run("nft", &["list", "ruleset"]);
        assert!(whole.contains("tcp . 8080 : 10.42.0.2 . 80") && !whole.contains("8081"), "{whole}");
        assert_eq!(firewall.reconcile(&store).unwrap(), Restored::Unchanged);

        run("nft", &["flush", "ruleset"]);
        assert_eq!(firewall.reconcile(&store).unwrap(), Restored::Structure);
        assert_eq!(run("nft", &["list", "ruleset"]), whole);

        // A record that cannot be read belongs to a pod too.
        let record = directory.path().join("ipam/attachments/stays:eth0");
        std::fs::remove_file(directory.path().join("ipam/attachments/partial:eth0")).unwrap();
        let content = std::fs::read(&record).unwrap();
        std::fs::write(&record, "{").unwrap();
        run("nft", &["flush", "ruleset"]);
        assert_eq!(firewall.reconcile(&store).unwrap(), Restored::Structure);
        let ruleset = run("nft", &["list", "ruleset"]);
        assert!(ruleset.contains("chain sources") && !ruleset.contains("8080"), "{ruleset}");
        std::fs::write(&record, content).unwrap();
        assert_eq!(firewall.reconcile(&store).unwrap(), Restored::Elements, "as while the plugin adds a pod");

        run("nft", &["flush", "chain", "inet", "carrick-cni", "sources"]);
        run("nft", &["delete", "element", "inet", "carrick-cni", "ports-ipv4", "{ tcp . 8080 }"]);
        assert_eq!(firewall.reconcile(&store).unwrap(), Restored::Structure);
        assert_eq!(run("nft", &["list", "ruleset"]), whole);
    });
}
