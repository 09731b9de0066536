//! The table `inet carrick` of a plan: the sets come from the plan, the rules that use them are always the same.
//!
//! ```text
//! prerouting   decapsulate: an encapsulated packet of another gateway has an expected source
//! prerouting   source-check: packets of other nodes' pods come in by devices of the mesh, where no plain packets are expected
//! prerouting   source-check: containers of other programs send with no source of the mesh (chain container-sources)
//! prerouting   untracked: what this node only forwards between other nodes, and VXLAN for this node, is not tracked as a connection
//! output       untracked-output: neither is VXLAN of this node
//! input        what pods and outside peers send to the ports of the mesh is dropped (chain mesh-ports)
//! input        no message says that a packet of the mesh is too large (chain path-mtu)
//! input        VXLAN is accepted from the own location only, at internal addresses, and through tunnels from the gateways that encapsulate
//! forward      nothing is forwarded to a VXLAN port of a node or in the network of the location, unless nodes of the mesh sent it
//! forward      what pods and outside peers send to the ports of the mesh is dropped (chain mesh-ports)
//! forward      TCP segments through the mesh fit the route's MTU
//! postrouting  leak-guard: nothing that the mesh carries leaves in clear
//! postrouting  leak-guard: this node's VXLAN leaves only by devices that lead into the location
//! postrouting  translate: which packets take this node's address
//! postrouting  translated: nothing leaves the mesh with the source of a pod that the translation has not changed
//! postrouting  translated: no source is translated to a port of the mesh, so nothing that goes there is an answer
//! ```
//!
//! The leak guard comes before source NAT, so that a packet that it drops uses no port. The translation comes after priority `srcnat`, which
//! kube-proxy and egress gateways use: a packet that they translate keeps the source that they chose.

mod containers;
mod masquerade;
mod path_mtu;
mod sets;
mod untracked;
mod vxlan;

use carrick_netlink::Family;
use carrick_netlink::nftables::{
    AddressMatch, Chain, ChainKind, ConntrackState, Hook, InterfaceMatch, Origin, Rule, Table, UDP, Verdict, priority,
};
use carrick_topology::model::AllowedLocationMasquerade;
use carrick_topology::plan::{FirewallPlan, MeshPorts};

use self::masquerade::{first_of, masqueraded};
use self::sets::{MESH_DEVICES, SetNames, TUNNEL_DEVICES, carried_by, carriers, narrow_set, with_sets};
use super::dropped::{DropReason, dropped};
use super::name::table_name;

const LOOPBACK: &str = "lo";
/// The chain that protects the ports of the mesh.
const MESH_PORTS: &str = "mesh-ports";
/// The table that a plan asks for.
#[must_use]
pub fn ruleset(plan: &FirewallPlan) -> Table {
    let name = table_name();
    let table = Table::new(name.family, name.name)
        .with_chain("decapsulate", decapsulate(plan))
        .with_chain("source-check", source_check(plan))
        .with_chain(containers::CHAIN, containers::chain(plan))
        .with_chain("untracked", untracked::received(plan))
        .with_chain("untracked-output", untracked::sent(plan))
        .with_chain(MESH_PORTS, mesh_ports(plan))
        .with_chain(path_mtu::CHAIN, path_mtu::chain(plan))
        .with_chain("input", input(plan))
        .with_chain("forward", forward(plan))
        .with_chain("leak-guard", leak_guard(plan))
        .with_chain("translate", translate(plan))
        .with_chain("translated", translated(plan));
    with_sets(table, plan)
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
            // A Service whose back end is such a port. WireGuard authenticates its packets itself, and a router in front of it may translate.
            let translated = MeshPorts::BESIDES_WIREGUARD
                .contains(port)
                .then(|| dropped(to_port().destination_was_translated(), DropReason::MeshPortTranslated));
            let from_pod = to_port().source(version, AddressMatch::In(&names.own_pods));
            let by_pod_device = plan
                .pod_device_prefix
                .as_ref()
                .map(|prefix| to_port().input_interface(InterfaceMatch::StartsWith(prefix)))
                .map(|rule| dropped(rule, DropReason::MeshPortFromPod));
            let from_mesh = to_port()
                .input_interface(InterfaceMatch::In(MESH_DEVICES))
                .source(version, AddressMatch::NotIn(&names.mesh_port_senders));
            by_pod_device.into_iter().chain(translated).chain([
                dropped(from_pod, DropReason::MeshPortFromPod),
                dropped(from_mesh, DropReason::MeshPortFromOutside),
            ])
        })
    });
    Chain::regular().with_rules(rules)
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
        [
            vxlan::to_other_address(plan, version),
            of_unknown(version, plan.vxlan_port, &names.vxlan_sources, DropReason::VxlanFromOutsideLocation),
            of_unknown(version, plan.handover.port, &names.handover_senders, DropReason::HandoverFromUnknownGateway),
        ]
    });
    Chain::at(Hook::Input, ChainKind::Filter, priority::FILTER)
        .with_rules([to_mesh_ports(), outside_tunnels])
        .with_rules(vxlan::by_other_device(plan))
        .with_rules(path_mtu::jumps())
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

