use carrick_netlink::generic;
use carrick_netlink::wireguard::WireGuard;
use carrick_netlink::{Protocol, Socket};

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
