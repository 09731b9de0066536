//! The table `inet carrick` of a plan: the sets come from the plan, the rules that use them are always the same.
//!
//! ```text
//! prerouting   decapsulate: an encapsulated packet of another gateway has an expected source
//! prerouting   source-check: packets of other nodes' pods come in by devices of the mesh, where no plain packets are expected
//! input        what pods and outside peers send to the ports of the mesh is dropped (chain mesh-ports)
//! input        VXLAN is accepted from the own location only, and through tunnels from the gateways that encapsulate
//! forward      VXLAN to a node of the location is forwarded only if it came in from the location
//! forward      what pods and outside peers send to the ports of the mesh is dropped (chain mesh-ports)
//! forward      TCP segments through the mesh fit the route's MTU
//! postrouting  leak-guard: nothing that the mesh carries leaves in clear
//! postrouting  leak-guard: this node's VXLAN leaves only by devices that lead into the location
//! postrouting  translate: which packets take this node's address
//! ```
//!
//! The leak guard comes before source NAT, so that a packet that it drops uses no port. The translation comes after priority `srcnat`, which
//! kube-proxy and egress gateways use: a packet that they translate keeps the source that they chose.

use std::collections::BTreeSet;
use std::net::IpAddr;

use carrick_netlink::Family;
use carrick_netlink::nftables::{
    AddressMatch, Chain, ChainKind, Hook, InterfaceMatch, Origin, Rule, Set, Table, Verdict, priority,
};
use carrick_topology::DeviceName;
use carrick_topology::model::AllowedLocationMasquerade;
use carrick_topology::plan::FirewallPlan;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::dropped::DropReason;
use super::name::table_name;

const UDP: u8 = 17;
const LOOPBACK: &str = "lo";
const MESH_DEVICES: &str = "mesh_devices";
/// The chain that protects the ports of the mesh.
const MESH_PORTS: &str = "mesh-ports";
/// The devices that carry internal addresses of this node.
const INTERNAL_DEVICES: &str = "internal_devices";
/// The devices by which packets of other locations come in.
const TUNNEL_DEVICES: &str = "tunnel_devices";

/// The table that a plan asks for.
#[must_use]
pub fn ruleset(plan: &FirewallPlan) -> Table {
    let name = table_name();
    let table = Table::new(name.family, name.name)
        .with_set(MESH_DEVICES, Set::interface_names(plan.mesh_devices.all().map(DeviceName::as_str)))
        .with_set(TUNNEL_DEVICES, Set::interface_names(plan.mesh_devices.tunnels().map(DeviceName::as_str)))
        .with_set(INTERNAL_DEVICES, Set::interface_names(plan.vxlan_devices.iter().flatten().map(DeviceName::as_str)))
        .with_chain("decapsulate", decapsulate(plan))
        .with_chain("source-check", source_check())
        .with_chain(MESH_PORTS, mesh_ports(plan))
        .with_chain("input", input(plan))
        .with_chain("forward", forward(plan))
        .with_chain("leak-guard", leak_guard(plan))
        .with_chain("translate", translate(plan));
    Family::BOTH.into_iter().fold(table, |table, version| with_sets(table, plan, version))
}

/// The name of each set of networks, in one version.
struct SetNames {
    mesh_port_addresses: String,
    mesh_port_senders: String,
    vxlan_sources: String,
    handover_senders: String,
    handover_sources: String,
    own_pods: String,
    mesh_addresses: String,
    carried: String,
    direct: String,
    encapsulated_sources: String,
    allowed_location: String,
    location_addresses: String,
}

impl SetNames {
    fn of(version: Family) -> Self {
        let name = |stem| versioned(stem, version);
        Self {
            mesh_port_addresses: name("mesh_port_addresses"),
            mesh_port_senders: name("mesh_port_senders"),
            vxlan_sources: name("vxlan_sources"),
            handover_senders: name("handover_senders"),
            handover_sources: name("handover_sources"),
            own_pods: name("own_pods"),
            mesh_addresses: name("mesh_addresses"),
            carried: name("carried"),
            direct: name("direct"),
            encapsulated_sources: name("encapsulated_sources"),
            allowed_location: name("allowed_location"),
            location_addresses: name("location_addresses"),
        }
    }
}