/// A host on the network of the location could send packets in the name of this node or of any pod. Those of this node's pods come in by their devices, those of
/// other nodes' pods by devices of the mesh. Networks of this host stay reachable, whatever they
/// overlap. Before connection tracking, as in [`decapsulate`].
fn source_check(plan: &FirewallPlan) -> Chain {
    let own_pods = plan.pod_device_prefix.iter().flat_map(|prefix| {
        Family::BOTH.map(|version| {
            let by_other_device = Rule::new()
                .version(version)
                .input_interface(InterfaceMatch::StartsNotWith(prefix))
                .source(version, AddressMatch::In(&SetNames::of(version).own_pods));
            dropped(by_other_device, DropReason::OwnPodSourceByOtherDevice)
        })
    });
    // IPv4 drops packets from outside with a source of the host itself; IPv6 does not.
    let of_this_node = Family::BOTH.into_iter().flat_map(|version| {
        let names = SetNames::of(version);
        [names.mesh_addresses, names.internal_sources].map(|own| {
            let by_other_device = Rule::new()
                .version(version)
                .input_interface(InterfaceMatch::IsNot(LOOPBACK))
                .source(version, AddressMatch::In(&own));
            dropped(by_other_device, DropReason::OwnSourceByOtherDevice)
        })
    });
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
    Chain::at(Hook::Prerouting, ChainKind::Filter, priority::RAW)
        .with_rules(own_pods)
        .with_rules(of_this_node)
        .with_rules(rules)
        .with_rules(containers::jumps(plan))
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
        .with_rules(vxlan::forwarded(plan))
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
        .with_rules(vxlan::out_by_other_device(plan))
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
    // A network of the host, which a neighbour may have taught it, takes no packet of pods to other pods: neither if it is inside a network
    // that the mesh carries, nor if it contains one, which the mesh does not carry then.
    let pods_in_clear = to(&names.encapsulated_sources)
        .source(version, AddressMatch::In(&names.own_pods))
        .output_interface(InterfaceMatch::NotIn(MESH_DEVICES));
    stray_pods
        .chain([to(&names.own_pods).accept(), dropped(pods_in_clear, DropReason::MeshDestinationInClear)])
        .chain([to(&names.direct).accept()])
        .chain(permitted)
        .chain([dropped(to(&names.carried), DropReason::MeshDestinationInClear)])
        .collect()
}

/// What leaves the mesh with the source of a pod after the translation of sources. The kernel translates only what belongs to a connection, and
/// a connection that began before its destination left the mesh keeps its source. Another plugin may carry packets between its pods
/// without tracking them.
fn untranslated(plan: &FirewallPlan, version: Family) -> Vec<Rule> {
    let names = SetNames::of(version);
    let leaving = leaving(version).map(|rule| {
        let by_host = rule.output_interface(InterfaceMatch::NotIn(MESH_DEVICES));
        match plan.allowed_location.masquerade {
            AllowedLocationMasquerade::On => by_host,
            AllowedLocationMasquerade::Off => {
                by_host.destination(version, AddressMatch::NotIn(&names.allowed_location))
            }
        }
    });
    let rules = leaving.into_iter().flat_map(|rule| match plan.pod_device_prefix {
        Some(_) => {
            let untracked = [ConntrackState::Invalid, ConntrackState::Untracked];
            vec![rule.clone().connection_state(&untracked), rule.is_no_reply()]
        }
        None => vec![rule.connection_state(&[ConntrackState::Invalid])],
    });
    rules.map(|rule| dropped(rule, DropReason::OwnPodSourceUntranslated)).collect()
}

/// What pods of this node send out of the mesh: to destinations that the mesh does not carry, and to those that are reached beside the mesh.
fn leaving(version: Family) -> [Rule; 2] {
    let names = SetNames::of(version);
    let pods = || {
        Rule::new()
            .version(version)
            .source(version, AddressMatch::In(&names.own_pods))
            .destination(version, AddressMatch::NotIn(&names.own_pods))
    };
    let not_carried = pods().destination(version, AddressMatch::NotIn(&names.carried));
    [not_carried, pods().destination(version, AddressMatch::In(&names.direct))]
}

fn translate(plan: &FirewallPlan) -> Chain {
    let rules = Family::BOTH.into_iter().flat_map(|version| {
        let mut rules = leaving_for_location(plan, version);
        rules.extend(leaving_pods(plan, version));
        rules.extend(own_flows(plan, version));
        rules.extend(untracked::redirected(plan, version));
        rules
    });
    Chain::at(Hook::Postrouting, ChainKind::Nat, priority::SOURCE_NAT + 1).with_rules(rules)
}

