use std::process::Command;

use carrick_netlink::Family;
use carrick_netlink::rule::{self, InputDevice, Mark, PacketOrigin, Rule, SelectionAction};

use crate::namespace::{fresh, route_socket};

#[test]
fn rules_come_and_go_beside_the_kernels_own() {
    fresh(|| {
        let mut socket = route_socket();
        for family in Family::BOTH {
            let kernels = rule::list(&mut socket, family).unwrap();
            let mark = Some(Mark { value: 0x1000, mask: 0x1000 });
            let marked = Rule { mark, invert: true, ..Rule::new(family, 1107, 1107, 107) };
            let plain = Rule { priority: 1108, mark: None, invert: false, ..marked };
            let forwarded = Rule { priority: 1110, origin: PacketOrigin::Host, invert: true, ..plain };
            let own = Rule { priority: 1109, udp_port: Some(51823), invert: false, ..forwarded };
            let device = PacketOrigin::Device(InputDevice::new("carrick0").unwrap());
            let arriving = Rule { priority: 1104, origin: device, ..plain };
            for rule in [&marked, &plain, &forwarded, &own, &arriving] {
                socket.execute(&rule::add(rule)).unwrap();
                assert!(socket.execute(&rule::add(rule)).unwrap_err().is_exists());
            }
            let rules = rule::list(&mut socket, family).unwrap();
            assert_eq!(rules.len(), kernels.len() + 5);
            assert!(
                [marked, plain, forwarded, own, arriving]
                    .iter()
                    .all(|rule| rules.iter().any(|listed| listed.rule == Some(*rule))),
                "{rules:?}"
            );

            let other_mark = Rule { mark: Some(Mark { value: 0x2000, mask: 0x2000 }), ..marked };
            assert!(socket.execute(&rule::delete(&other_mark)).unwrap_err().is_not_found());
            socket.execute(&rule::delete(&marked)).unwrap();
            for rule in [&forwarded, &own, &plain, &arriving] {
                socket.execute(&rule::delete(rule)).unwrap();
            }
            assert_eq!(rule::list(&mut socket, family).unwrap(), kernels);
        }
    });
}

#[test]
fn what_rules_of_other_programs_select_is_read() {
    fresh(|| {
        for (arguments, expected) in [
            ("lookup 200", Some("from all lookup 200")),
            ("from 10.0.0.0/8 to 10.42.0.0/16 lookup 1000", Some("from 10.0.0.0/8 to 10.42.0.0/16 lookup 1000")),
            ("iif lo lookup main suppress_prefixlength 0", Some("from all iif lo lookup 254 suppress_prefixlength 0")),
            ("not fwmark 0xca6c lookup 51820", Some("not from all fwmark 0xca6c/0xffffffff lookup 51820")),
            ("to 10.9.0.0/16 blackhole", Some("from all to 10.9.0.0/16 drop")),
            ("ipproto tcp dport 443 lookup 200", None),
            ("uidrange 1000-1000 lookup 200", None),
            ("oif eth7 lookup 200", None),
            ("tos 0x10 lookup 200", None),
            ("goto 32766", None),
        ] {
            let arguments = ["rule", "add", "priority", "77"].into_iter().chain(arguments.split(' '));
            assert!(Command::new("ip").args(arguments.clone()).status().unwrap().success(), "{arguments:?}");
            let rules = rule::list(&mut route_socket(), Family::V4).unwrap();
            let added = rules.iter().find(|rule| rule.priority == 77).unwrap();
            let selection = added.selection();
            assert_eq!(selection.as_ref().map(ToString::to_string).as_deref(), expected);
            let drops = selection.is_some_and(|selection| selection.action == SelectionAction::Drop);
            assert_eq!(drops, expected.is_some_and(|text| text.ends_with("drop")));
            route_socket().execute(&added.delete()).unwrap();
        }
    });
}