fn with_sets(table: Table, plan: &FirewallPlan, version: Family) -> Table {
    let names = SetNames::of(version);
    let table = table
        .with_set(names.mesh_port_addresses, networks(version, &plan.mesh_ports.addresses))
        .with_set(names.mesh_port_senders, networks(version, &plan.mesh_ports.senders))
        .with_set(names.vxlan_sources, addresses(version, &plan.vxlan_sources))
        .with_set(names.handover_senders, addresses(version, &plan.handover.senders))
        .with_set(names.handover_sources, networks(version, &plan.handover.sources))
        .with_set(names.own_pods, networks(version, &plan.own_pods))
        .with_set(names.mesh_addresses, addresses(version, &plan.mesh_addresses))
        .with_set(names.carried, networks(version, &plan.carried))
        .with_set(names.direct, networks(version, &plan.direct))
        .with_set(names.encapsulated_sources, networks(version, &plan.encapsulated_sources))
        .with_set(names.allowed_location, networks(version, &plan.allowed_location.destinations))
        .with_set(names.location_addresses, addresses(version, &plan.location_internal_addresses));
    let table = carriers(plan).into_iter().fold(table, |table, device| {
        let destinations = plan.carried_by.get(device).into_iter().flatten();
        table.with_set(carried_by(device, version), networks(version, destinations))
    });
    if version == Family::V4 {
        return table;
    }
    let narrow = |(segment, destinations)| (narrow_set(segment), networks(version, destinations));
    plan.narrow
        .iter()
        .map(|(segment, nets)| narrow((*segment, nets)))
        .fold(table, |table, (name, set)| table.with_set(name, set))
}

/// Drops and counts the packets that a rule selects.
fn dropped(rule: Rule, reason: DropReason) -> Rule {
    rule.counter().drop().comment(reason.comment())
}

/// Sends every UDP packet through the chain that protects the ports of the mesh.
fn to_mesh_ports() -> Rule {
    Rule::new().protocol(UDP).verdict(Verdict::Jump(MESH_PORTS.to_owned()))
}

/// Drops what pods and outside peers send to the ports of the mesh, on whichever node: see [`carrick_topology::plan::MeshPorts`].
fn mesh_ports(plan: &FirewallPlan) -> Chain {
    let rules = Family::BOTH.into_iter().flat_map(|version| {
        plan.mesh_ports.ports.iter().flat_map(move |port| {
            let names = SetNames::of(version);
            let to_port = || {
                let to_port = Rule::new().version(version).protocol(UDP).destination_port(*port);
                to_port.destination(version, AddressMatch::In(&names.mesh_port_addresses))
            };
            // A reply may go to such a port: its source is translated behind this chain.
            let dropped = |rule: Rule, reason| dropped(rule.is_no_reply(), reason);
            let from_pod = to_port().source(version, AddressMatch::In(&names.own_pods));
            let by_pod_device = plan
                .pod_device_prefix
                .as_ref()
                .map(|prefix| to_port().input_interface(InterfaceMatch::StartsWith(prefix)))
                .map(|rule| dropped(rule, DropReason::MeshPortFromPod));
            let from_mesh = to_port()
                .input_interface(InterfaceMatch::In(MESH_DEVICES))
                .source(version, AddressMatch::NotIn(&names.mesh_port_senders));
            by_pod_device.into_iter().chain([
                dropped(from_pod, DropReason::MeshPortFromPod),
                dropped(from_mesh, DropReason::MeshPortFromOutside),
            ])
        })
    });
    Chain::regular().with_rules(rules)
}

/// VXLAN out of the location's network: it comes in by a device that leads into the location.
fn vxlan_by_other_device(plan: &FirewallPlan) -> Option<Rule> {
    plan.vxlan_devices.as_ref()?;
    let vxlan = Rule::new().protocol(UDP).destination_port(plan.vxlan_port);
    let by_other_device = vxlan.input_interface(InterfaceMatch::NotIn(INTERNAL_DEVICES));
    Some(dropped(by_other_device, DropReason::VxlanByOtherDevice))
}

