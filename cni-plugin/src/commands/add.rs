//! ADD: attach a pod.

use std::net::IpAddr;

use carrick_netlink::Family;
use carrick_pods::firewall::Firewall;
use carrick_pods::ipam::{Pool, Record, Reservation, Store, pools};
use carrick_pods::node_data::NodeData;
use carrick_pods::pod_gateways::gateway;
use carrick_topology::constants::LEAST_DEVICE_MTU;
use serde_json::Value;

use super::del;
use crate::namespace::PodNamespace;
use crate::protocol::{Add, AddResult, Address, Code, Error, Interface, Requests, Route};
use crate::wiring::{Sockets, Wiring, default_network};

/// The index of the pod's interface in the result.
const POD_INTERFACE: usize = 1;

/// Attaches a pod: checks the call, reserves addresses, and configures devices and host ports. After a failure nothing remains.
///
/// # Errors
///
/// Every [`Code`] except those of CHECK and STATUS.
pub(super) fn add(call: Add) -> Result<AddResult, Error> {
    let Add { attachment, namespace, pod, requests, dns, run_directory } = call;
    let namespace = PodNamespace::open(&namespace)?;
    let node = NodeData::read(&run_directory)?;
    let pools = pools(&node.pod_cidrs)?;
    check_mtu(node.mtu, &pools)?;
    let families: Vec<Family> = pools.iter().map(Pool::family).collect();
    let host_ports = requests.host_ports(&families, node.wireguard_port)?;
    let mut sockets = Sockets::open(&namespace)?;
    let mut firewall = Firewall::open()?;

    let store = Store::under(&run_directory);
    let Requests { addresses, mac, ingress, egress, .. } = requests;
    let reservation = Reservation { attachment: attachment.clone(), pod, addresses, mac, host_ports, ingress, egress };
    let record = store.reserve(reservation, &pools)?;
    let connected = Wiring::of(&record, node.mtu).connect(&mut sockets, &namespace);
    let admitted = connected.and_then(|()| firewall.add_pod(&record, &store).map_err(Error::from));
    if let Err(mut error) = admitted {
        if let Err(again) = del::detach(&store, &attachment) {
            error.details.push_str(&format!("; and the clean-up failed: {again}"));
        }
        return Err(error);
    }
    Ok(result(&record, node.mtu, &namespace, dns))
}

/// The kernel disables IPv6 on devices with a smaller MTU than 1280 (RFC 8200 section 5).
fn check_mtu(mtu: u32, pools: &[Pool]) -> Result<(), Error> {
    if mtu < LEAST_DEVICE_MTU && pools.iter().any(|pool| pool.family() == Family::V6) {
        let details = format!("the MTU {mtu} is too small for IPv6; the minimum is {LEAST_DEVICE_MTU}");
        return Err(Error::new(Code::InvalidConfiguration, "the node's MTU is too small", details));
    }
    Ok(())
}

fn result(record: &Record, mtu: u32, namespace: &PodNamespace, dns: Option<Value>) -> AddResult {
    let host = Interface { name: record.device.clone(), mac: record.attachment.host_mac(), mtu, sandbox: None };
    let pod = Interface {
        name: record.attachment.interface.clone(),
        mac: record.pod_mac(),
        mtu,
        sandbox: Some(namespace.path().to_owned()),
    };
    AddResult {
        interfaces: vec![host, pod],
        addresses: record.addresses.iter().map(|address| pod_address(*address)).collect(),
        routes: record.addresses.iter().map(|address| default_route((*address).into())).collect(),
        dns,
    }
}

fn pod_address(address: IpAddr) -> Address {
    Address { network: address.into(), gateway: gateway(address.into()), interface: POD_INTERFACE }
}

fn default_route(family: Family) -> Route {
    Route { destination: default_network(family), gateway: gateway(family) }
}
