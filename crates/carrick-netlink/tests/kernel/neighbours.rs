use std::net::IpAddr;

use carrick_netlink::link::{self, Vxlan};
use carrick_netlink::neighbour::{self, ForwardingEntry, Neighbour};
use carrick_netlink::{Family, MacAddress, Socket};

use crate::namespace::{fresh, make_device, route_socket};

const MAC: MacAddress = MacAddress([2, 1, 2, 3, 4, 5]);
const OTHER_MAC: MacAddress = MacAddress([2, 1, 2, 3, 4, 6]);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn permanent_neighbours_of_both_families_come_and_go() {
    fresh(|| {
        let mut socket = route_socket();
        let link = vxlan(&mut socket, Family::V4);
        for address in ["10.4.0.9", "fdca::9"] {
            let old = Neighbour { link, address: ip(address), mac: MAC };
            let new = Neighbour { mac: OTHER_MAC, ..old };
            for neighbour in [&old, &new] {
                socket.execute(&neighbour::replace(neighbour)).unwrap();
                assert_eq!(neighbour::dump(&mut socket, link).unwrap(), [*neighbour]);
            }
            socket.execute(&neighbour::delete(&new)).unwrap();
            assert_eq!(neighbour::dump(&mut socket, link).unwrap(), []);
            assert!(socket.execute(&neighbour::delete(&new)).unwrap_err().is_not_found());
        }
    });
}

#[test]
fn forwarding_entries_name_the_tunnels_end() {
    for (family, destinations) in [(Family::V4, ["192.0.2.1", "192.0.2.2"]), (Family::V6, ["fd00::1", "fd00::2"])] {
        fresh(|| {
            let mut socket = route_socket();
            let link = vxlan(&mut socket, family);
            make_device(&mut socket, "d0");
            for destination in destinations {
                let entry = ForwardingEntry { link, mac: MAC, destination: ip(destination) };
                socket.execute(&neighbour::replace_forwarding(&entry)).unwrap();
                assert_eq!(neighbour::dump_forwarding(&mut socket, link).unwrap(), [entry]);
            }
            let entry = ForwardingEntry { link, mac: MAC, destination: ip(destinations[1]) };
            socket.execute(&neighbour::delete_forwarding(&entry)).unwrap();
            assert_eq!(neighbour::dump_forwarding(&mut socket, link).unwrap(), []);
            assert!(socket.execute(&neighbour::delete_forwarding(&entry)).unwrap_err().is_not_found());
        });
    }
}

fn vxlan(socket: &mut Socket, underlay: Family) -> u32 {
    let settings = Vxlan { vni: 1107, port: 51822, learning: false, underlay, local: None };
    socket.execute(&link::create_vxlan("vx", &settings, 1400, MAC)).unwrap();
    let index = link::by_name(socket, "vx").unwrap().index;
    socket.execute(&link::change(index, "vx", &link::Change { up: Some(true), ..Default::default() })).unwrap();
    index
}
