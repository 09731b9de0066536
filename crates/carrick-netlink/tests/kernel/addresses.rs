use carrick_netlink::address::{self, Address, Role, Scope};
use carrick_netlink::route::{self, Filter};
use carrick_netlink::{Family, Socket};

use crate::namespace::{fresh, ip_command, make_device, route_socket};

/// The addresses of a device without the link-local one that the kernel adds itself.
fn addresses(socket: &mut Socket, link: u32) -> Vec<Address> {
    let mut addresses = address::dump(socket, Some(link)).unwrap();
    addresses.retain(|address| address.scope != Scope::Link);
    addresses.sort();
    addresses
}

#[test]
fn addresses_of_both_families_come_and_go() {
    fresh(|| {
        let mut socket = route_socket();
        let link = make_device(&mut socket, "d0");
        let other = make_device(&mut socket, "d1");
        let v4 = Address::without_side_effects(link, "10.4.0.7/32".parse().unwrap());
        let v6 = Address::without_side_effects(link, "fdca:7272:6963:6b00::7/128".parse().unwrap());
        let elsewhere = Address::without_side_effects(other, "10.4.0.8/32".parse().unwrap());
        for result in socket.batch(&[address::add(&v4), address::add(&v6), address::add(&elsewhere)]) {
            result.unwrap();
        }

        assert_eq!(addresses(&mut socket, link), [v4, v6], "usable at once, and of this device only");
        let all = address::dump(&mut socket, None).unwrap();
        assert!(all.contains(&elsewhere), "{all:?}");

        assert!(socket.execute(&address::add(&v4)).unwrap_err().is_exists());
        socket.execute(&address::delete(&v4)).unwrap();
        assert!(socket.execute(&address::delete(&v4)).unwrap_err().is_not_found());
        assert_eq!(addresses(&mut socket, link), [v6]);
    });
}

#[test]
fn prefix_route_comes_only_when_asked_for() {
    fresh(|| {
        let mut socket = route_socket();
        let link = make_device(&mut socket, "d0");
        let main = Filter { family: Family::V4, table: Some(254), protocol: None, device: Some(link) };

        let silent = Address::without_side_effects(link, "192.0.2.1/24".parse().unwrap());
        socket.execute(&address::add(&silent)).unwrap();
        assert_eq!(route::dump(&mut socket, &main).unwrap(), []);

        let network = "198.51.100.1/24".parse().unwrap();
        let ordinary = Address { no_prefix_route: false, network, ..silent };
        socket.execute(&address::add(&ordinary)).unwrap();
        let routes = route::dump(&mut socket, &main).unwrap();
        assert_eq!(routes.len(), 1);
        assert_eq!(routes[0].destination, network.trunc());
        assert!(
            !address::dump(&mut socket, Some(link)).unwrap().iter().any(|a| a.network == network && a.no_prefix_route)
        );
    });
}

/// The addresses of a device outside of the link-local network with their roles, in the kernel's order.
fn roles(socket: &mut Socket, link: u32) -> Vec<(String, Role)> {
    let all = address::dump(socket, Some(link)).unwrap();
    let own = all.into_iter().filter(|address| address.scope != Scope::Link);
    own.map(|address| (address.network.to_string(), address.role)).collect()
}

#[test]
fn the_kernel_tells_which_address_came_first_and_which_one_ends() {
    fresh(|| {
        let mut socket = route_socket();
        let link = make_device(&mut socket, "d0");
        for arguments in [
            "addr add 203.0.113.50/24 dev d0",
            "addr add 203.0.113.10/24 dev d0",
            "addr add 198.51.100.7/24 dev d0 preferred_lft 0",
            "addr add 2001:db8::50/64 dev d0 nodad",
            "addr add 2001:db8::10/64 dev d0 nodad",
            "addr add 2001:db8::9/64 dev d0 nodad preferred_lft 0",
        ] {
            ip_command(arguments);
        }
        let found = roles(&mut socket, link);
        let found: Vec<_> = found.iter().map(|(net, role)| (net.as_str(), *role)).collect();
        assert_eq!(
            found,
            [
                ("203.0.113.50/24", Role::Primary),
                ("198.51.100.7/24", Role::Deprecated),
                ("203.0.113.10/24", Role::Secondary),
                ("2001:db8::9/64", Role::Deprecated),
                ("2001:db8::10/64", Role::Primary),
                ("2001:db8::50/64", Role::Primary),
            ]
        );
    });
}