/// A packet that this node forwards to another node's VXLAN port could have any source.
fn vxlan_forwarded(plan: &FirewallPlan) -> Vec<Rule> {
    let rule = |version: Family| {
        let to_port = Rule::new().version(version).protocol(UDP).destination_port(plan.vxlan_port);
        let to_node = to_port.destination(version, AddressMatch::In(&SetNames::of(version).location_addresses));
        let from_elsewhere = to_node.input_interface(InterfaceMatch::NotIn(INTERNAL_DEVICES));
        dropped(from_elsewhere.is_no_reply(), DropReason::VxlanForwarded)
    };
    plan.vxlan_devices.iter().flat_map(|_| Family::BOTH.map(rule)).collect()
}

/// This node's own VXLAN, known by its network identifier (RFC 7348 §5), stays in the location's network, wherever the host's routes lead.
fn vxlan_out_by_other_device(plan: &FirewallPlan) -> Option<Rule> {
    plan.vxlan_devices.as_ref()?;
    let [_, identifier @ ..] = plan.vxlan_identifier.to_be_bytes();
    let vxlan = Rule::new().protocol(UDP).destination_port(plan.vxlan_port).udp_payload(4, &identifier);
    let out_by_other_device = vxlan.output_interface(InterfaceMatch::NotIn(INTERNAL_DEVICES));
    Some(dropped(out_by_other_device, DropReason::VxlanOutByOtherDevice))
}

fn input(plan: &FirewallPlan) -> Chain {
    let of_unknown = |version, port, set: &str, reason| {
        let to_port = Rule::new().version(version).protocol(UDP).destination_port(port);
        dropped(to_port.source(version, AddressMatch::NotIn(set)), reason)
    };
    let encapsulated = Rule::new().protocol(UDP).destination_port(plan.handover.port);
    let outside_tunnels = dropped(
        encapsulated.input_interface(InterfaceMatch::IsNot(plan.mesh_devices.wireguard.as_str())),
        DropReason::HandoverOutsideTunnels,
    );
    let rules = Family::BOTH.into_iter().flat_map(|version| {
        let names = SetNames::of(version);
        let to_other_address = Rule::new()
            .version(version)
            .protocol(UDP)
            .destination_port(plan.vxlan_port)
            .destination(version, AddressMatch::NotIn(&names.mesh_port_addresses));
        [
            // The kernel takes VXLAN at all addresses of the host, and a pod may send to those that no rule of its node protects.
            dropped(to_other_address, DropReason::VxlanToOtherAddress),
            of_unknown(version, plan.vxlan_port, &names.vxlan_sources, DropReason::VxlanFromOutsideLocation),
            of_unknown(version, plan.handover.port, &names.handover_senders, DropReason::HandoverFromUnknownGateway),
        ]
    });
    Chain::at(Hook::Input, ChainKind::Filter, priority::FILTER)
        .with_rules([to_mesh_ports(), outside_tunnels])
        .with_rules(vxlan_by_other_device(plan))
        .with_rules(rules)
}

/// Before connection tracking, which then need not know what is dropped.
fn decapsulate(plan: &FirewallPlan) -> Chain {
    let rules = Family::BOTH.map(|version| {
        let unexpected = Rule::new()
            .version(version)
            .input_interface(InterfaceMatch::Is(plan.mesh_devices.handover.as_str()))
            .source(version, AddressMatch::NotIn(&SetNames::of(version).handover_sources));
        dropped(unexpected, DropReason::HandoverUnexpectedSource)
    });
    Chain::at(Hook::Prerouting, ChainKind::Filter, priority::RAW).with_rules(rules)
}

/// A host on the network of the location could send packets in the name of any pod. Networks of this host stay reachable, whatever they
/// overlap. Before connection tracking, as in [`decapsulate`].
fn source_check() -> Chain {
    let rules = Family::BOTH.map(|version| {
        let names = SetNames::of(version);
        let forged = Rule::new()
            .version(version)
            .input_interface(InterfaceMatch::NotIn(MESH_DEVICES))
            .source(version, AddressMatch::In(&names.encapsulated_sources))
            .source(version, AddressMatch::In(&names.carried))
            .source(version, AddressMatch::NotIn(&names.direct));
        dropped(forged, DropReason::MeshSourceByOtherDevice)
    });
    Chain::at(Hook::Prerouting, ChainKind::Filter, priority::RAW).with_rules(rules)
}

