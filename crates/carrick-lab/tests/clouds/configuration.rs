//! The networks' configuration, read by `ip`.

use carrick_lab::namespace::{Namespaces, network_path};
use carrick_lab::network;
use serde_json::Value;

use crate::lab;

fn read(namespaces: &Namespaces, words: &[&str]) -> Vec<Value> {
    let text = namespaces.exec(&[&["ip", "-json", "-details"], words].concat()).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn devices_have_the_described_mtu_and_mac_addresses() {
    let lab = lab("[{name: a, mtu: 1400, nodes: [{name: a1}]}]");
    let (router, node) = (lab.site("a").unwrap().router(), lab.node("a1").unwrap().namespaces().unwrap());
    for (namespaces, device) in [(router, "wan0"), (lab.internet().namespaces(), "a")] {
        assert_eq!(read(namespaces, &["link", "show", device])[0]["mtu"], 1400, "{device}");
    }
    let eth0 = &read(&node, &["link", "show", "eth0"])[0];
    assert_eq!((&eth0["address"], &eth0["mtu"]), (&"02:00:00:00:00:0b".into(), &1500.into()));
    let bridge = &read(router, &["link", "show", "lan0"])[0];
    assert_eq!(bridge["address"], "02:00:00:00:00:01");
    assert_eq!(bridge["linkinfo"]["info_data"]["mcast_snooping"], 0);
    assert_eq!(read(router, &["link", "show", "a1"])[0]["master"], "lan0");
}

#[test]
fn addresses_are_usable_at_once_and_a_public_one_adds_no_subnet() {
    let lab = lab("[{name: a, nodes: [{name: a1}]}]");
    let node = lab.node("a1").unwrap().namespaces().unwrap();
    let eth0 = &read(&node, &["address", "show", "eth0"])[0];
    for address in eth0["addr_info"].as_array().unwrap().iter().filter(|address| address["scope"] == "global") {
        assert_eq!(address["nodad"].as_bool().unwrap_or(false), address["family"] == "inet6", "{address}");
        assert_eq!(
            address["noprefixroute"].as_bool().unwrap_or(false),
            address["local"] == "198.51.100.2",
            "{address}"
        );
    }
    let routes = read(&node, &["-4", "route", "show"]);
    let destinations: Vec<_> = routes.iter().map(|route| route["dst"].as_str().unwrap()).collect();
    assert_eq!(destinations, ["default", "10.10.0.0/24"]);
    assert_eq!((&routes[0]["protocol"], &routes[0]["prefsrc"]), (&"boot".into(), &"198.51.100.2".into()));
    assert_eq!(routes[0]["flags"], serde_json::json!(["onlink"]));
}

#[test]
fn an_error_names_the_namespace_and_the_object() {
    let lab = lab("[{name: a, nodes: [{name: a1}]}]");
    let node = lab.node("a1").unwrap().namespaces().unwrap();
    let error = network::configure(&node, |kernel| kernel.set_up("eth7")).unwrap_err();
    let text = format!("{error:#}");
    assert!(text.starts_with("a1: set eth7 up: ") && text.contains("No such device"), "{text}");
    network::configure(&node, |kernel| kernel.delete_link("eth7")).unwrap();
}

#[test]
fn a_network_namespace_is_made_and_removed() {
    let lab = lab("[{name: a, nodes: [{name: a1}]}]");
    let node = lab.node("a1").unwrap();
    let (namespaces, path) = (node.namespaces().unwrap(), network_path("extra"));
    namespaces.make_network(&path).unwrap();
    assert_eq!(node.exec(&["ip", "netns"]).unwrap().trim(), "extra");
    assert_eq!(node.exec(&["ip", "netns", "exec", "extra", "ls", "/sys/class/net"]).unwrap().trim(), "lo");
    namespaces.make_network(&path).unwrap_err();
    namespaces.remove_network(&path).unwrap();
    assert_eq!(node.exec(&["ip", "netns"]).unwrap(), "");
}
