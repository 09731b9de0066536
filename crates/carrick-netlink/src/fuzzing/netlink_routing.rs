//! Answers and notifications of the routing subsystem: links, addresses, routes, rules, neighbours and queues.

use super::answer::{check_holds, frames, holds, received};
use crate::address::{self, Address, Role};
use crate::frame::Frame;
use crate::link::{self, LinkKind, Vxlan};
use crate::queue::{self, TokenBucket};
use crate::{neighbour, route, rule};
use carrick_types::MacAddress;

/// Reads `bytes` as a datagram of a routing socket.
///
/// # Panics
///
/// Something does not hold that must.
pub fn check(bytes: &[u8]) {
    for frame in frames(bytes) {
        match frame.message_type {
            link::RTM_NEWLINK | link::RTM_DELLINK => check_link(&frame),
            address::RTM_NEWADDR | address::RTM_DELADDR => check_address(&frame),
            route::RTM_NEWROUTE | route::RTM_DELROUTE => check_route(&frame),
            rule::RTM_NEWRULE | rule::RTM_DELRULE => check_rule(&frame),
            neighbour::RTM_NEWNEIGH | neighbour::RTM_DELNEIGH => check_neighbour(&frame),
            queue::RTM_NEWQDISC => check_queue(&frame),
            _ => {}
        }
    }
}

fn check_link(frame: &Frame<'_>) {
    let Some(link) = link::read(frame) else { return };
    assert!(!link.name.is_empty() && holds(frame.payload, link.name.as_bytes()), "{link:?}");
    assert!(link.mac.is_none_or(|mac| holds(frame.payload, &mac.0)), "{link:?}");
    assert!(link.alias.as_ref().is_none_or(|alias| holds(frame.payload, alias.as_bytes())), "{link:?}");
    let LinkKind::Vxlan(vxlan) = link.kind else { return };
    if let Some(local) = vxlan.local {
        check_holds(frame.payload, local);
    }
    let request = link::create_vxlan(&link.name, &vxlan, link.mtu, MacAddress([2; 6]));
    let again = link::read(&received(&request)).unwrap();
    assert_eq!((again.name, again.mtu, again.kind), (link.name, link.mtu, LinkKind::Vxlan(vxlan)));
    let Vxlan { underlay, local, .. } = vxlan;
    assert!(local.is_none_or(|local| local.is_ipv4() || underlay == crate::Family::V6), "{vxlan:?}");
}

fn check_address(frame: &Frame<'_>) {
    let Ok(Some(address)) = address::read(frame) else { return };
    check_holds(frame.payload, address.network.addr());
    let request = address::add(&address);
    let again = address::read(&received(&request)).unwrap();
    assert_eq!(again, Some(Address { unusable: false, role: Role::Primary, ..address }));
}

fn check_route(frame: &Frame<'_>) {
    let Ok(Some(route)) = route::read(frame) else { return };
    for address in [Some(route.destination.addr()), route.via, route.source].into_iter().flatten() {
        check_holds(frame.payload, address);
    }
    let request = route::add(&route);
    assert_eq!(route::read(&received(&request)).unwrap(), Some(route));
    let _ = route.to_string();
}

fn check_rule(frame: &Frame<'_>) {
    let Ok(Some(rule)) = rule::read(frame) else { return };
    let request = rule::add(&rule);
    assert_eq!(rule::read(&received(&request)).unwrap(), Some(rule));
}

fn check_neighbour(frame: &Frame<'_>) {
    if let Ok(Some(neighbour)) = neighbour::read(frame) {
        check_holds(frame.payload, neighbour.address);
        let request = neighbour::replace(&neighbour);
        assert_eq!(neighbour::read(&received(&request)).unwrap(), Some(neighbour));
    }
    if let Ok(Some(entry)) = neighbour::read_forwarding(frame) {
        check_holds(frame.payload, entry.destination);
        let request = neighbour::replace_forwarding(&entry);
        assert_eq!(neighbour::read_forwarding(&received(&request)).unwrap(), Some(entry));
    }
}

fn check_queue(frame: &Frame<'_>) {
    let index = frame.payload.get(4..8).and_then(|word| word.try_into().ok()).map_or(0, u32::from_ne_bytes);
    let Some(bound) = queue::read_root(frame.payload, index) else { return };
    assert_eq!(queue::read_root(frame.payload, !index), None, "a queue of another device");
    let bucket = TokenBucket { rate: bound.rate, burst: 1, limit: bound.limit };
    let request = queue::replace_root(index, "it", &bucket);
    assert_eq!(queue::read_root(&request.payload, index), Some(bound));
}