/// What the translation of sources has made or left. Packets of pods that leave the mesh untranslated are dropped. If the translation has chosen a
/// port of the mesh, the first packet is dropped, and its repetition gets another port. So a packet to such a port is never an answer, which the chain
/// [`MESH_PORTS`] relies on.
fn translated(plan: &FirewallPlan) -> Chain {
    let rules = plan.mesh_ports.ports.iter().map(|port| {
        let first = Rule::new().protocol(UDP).source_port(*port).origin(Origin::Received).is_no_reply();
        dropped(first.source_was_translated(), DropReason::MeshPortAsSource)
    });
    let untranslated = Family::BOTH.into_iter().flat_map(|version| untranslated(plan, version));
    Chain::at(Hook::Postrouting, ChainKind::Filter, priority::SOURCE_NAT + 2).with_rules(rules).with_rules(untranslated)
}

/// What leaves the mesh here for networks or nodes of this location.
fn leaving_for_location(plan: &FirewallPlan, version: Family) -> Vec<Rule> {
    let names = SetNames::of(version);
    let leaving = || Rule::new().version(version).output_interface(InterfaceMatch::NotIn(MESH_DEVICES));
    let to_network = |rule: Rule| {
        let rule = rule.destination(version, AddressMatch::In(&names.allowed_location));
        match plan.allowed_location.masquerade {
            AllowedLocationMasquerade::On => masqueraded(plan, version, &rule, "network of the location"),
            AllowedLocationMasquerade::Off => {
                vec![rule.verdict(Verdict::Return).comment("network of the location keeps the source")]
            }
        }
    };
    let from = |set| leaving().source(version, AddressMatch::In(set));
    let networks = [
        to_network(leaving().input_interface(InterfaceMatch::In(MESH_DEVICES))),
        to_network(from(&names.own_pods)),
        to_network(from(&names.carried)),
    ];
    networks.into_iter().flatten().chain(to_nodes_of_location(plan, version)).collect()
}

/// What comes out of tunnels for nodes of this location. Packets of nodes keep their source where the location's network takes it.
fn to_nodes_of_location(plan: &FirewallPlan, version: Family) -> Vec<Rule> {
    let names = SetNames::of(version);
    let comment = "node of the location";
    let to = |set| {
        let out_of_tunnel = Rule::new().version(version).input_interface(InterfaceMatch::In(TUNNEL_DEVICES));
        out_of_tunnel.destination(version, AddressMatch::In(set))
    };
    let plain_from_node = to(&names.plain_neighbours)
        .source(version, AddressMatch::In(&names.node_senders))
        .verdict(Verdict::Return)
        .comment("node to node of the location");
    let plain = to(&names.location_addresses).output_interface(InterfaceMatch::NotIn(MESH_DEVICES));
    let encapsulated = to(&names.location_addresses)
        .output_interface(InterfaceMatch::In(MESH_DEVICES))
        .source(version, AddressMatch::NotIn(&names.node_senders));
    let encapsulated = match first_of(&plan.internal_sources, version) {
        Some(address) => encapsulated.source_nat(address),
        None => encapsulated.masquerade(),
    };
    let plain = masqueraded(plan, version, &plain, comment);
    [vec![plain_from_node], plain, vec![encapsulated.comment(comment)]].concat()
}

/// Pods that leave for somewhere the mesh does not carry.
fn leaving_pods(plan: &FirewallPlan, version: Family) -> Vec<Rule> {
    let [not_carried, direct] = leaving(version);
    let not_carried = masqueraded(plan, version, &not_carried, "pods leave the mesh");
    not_carried.into_iter().chain(masqueraded(plan, version, &direct, "pods leave beside the mesh")).collect()
}

/// The host's own flows into the mesh: to internal addresses of nodes that answer to this node's internal address, and to all others.
fn own_flows(plan: &FirewallPlan, version: Family) -> Vec<Rule> {
    let names = SetNames::of(version);
    let with_other_source = || {
        Rule::new()
            .version(version)
            .origin(Origin::Local)
            .output_interface(InterfaceMatch::In(MESH_DEVICES))
            .source(version, AddressMatch::NotIn(&names.mesh_addresses))
            .source(version, AddressMatch::NotIn(&names.own_pods))
    };
    let to_nodes = first_of(&plan.internal_sources, version).map(|address| {
        let to_node = with_other_source().destination(version, AddressMatch::In(&names.internal_destinations));
        to_node.source_nat(address).comment("the host's own flows to nodes")
    });
    let others = first_of(&plan.mesh_addresses, version)
        .map(|address| with_other_source().source_nat(address).comment("the host's own flows"));
    to_nodes.into_iter().chain(others).collect()
}
