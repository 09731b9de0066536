use std::process::Command;

use carrick_netlink::Family;
use carrick_netlink::address::{self, Address};
use carrick_netlink::link::{self, Change};
use carrick_netlink::monitor::{Event, Group, Monitor, Verb};
use carrick_netlink::neighbour::{self, Neighbour};
use carrick_netlink::route::{self, Route};
use carrick_netlink::rule::{self, Rule};

use crate::namespace::{fresh, make_device, route_socket};

/// Reads notifications until one fits.
fn await_event(monitor: &mut Monitor, fits: impl Fn(&Event) -> bool) {
    loop {
        let events = monitor.wait().unwrap();
        assert!(!events.contains(&Event::Lost), "{events:?}");
        if events.iter().any(&fits) {
            return;
        }
    }
}

#[test]
fn every_change_is_told() {
    fresh(|| {
        let mut socket = route_socket();
        let mut monitor = Monitor::route(&Group::ALL).unwrap();
        assert_eq!(monitor.try_receive().unwrap(), None);

        let link = make_device(&mut socket, "d0");
        await_event(&mut monitor, |event| matches!(event, Event::Link(Verb::Set, l) if l.name == "d0" && l.up));

        for (own, destination, family) in
            [("10.4.0.1/32", "10.9.0.0/24", Family::V4), ("fdca::1/128", "fd09::/64", Family::V6)]
        {
            let address = Address::without_side_effects(link, own.parse().unwrap());
            socket.execute(&address::add(&address)).unwrap();
            await_event(&mut monitor, |event| *event == Event::Address(Verb::Set, address));

            let route = Route::through(destination.parse().unwrap(), 1107, 107, link);
            socket.execute(&route::add(&route)).unwrap();
            await_event(&mut monitor, |event| *event == Event::Route(Verb::Set, route));
            socket.execute(&route::delete(&route)).unwrap();
            await_event(&mut monitor, |event| *event == Event::Route(Verb::Deleted, route));

            let rule = Rule::new(family, 1107, 1107, 107);
            socket.execute(&rule::add(&rule)).unwrap();
            await_event(&mut monitor, |event| matches!(event, Event::Rule(Verb::Set, told) if told.rule == Some(rule)));
            socket.execute(&rule::delete(&rule)).unwrap();
            await_event(
                &mut monitor,
                |event| matches!(event, Event::Rule(Verb::Deleted, told) if told.rule == Some(rule)),
            );

            socket.execute(&address::delete(&address)).unwrap();
            await_event(&mut monitor, |event| *event == Event::Address(Verb::Deleted, address));
        }

        let mac = "02:00:00:00:00:09".parse().unwrap();
        let neighbour = Neighbour { link, address: "10.4.0.9".parse().unwrap(), mac };
        socket.execute(&neighbour::replace(&neighbour)).unwrap();
        await_event(&mut monitor, |event| *event == Event::Neighbour { link });

        socket.execute(&link::change(link, "d0", &Change { up: Some(false), ..Change::default() })).unwrap();
        await_event(&mut monitor, |event| matches!(event, Event::Link(Verb::Set, l) if l.name == "d0" && !l.up));
        socket.execute(&link::delete(link, "d0")).unwrap();
        await_event(&mut monitor, |event| matches!(event, Event::Link(Verb::Deleted, l) if l.name == "d0"));
    });
}

#[test]
fn committed_nftables_transaction_is_told() {
    fresh(|| {
        let mut monitor = Monitor::nftables().unwrap();
        assert!(Command::new("nft").args(["add", "table", "inet", "foreign"]).status().unwrap().success());
        await_event(&mut monitor, |event| matches!(event, Event::Nftables { generation: 1.., process: Some(_) }));
    });
}

#[test]
fn overflow_is_told_as_lost() {
    fresh(|| {
        let mut socket = route_socket();
        let mut monitor = Monitor::route(&[Group::RouteV4]).unwrap();
        let link = make_device(&mut socket, "d0");
        let route = Route::through("10.9.0.0/24".parse().unwrap(), 1107, 107, link);
        let turns: Vec<_> = (0..10_000).flat_map(|_| [route::add(&route), route::delete(&route)]).collect();
        assert!(socket.batch(&turns).iter().all(Result::is_ok));

        let mut lost = false;
        while let Some(events) = monitor.try_receive().unwrap() {
            lost |= events.contains(&Event::Lost);
        }
        assert!(lost);

        socket.execute(&route::add(&route)).unwrap();
        await_event(&mut monitor, |event| *event == Event::Route(Verb::Set, route));
    });
}
