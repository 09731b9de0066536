//! ADD: attach a pod.

use std::net::IpAddr;

use carrick_netlink::Family;
use carrick_topology::contract::LEAST_DEVICE_MTU;

use crate::commands::{attachment, del};
use crate::firewall::Firewall;
use crate::ipam::{Pool, Reservation, Store, pools};
use crate::namespace::PodNamespace;
use crate::node_data::NodeData;
use crate::protocol::{AddResult, Address, Code, Configuration, Environment, Error, Interface, Requests, Route};
use crate::wiring::{Sockets, Wiring, default_network, gateway};

/// The place of the pod's device in the result.
const POD_INTERFACE: usize = 1;

/// Attaches a pod: checks everything, reserves addresses, wires. A failure leaves nothing behind.
///
/// # Errors
///
/// Any of [`Code`], except CHECK's and STATUS's.
pub(super) fn add(environment: &Environment, configuration: &Configuration) -> Result<AddResult, Error> {
    configuration.require_first()?;
    let attachment = attachment(environment, configuration)?;
    let namespace = PodNamespace::open(&environment.namespace()?)?;
    let requests = configuration.requests()?;
    let node = NodeData::read(&configuration.run_directory)?;
    let pools = pools(&node.pod_cidrs)?;
    check_mtu(node.mtu, &pools)?;
    let families: Vec<Family> = pools.iter().map(Pool::family).collect();
    let host_ports = requests.host_ports(&families)?;
    let mut sockets = Sockets::open(&namespace)?;
    let mut firewall = Firewall::open()?;

    let store = Store::under(&configuration.run_directory);
    let Requests { addresses, mac, ingress, egress, .. } = requests;
    let pod = environment.pod_name();
    let reservation = Reservation { attachment: attachment.clone(), pod, addresses, mac, host_ports };
    let record = store.reserve(reservation, &pools)?;
    let wiring = Wiring::of(&record, node.mtu).limited(ingress, egress);
    let connected = wiring.connect(&mut sockets, &namespace);
    let admitted = connected.and_then(|()| firewall.admit(&record, &store).map_err(Error::from));
    if let Err(mut error) = admitted {
        if let Err(again) = del::detach(&store, &attachment) {
            error.details.push_str(&format!("; and it could not be undone: {again}"));
        }
        return Err(error);
    }
    Ok(result(&wiring, &namespace, configuration))
}

/// The kernel has no IPv6 on devices with less.
fn check_mtu(mtu: u32, pools: &[Pool]) -> Result<(), Error> {
    if mtu < LEAST_DEVICE_MTU && pools.iter().any(|pool| pool.family() == Family::V6) {
        let details = format!("an MTU of {mtu} is too small for IPv6, which needs {LEAST_DEVICE_MTU}");
        return Err(Error::new(Code::InvalidConfiguration, "the node's MTU is unusable", details));
    }
    Ok(())
}

fn result(wiring: &Wiring, namespace: &PodNamespace, configuration: &Configuration) -> AddResult {
    let host = Interface { name: wiring.host_device.clone(), mac: wiring.host_mac, mtu: wiring.mtu, sandbox: None };
    let pod = Interface {
        name: wiring.pod_device.clone(),
        mac: wiring.pod_mac,
        mtu: wiring.mtu,
        sandbox: Some(namespace.path().to_owned()),
    };
    AddResult {
        interfaces: vec![host, pod],
        addresses: wiring.addresses.iter().map(|address| pod_address(*address)).collect(),
        routes: wiring.addresses.iter().map(|address| default_route((*address).into())).collect(),
        dns: configuration.dns.clone(),
    }
}

fn pod_address(address: IpAddr) -> Address {
    Address { network: address.into(), gateway: gateway(address.into()), interface: POD_INTERFACE }
}

fn default_route(family: Family) -> Route {
    Route { destination: default_network(family), gateway: gateway(family) }
}
