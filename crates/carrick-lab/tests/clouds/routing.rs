//! Which packets arrive between nodes, routers and the internet.

use carrick_lab::address::Family;
use carrick_lab::capture::Capture;

use crate::{internal, is_cut_off, lab, public, reaches};

const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

#[test]
fn public_addresses_are_reached_from_everywhere() {
    let lab = lab("
        - {name: a, nodes: [{name: a1}, {name: a2}]}
        - {name: b, nodes: [{name: b1}]}
        - {name: home, router: nat, nodes: [{name: h1}]}
        - {name: cafe, router: symmetric, nodes: [{name: c1}]}");
    for from in lab.nodes() {
        for to in ["a1", "a2", "b1"] {
            for family in FAMILIES {
                let target = public(lab.node(to).unwrap(), family);
                assert!(reaches(&from.namespaces().unwrap(), target), "{} to {target}", from.name());
            }
        }
    }
}

#[test]
fn nodes_with_public_addresses_use_them_as_source() {
    let lab = lab("[{name: a, nodes: [{name: a1}]}, {name: b, nodes: [{name: b1}]}]");
    let a1 = lab.node("a1").unwrap();
    for family in FAMILIES {
        let target = public(lab.node("b1").unwrap(), family).to_string();
        let route = a1.exec(&["ip", "route", "get", &target]).unwrap();
        assert!(route.contains(&format!("src {}", public(a1, family))), "{route}");
    }
}

#[test]
fn private_addresses_do_not_cross_the_internet() {
    let lab = lab("
        - {name: a, nodes: [{name: a1}]}
        - {name: b, nodes: [{name: b1}]}
        - {name: home, router: nat, nodes: [{name: h1}]}");
    for (from, to) in [("a1", "b1"), ("h1", "b1"), ("a1", "h1")] {
        for family in FAMILIES {
            let from = lab.node(from).unwrap();
            let target = internal(lab.node(to).unwrap(), family);
            let before = lab.internet().dropped_private().unwrap();
            let uplink = &from.layout().location;
            let leaving = Capture::start(lab.internet().namespaces(), uplink, &format!("dst host {target}")).unwrap();
            assert!(is_cut_off(&from.namespaces().unwrap(), target), "{} to {target}", from.name());
            assert!(!leaving.stop().unwrap().is_empty(), "the internet's capture sees no packet to {target}");
            assert!(lab.internet().dropped_private().unwrap() > before, "the internet counts no packet to {target}");
        }
    }
}

#[test]
fn private_sources_do_not_cross_the_internet() {
    let lab = lab("[{name: a, nodes: [{name: a1}]}, {name: b, nodes: [{name: b1}]}]");
    let (a1, b1) = (lab.node("a1").unwrap(), lab.node("b1").unwrap());
    let arriving = Capture::start(&b1.namespaces().unwrap(), "eth0", "icmp").unwrap();
    let source = internal(a1, Family::V4).to_string();
    let target = public(b1, Family::V4).to_string();
    a1.exec(&["ping", "-c1", "-W1", "-I", &source, &target]).unwrap_err();
    a1.exec(&["ping", "-c1", "-W1", &target]).unwrap();
    let packets = arriving.stop().unwrap();
    assert!(!packets.is_empty());
    assert!(packets.iter().all(|packet| !packet.contains(&source)), "{packets:?}");
}

#[test]
fn a_location_reaches_itself_inside_and_between_subnets() {
    let lab = lab("[{name: a, subnets: [{}, {}], nodes: [{name: a1}, {name: a2}, {name: a3, subnet: 1}]}]");
    let a1 = lab.node("a1").unwrap();
    for (to, same_subnet) in [("a2", true), ("a3", false)] {
        for family in FAMILIES {
            let target = internal(lab.node(to).unwrap(), family);
            assert!(reaches(&a1.namespaces().unwrap(), target));
            let route = a1.exec(&["ip", "route", "get", &target.to_string()]).unwrap();
            assert_eq!(!route.contains("via"), same_subnet, "{route}");
        }
    }
}

#[test]
fn two_homes_may_have_the_same_numbers() {
    let lab = lab("
        - {name: x, router: nat, families: v4, subnets: [{v4: 192.168.1.0/24}], nodes: [{name: x1}, {name: x2}]}
        - {name: y, router: nat, families: v4, subnets: [{v4: 192.168.1.0/24}], nodes: [{name: y1}]}");
    let (x1, x2, y1) = (lab.node("x1").unwrap(), lab.node("x2").unwrap(), lab.node("y1").unwrap());
    assert_eq!(internal(x1, Family::V4), internal(y1, Family::V4));
    assert!(reaches(&x2.namespaces().unwrap(), internal(x1, Family::V4)));
    let arriving = Capture::start(&y1.namespaces().unwrap(), "eth0", "icmp").unwrap();
    assert!(reaches(&x2.namespaces().unwrap(), internal(x1, Family::V4)));
    assert_eq!(arriving.stop().unwrap(), Vec::<String>::new());
}

#[test]
fn a_device_answers_its_own_subnet_alone() {
    let lab = lab("
        - name: office
          router: nat
          subnets: [{}, {}]
          devices: [{name: printer}]
          nodes: [{name: o1}, {name: o2, subnet: 1}]");
    let (printer, _) = lab.site("office").unwrap().device("printer").unwrap();
    for family in FAMILIES {
        let target = printer.internal.of(family).unwrap();
        assert!(reaches(&lab.node("o1").unwrap().namespaces().unwrap(), target));
        assert!(is_cut_off(&lab.node("o2").unwrap().namespaces().unwrap(), target));
    }
}

#[test]
fn single_family_locations_have_nothing_of_the_other() {
    let lab = lab("[{name: old, families: v4, nodes: [{name: o1}]}, {name: new, families: v6, nodes: [{name: n1}]}]");
    let addresses = |node: &str, option: &str| {
        lab.node(node).unwrap().exec(&["ip", "-brief", option, "address", "show", "scope", "global"]).unwrap()
    };
    assert_eq!(addresses("o1", "-6"), "");
    assert_eq!(addresses("n1", "-4"), "");
    assert_ne!(addresses("o1", "-4"), "");
    assert_ne!(addresses("n1", "-6"), "");
}
