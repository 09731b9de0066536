use carrick_netlink::Family;
use carrick_netlink::rule::{self, Mark, Rule};

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
                mark: Some(Mark { value: 0x1000, mask: 0x1000 }),
                invert: true,
            };
            let plain = Rule { priority: 1108, mark: None, invert: false, ..marked };
            for rule in [&marked, &plain] {
                socket.execute(&rule::add(rule)).unwrap();
                assert!(socket.execute(&rule::add(rule)).unwrap_err().is_exists());
            }
            let rules = rule::dump(&mut socket, family).unwrap();
            assert_eq!(rules.len(), kernels.len() + 2);
            assert!(rules.contains(&marked) && rules.contains(&plain), "{rules:?}");

            let other_mark = Rule { mark: Some(Mark { value: 0x2000, mask: 0x2000 }), ..marked };
            assert!(socket.execute(&rule::delete(&other_mark)).unwrap_err().is_not_found());
            socket.execute(&rule::delete(&marked)).unwrap();
            socket.execute(&rule::delete(&plain)).unwrap();
            assert_eq!(rule::dump(&mut socket, family).unwrap(), kernels);
        }
    });
}