/// The name of the set of destinations that take segments of this size.
fn narrow_set(segment: u16) -> String {
    format!("segments_{segment}")
}

/// TCP over IPv6 through tunnels that take less than an IPv6 route can say.
fn narrow(segment: u16) -> [Rule; 2] {
    let set = narrow_set(segment);
    let rule = || Rule::new().version(Family::V6);
    let limit = |rule: Rule| rule.opens_tcp().limit_segment_size(segment).comment("narrow tunnel");
    let mesh = InterfaceMatch::In(MESH_DEVICES);
    [
        limit(rule().output_interface(mesh).destination(Family::V6, AddressMatch::In(&set))),
        limit(rule().input_interface(mesh).source(Family::V6, AddressMatch::In(&set))),
    ]
}

fn forward(plan: &FirewallPlan) -> Chain {
    let mesh = InterfaceMatch::In(MESH_DEVICES);
    let clamp = |rule: Rule| rule.opens_tcp().clamp_segment_size();
    Chain::at(Hook::Forward, ChainKind::Filter, priority::MANGLE)
        .with_rules([to_mesh_ports()])
        .with_rules(vxlan_forwarded(plan))
        .with_rules([
            clamp(Rule::new().output_interface(mesh)).comment("into the mesh"),
            clamp(Rule::new().input_interface(mesh)).comment("out of the mesh"),
        ])
        .with_rules(plan.narrow.keys().flat_map(|segment| narrow(*segment)))
}

fn leak_guard(plan: &FirewallPlan) -> Chain {
    let always = [
        Rule::new().output_interface(InterfaceMatch::Is(LOOPBACK)).accept(),
        Rule::new()
            .protocol(UDP)
            .mark(plan.firewall_mark, plan.firewall_mark)
            .accept()
            .comment("WireGuard's own packets"),
    ];
    Chain::at(Hook::Postrouting, ChainKind::Filter, priority::SOURCE_NAT - 1)
        .with_rules(always)
        .with_rules(vxlan_out_by_other_device(plan))
        .with_rules(Family::BOTH.into_iter().flat_map(|version| leak_guard_rules(plan, version)))
}

fn leak_guard_rules(plan: &FirewallPlan, version: Family) -> Vec<Rule> {
    let names = SetNames::of(version);
    let to = |set| Rule::new().version(version).destination(version, AddressMatch::In(set));
    let stray_pods = plan.pod_device_prefix.iter().map(|prefix| {
        let stray = to(&names.own_pods).output_interface(InterfaceMatch::StartsNotWith(prefix));
        dropped(stray, DropReason::OwnPodByOtherDevice)
    });
    let permitted = carriers(plan).into_iter().map(|device| {
        Rule::new()
            .version(version)
            .output_interface(InterfaceMatch::Is(device.as_str()))
            .destination(version, AddressMatch::In(&carried_by(device, version)))
            .accept()
    });
    stray_pods
        .chain([to(&names.own_pods).accept(), to(&names.direct).accept()])
        .chain(permitted)
        .chain([dropped(to(&names.carried), DropReason::MeshDestinationInClear)])
        .collect()
}

fn translate(plan: &FirewallPlan) -> Chain {
    let rules = Family::BOTH.into_iter().flat_map(|version| {
        let mut rules = leaving_for_location(plan, version);
        rules.extend(leaving_pods(version));
        rules.extend(own_flows(plan, version));
        rules
    });
    Chain::at(Hook::Postrouting, ChainKind::Nat, priority::SOURCE_NAT + 1).with_rules(rules)
}

