//! WireGuard's family, and what it takes to have it.

use std::path::Path;
use std::process::Command;

use carrick_netlink::link::{Vxlan, create_vxlan, create_wireguard};
use carrick_netlink::nftables::Nftables;
use carrick_netlink::wireguard::WireGuard;
use carrick_netlink::{Family, MacAddress, Protocol, Socket, generic};

use crate::namespace::fresh;

#[test]
fn families_are_found_by_name() {
    fresh(|| {
        let mut socket = Socket::open(Protocol::Generic).unwrap();
        assert_eq!(generic::family(&mut socket, "nlctrl").unwrap(), 16);
        assert!(generic::family(&mut socket, "no-such-family").unwrap_err().is_not_found());
        assert_eq!(socket.writes(), 0);
    });
}

#[test]
fn kernel_without_wireguard_is_told_apart_from_a_missing_device() {
    fresh(|| match WireGuard::open() {
        Ok(mut wireguard) => assert!(wireguard.get("carrick0").unwrap_err().is_not_found()),
        Err(error) => {
            assert!(error.is_not_found(), "{error}");
            assert_eq!(error.object, "wireguard");
        }
    });
}

/// `CAP_NET_ADMIN` alone, as `/proc/self/status` shows it.
const NET_ADMIN: &str = "CapEff:\t0000000000001000";

fn is_loaded(module: &str) -> bool {
    Path::new("/sys/module").join(module).exists()
}

/// The kernel loads modules by itself, for processes that may not.
#[test]
#[ignore = "needs a freshly booted kernel that has WireGuard as a module: scripts/test-vm.sh"]
fn modules_are_loaded_for_a_process_with_net_admin_alone() {
    const MODULES: [&str; 3] = ["wireguard", "vxlan", "nf_tables"];
    assert_eq!(MODULES.map(is_loaded), [false; 3]);
    for _loaded in [false, true] {
        let output = Command::new("unshare")
            .args(["--net", "setpriv", "--bounding-set=-all,+net_admin", "--no-new-privs"])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "wireguard::with_net_admin_alone", "--ignored", "--nocapture"])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "{output:?}");
        assert_eq!(MODULES.map(is_loaded), [true; 3]);
    }
}

#[test]
#[ignore = "run by modules_are_loaded_for_a_process_with_net_admin_alone"]
fn with_net_admin_alone() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    assert!(status.contains(NET_ADMIN), "{status}");
    let mut wireguard = WireGuard::open().unwrap();
    let mut socket = Socket::open(Protocol::Route).unwrap();
    socket.execute(&create_wireguard("carrick0", 1420)).unwrap();
    assert_eq!(wireguard.get("carrick0").unwrap().peers, []);
    let settings = Vxlan { vni: 1107, port: 51822, learning: false, underlay: Family::V4, local: None };
    socket.execute(&create_vxlan("carrick-vx", &settings, 1450, MacAddress([2, 0, 0, 0, 0, 1]))).unwrap();
    Nftables::open().unwrap().generation().unwrap();
}
