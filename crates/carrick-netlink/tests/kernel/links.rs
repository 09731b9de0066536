use std::net::Ipv6Addr;
use std::os::fd::AsFd;
use std::sync::mpsc;
use std::thread;

use carrick_netlink::link::{self, Change, LinkKind, VethEnd, Vxlan};
use carrick_netlink::{Family, MacAddress};
use nix::sched::{CloneFlags, unshare};

use crate::namespace::{current, fresh, make_device, route_socket};

const MAC: MacAddress = MacAddress([2, 1, 2, 3, 4, 5]);

fn vxlan(underlay: Family) -> Vxlan {
    Vxlan { vni: 1107, port: 51822, learning: false, underlay, local: None }
}

#[test]
fn fresh_namespace_has_the_loopback_device_only() {
    fresh(|| {
        let links = link::dump(&mut route_socket()).unwrap();
        assert_eq!(links.len(), 1, "{links:?}");
        assert_eq!((links[0].name.as_str(), links[0].up), ("lo", false));
        assert_eq!(links[0].kind, LinkKind::Physical);
    });
}

#[test]
fn vxlan_device_reads_back_as_it_was_made() {
    fresh(|| {
        let mut socket = route_socket();
        let local6 = Some(Ipv6Addr::LOCALHOST.into());
        let wanted = [
            ("v4", vxlan(Family::V4)),
            ("v6", Vxlan { vni: 1108, ..vxlan(Family::V6) }),
            ("v6-local", Vxlan { vni: 1109, local: local6, ..vxlan(Family::V6) }),
            ("v4-local", Vxlan { vni: 1110, local: Some([127, 0, 0, 1].into()), ..vxlan(Family::V4) }),
        ];
        for (name, settings) in wanted {
            socket.execute(&link::create_vxlan(name, &settings, 1400, MAC)).unwrap();
            let link = link::by_name(&mut socket, name).unwrap();
            assert_eq!(link.kind, LinkKind::Vxlan(settings), "{name}");
            assert_eq!((link.mtu, link.mac, link.up), (1400, Some(MAC), false), "{name}");
        }
    });
}

#[test]
fn veth_peer_is_born_in_the_other_namespace() {
    fresh(|| {
        let (give_namespace, namespace) = mpsc::channel();
        let (done, wait) = mpsc::channel::<()>();
        let pod = thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            give_namespace.send(current()).unwrap();
            wait.recv().unwrap();
            link::by_name(&mut route_socket(), "eth0").unwrap()
        });
        let pod_namespace = namespace.recv().unwrap();

        let mut socket = route_socket();
        let near = VethEnd { name: "car0123456789a".to_owned(), mtu: 1420, mac: None };
        let far = VethEnd { name: "eth0".to_owned(), mtu: 1380, mac: Some(MAC) };
        socket.execute(&link::create_veth(&near, &far, pod_namespace.as_fd())).unwrap();
        done.send(()).unwrap();

        let far = pod.join().unwrap();
        assert_eq!((far.mtu, far.mac, far.kind), (1380, Some(MAC), LinkKind::Veth));
        let near = link::by_name(&mut socket, "car0123456789a").unwrap();
        assert_eq!((near.mtu, near.lower), (1420, Some(far.index)));
        let names: Vec<String> = link::dump(&mut socket).unwrap().into_iter().map(|link| link.name).collect();
        assert_eq!(names, ["lo", "car0123456789a"], "the far end never appears here");
    });
}

#[test]
fn changes_what_was_asked_and_nothing_else() {
    fresh(|| {
        let mut socket = route_socket();
        let index = make_device(&mut socket, "d0");
        let before = link::by_name(&mut socket, "d0").unwrap();

        let mtu = Change { mtu: Some(1300), alias: Some("carrick".to_owned()), ..Change::default() };
        socket.execute(&link::change(index, "d0", &mtu)).unwrap();
        let after = link::by_name(&mut socket, "d0").unwrap();
        assert_eq!(after, link::Link { mtu: 1300, alias: Some("carrick".to_owned()), ..before });

        // Kernels before 6.2 rename no device that is up, not even in the message that takes it down.
        let down = Change { up: Some(false), mac: Some(MAC), ..Change::default() };
        socket.execute(&link::change(index, "d0", &down)).unwrap();
        let rename = Change { name: Some("d1".to_owned()), alias: Some(String::new()), ..Change::default() };
        socket.execute(&link::change(index, "d0", &rename)).unwrap();
        let renamed = link::by_name(&mut socket, "d1").unwrap();
        assert_eq!((renamed.up, renamed.mac, renamed.alias, renamed.mtu), (false, Some(MAC), None, 1300));
    });
}

#[test]
fn deleted_link_is_not_found() {
    fresh(|| {
        let mut socket = route_socket();
        let index = make_device(&mut socket, "d0");
        socket.execute(&link::delete(index, "d0")).unwrap();
        assert!(link::by_name(&mut socket, "d0").unwrap_err().is_not_found());
        assert!(socket.execute(&link::delete(index, "d0")).unwrap_err().is_not_found());
    });
}
