use carrick_netlink::Family;
use carrick_netlink::rule::{self, InputDevice, Mark, PacketOrigin, Rule};

use crate::namespace::{fresh, route_socket};

#[test]
fn rules_come_and_go_beside_the_kernels_own() {
    fresh(|| {
        let mut socket = route_socket();
        for family in Family::BOTH {
            let kernels = rule::dump(&mut socket, family).unwrap();
            let marked = Rule {
                family,
                priority: 1107,
                table: 1107,
                protocol: 107,
                origin: PacketOrigin::Any,
                udp_port: None,
                mark: Some(Mark { value: 0x1000, mask: 0x1000 }),
                invert: true,
            };
            let plain = Rule { priority: 1108, mark: None, invert: false, ..marked };
            let forwarded = Rule { priority: 1110, origin: PacketOrigin::Host, invert: true, ..plain };
            let own = Rule { priority: 1109, udp_port: Some(51823), invert: false, ..forwarded };
            let device = PacketOrigin::Device(InputDevice::new("carrick0").unwrap());
            let arriving = Rule { priority: 1104, origin: device, ..plain };
            for rule in [&marked, &plain, &forwarded, &own, &arriving] {
                socket.execute(&rule::add(rule)).unwrap();
                assert!(socket.execute(&rule::add(rule)).unwrap_err().is_exists());
            }
            let rules = rule::dump(&mut socket, family).unwrap();
            assert_eq!(rules.len(), kernels.len() + 5);
            assert!([marked, plain, forwarded, own, arriving].iter().all(|rule| rules.contains(rule)), "{rules:?}");

            let other_mark = Rule { mark: Some(Mark { value: 0x2000, mask: 0x2000 }), ..marked };
            assert!(socket.execute(&rule::delete(&other_mark)).unwrap_err().is_not_found());
            socket.execute(&rule::delete(&marked)).unwrap();
            for rule in [&forwarded, &own, &plain, &arriving] {
                socket.execute(&rule::delete(rule)).unwrap();
            }
            assert_eq!(rule::dump(&mut socket, family).unwrap(), kernels);
        }
    });
}
