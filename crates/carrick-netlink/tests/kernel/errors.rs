use std::process::Command;

use carrick_netlink::link::{self, Change};
use carrick_netlink::route::{self, Kind, Route};
use carrick_netlink::{Error, process_writes};

use crate::namespace::{fresh, make_device, route_socket};

#[test]
fn kernels_own_words_are_in_the_error() {
    fresh(|| {
        let mut socket = route_socket();
        let index = make_device(&mut socket, "d0");
        let change = Change { mtu: Some(1), ..Change::default() };
        let route = Route::through("10.0.0.0/24".parse().unwrap(), 1107, 107, index).via([192, 0, 2, 1].into());
        let error = socket.execute(&route::add(&route)).unwrap_err().to_string();
        assert!(error.starts_with("add route 10.0.0.0/24 in table 1107 via 192.0.2.1"), "{error}");
        assert!(error.contains("(ENETUNREACH)") && error.contains("invalid gateway"), "{error}");
        let error = socket.execute(&link::change(index + 1, "gone", &change)).unwrap_err();
        assert!(error.is_not_found(), "{error}");
    });
}

#[test]
fn refused_request_does_not_stop_the_ones_behind_it() {
    fresh(|| {
        let mut socket = route_socket();
        let good = Route::without_device("10.0.0.0/24".parse().unwrap(), 1107, 107, Kind::Unreachable);
        let bad = Route { device: Some(99), kind: Kind::Unicast, ..good };
        let other = Route { metric: 9, ..good };
        let writes = socket.writes();
        let results = socket.batch(&[route::add(&good), route::add(&bad), route::add(&good), route::add(&other)]);
        assert!(results[0].is_ok(), "{results:?}");
        assert!(results[1].as_ref().is_err_and(Error::is_not_found), "{results:?}");
        assert!(results[2].as_ref().is_err_and(Error::is_exists), "{results:?}");
        assert!(results[3].is_ok(), "{results:?}");
        assert_eq!(socket.writes() - writes, 4);
        assert!(process_writes() >= 4);
    });
}

#[test]
fn unknown_kind_of_device_is_not_supported() {
    fresh(|| {
        let mut socket = route_socket();
        match socket.execute(&link::create_wireguard("wg0", 1420)) {
            Ok(()) => assert_eq!(link::by_name(&mut socket, "wg0").unwrap().kind, link::LinkKind::WireGuard),
            Err(error) => assert!(error.is_not_supported(), "{error}"),
        }
    });
}

/// A process of another user namespace has no rights over the network namespace that it stands in.
#[test]
fn lack_of_rights_is_told_apart() {
    let output = Command::new("unshare")
        .args(["--net", "unshare", "--user"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "errors::without_rights", "--ignored", "--nocapture"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "{output:?}");
}

#[test]
#[ignore = "run by lack_of_rights_is_told_apart"]
fn without_rights() {
    let mut socket = route_socket();
    let error = socket.execute(&link::create_bridge("d0", 1500)).unwrap_err();
    assert!(error.is_not_permitted(), "{error}");
    link::dump(&mut socket).unwrap();
}