/// What leaves the mesh here for networks or nodes of this location.
fn leaving_for_location(plan: &FirewallPlan, version: Family) -> Vec<Rule> {
    let names = SetNames::of(version);
    let leaving = || Rule::new().version(version).output_interface(InterfaceMatch::NotIn(MESH_DEVICES));
    let to_network = |rule: Rule| {
        let rule = rule.destination(version, AddressMatch::In(&names.allowed_location));
        match plan.allowed_location.masquerade {
            AllowedLocationMasquerade::On => rule.masquerade().comment("network of the location"),
            AllowedLocationMasquerade::Off => {
                rule.verdict(Verdict::Return).comment("network of the location keeps the source")
            }
        }
    };
    let from = |set| leaving().source(version, AddressMatch::In(set));
    vec![
        to_network(leaving().input_interface(InterfaceMatch::In(MESH_DEVICES))),
        to_network(from(&names.own_pods)),
        to_network(from(&names.carried)),
        leaving()
            .input_interface(InterfaceMatch::In(TUNNEL_DEVICES))
            .destination(version, AddressMatch::In(&names.location_addresses))
            .masquerade()
            .comment("node of the location"),
    ]
}

/// Pods that leave for somewhere the mesh does not carry.
fn leaving_pods(version: Family) -> [Rule; 2] {
    let names = SetNames::of(version);
    let pods = || {
        Rule::new()
            .version(version)
            .source(version, AddressMatch::In(&names.own_pods))
            .destination(version, AddressMatch::NotIn(&names.own_pods))
    };
    [
        pods().destination(version, AddressMatch::NotIn(&names.carried)).masquerade().comment("pods leave the mesh"),
        pods().destination(version, AddressMatch::In(&names.direct)).masquerade().comment("pods leave beside the mesh"),
    ]
}

/// The host's own flows into the mesh.
fn own_flows(plan: &FirewallPlan, version: Family) -> Option<Rule> {
    let names = SetNames::of(version);
    let address = plan.mesh_addresses.iter().find(|address| Family::of(address) == version)?;
    Some(
        Rule::new()
            .version(version)
            .origin(Origin::Local)
            .output_interface(InterfaceMatch::In(MESH_DEVICES))
            .source(version, AddressMatch::NotIn(&names.mesh_addresses))
            .source(version, AddressMatch::NotIn(&names.own_pods))
            .source_nat(*address)
            .comment("the host's own flows"),
    )
}

fn versioned(stem: &str, version: Family) -> String {
    match version {
        Family::V4 => format!("{stem}4"),
        Family::V6 => format!("{stem}6"),
    }
}

/// The name of the set of what may leave by a device. Characters that `nft` could not read back are written as
/// their number, and so is the one that marks them, so that no two devices share a name.
fn carried_by(device: &DeviceName, version: Family) -> String {
    let mut stem = "carried_by_".to_owned();
    for character in device.as_str().chars() {
        match character {
            '-' | '.' | '0'..='9' | 'A'..='Z' | 'a'..='z' => stem.push(character),
            other => stem.push_str(&format!("_{:x}_", u32::from(other))),
        }
    }
    stem.push('_');
    versioned(&stem, version)
}

/// The devices that may carry what the mesh carries. The mesh's own are always there, so that routes that come and go change elements
/// alone.
fn carriers(plan: &FirewallPlan) -> BTreeSet<&DeviceName> {
    plan.mesh_devices.all().into_iter().chain(plan.carried_by.keys()).collect()
}

fn networks<'a>(version: Family, all: impl IntoIterator<Item = &'a IpNet>) -> Set {
    let all = all.into_iter();
    match version {
        Family::V4 => Set::ipv4_networks(all.filter_map(|network| match network {
            IpNet::V4(network) => Some(*network),
            IpNet::V6(_) => None,
        })),
        Family::V6 => Set::ipv6_networks(all.filter_map(|network| match network {
            IpNet::V4(_) => None,
            IpNet::V6(network) => Some(*network),
        })),
    }
}

fn addresses<'a>(version: Family, all: impl IntoIterator<Item = &'a IpAddr>) -> Set {
    let all = all.into_iter();
    match version {
        Family::V4 => Set::ipv4_networks(all.filter_map(|address| match address {
            IpAddr::V4(address) => Some(Ipv4Net::from(*address)),
            IpAddr::V6(_) => None,
        })),
        Family::V6 => Set::ipv6_networks(all.filter_map(|address| match address {
            IpAddr::V4(_) => None,
            IpAddr::V6(address) => Some(Ipv6Net::from(*address)),
        })),
    }
}
