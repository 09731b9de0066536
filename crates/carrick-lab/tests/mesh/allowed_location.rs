//! Devices in a location's network that are not part of the mesh.

use carrick_lab::address::Family;
use carrick_lab::capture::Capture;
use carrick_lab::ping;

use crate::mesh::{Mesh, reaches};

/// The node `a2` declares the printers' subnet. It is attached to the subnet, and it is not the gateway.
const PRINTER: &str = "
locations:
  - name: a
    subnets: [{}, {}]
    devices: [{name: printer, subnet: 1}]
    nodes:
      - {name: a1}
      - {name: a2, subnet: 1, annotations: {carrick.dev/allowed-location-cidrs: '10.10.1.0/24, fd00:10:1::/64'}}
  - {name: b, nodes: [{name: b1}]}
  - {name: home, router: nat, nodes: [{name: h1, annotations: {carrick.dev/persistent-keepalive: '25'}}]}
";

#[test]
fn a_printer_without_a_route_back_is_reached_from_everywhere() {
    let mesh = Mesh::up(PRINTER);
    mesh.all_reach();
    let (layout, printer) = mesh.site("a").unwrap().device("printer").unwrap();
    for family in [Family::V4, Family::V6] {
        let target = layout.internal.of(family).unwrap();
        let requests = format!("dst host {target} and (icmp[icmptype] = icmp-echo or icmp6[icmp6type] = 128)");
        let requests = Capture::start(printer, "eth0", &requests).unwrap();
        for from in mesh.all_endpoints() {
            assert!(reaches(&from.namespaces, target), "{} does not reach {target}", from.name);
            assert!(ping::once(&from.namespaces, target, std::time::Duration::from_secs(5)).unwrap().is_some());
        }
        let exit = format!(" {} > ", mesh.internal_address("a2", family));
        let seen = requests.stop().unwrap();
        assert!(!seen.is_empty() && seen.iter().all(|packet| packet.contains(&exit)), "not all from{exit}: {seen:#?}");
    }
}
