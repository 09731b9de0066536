//! The content of the table.
//!
//! ```text
//! prerouting, raw           drops a pod's packets with a source that is not the pod's, or to the host's loopback, and what routers send
//! prerouting, dstnat + 10   after kube-proxy: translates host ports to pods
//! output, dstnat + 10       the same for packets of the host
//! postrouting, srcnat       masquerades packets of a pod to its own host port, and packets from the host's loopback
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use carrick_netlink::nftables::{
    AddressMatch, Batch, Chain, ChainKind, ElementChange, Elements, Field, Hook, InterfaceMatch, Key, Rule, Set, Table,
    TableFamily, TableName, Target, Value, priority,
};
use carrick_netlink::{Error, Family};
use carrick_topology::constants::POD_DEVICE_PREFIX;
use ipnet::Ipv4Net;
use nix::errno::Errno;

use crate::host_port::HostPort;
use crate::ipam::Record;

const LOOPBACK: &str = "loopback";
/// ICMPv6 types of RFC 4861 §4.1 to §4.3 and §4.5. The kernel makes a neighbour of the sender of a solicitation, and of the sender of a
/// router advertisement even where `accept_ra` is 0.
const ROUTER_SOLICITATION: u8 = 133;
const ROUTER_ADVERTISEMENT: u8 = 134;
const NEIGHBOUR_SOLICITATION: u8 = 135;
const REDIRECT: u8 = 137;
/// kube-proxy's chains have the priority `dstnat`.
const AFTER_KUBE_PROXY: i32 = priority::DESTINATION_NAT + 10;

/// The full name of the table.
#[must_use]
pub fn table_name() -> TableName {
    TableName::new(TableFamily::Inet, "carrick-cni")
}

/// The table for these records. Records whose device is not among `devices` have no elements.
#[must_use]
pub fn wanted(records: &[Record], devices: &BTreeSet<String>) -> Table {
    let mut table = Table::new(TableFamily::Inet, table_name().name)
        .with_set(LOOPBACK, Set::ipv4_networks([Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8)]))
        .with_chain("sources", Chain::at(Hook::Prerouting, ChainKind::Filter, priority::RAW).with_rules(source_rules()))
        .with_chain(
            "host-ports",
            Chain::at(Hook::Prerouting, ChainKind::Nat, AFTER_KUBE_PROXY).with_rules(translation_rules()),
        )
        .with_chain(
            "own-host-ports",
            Chain::at(Hook::Output, ChainKind::Nat, AFTER_KUBE_PROXY).with_rules(translation_rules()),
        )
        .with_chain(
            "answers",
            Chain::at(Hook::Postrouting, ChainKind::Nat, priority::SOURCE_NAT).with_rules(masquerade_rules()),
        );
    for family in Family::BOTH {
        for kind in Kind::ALL {
            table.sets.insert(kind.name(family), kind.form(family));
        }
    }
    for record in records.iter().filter(|record| devices.contains(&record.device)) {
        for (name, (key, value)) in elements(record) {
            if let Some(Set { elements: Elements::Keys(keys), .. }) = table.sets.get_mut(&name) {
                keys.insert(key, value);
            }
        }
    }
    table
}

/// Adds the elements of a record to the table, which must exist.
pub(super) fn additions(record: &Record) -> Batch {
    changes(record, |elements| ElementChange { removed: nothing(), added: elements })
}

/// Removes the elements of a record from the table, which must hold all of them.
pub(super) fn removals(record: &Record) -> Batch {
    changes(record, |elements| ElementChange { removed: elements, added: nothing() })
}

/// The table without the elements of the record.
pub(super) fn without(present: &Table, record: &Record) -> Table {
    let mut table = present.clone();
    for (name, (key, value)) in elements(record) {
        if let Some(Set { elements: Elements::Keys(keys), .. }) = table.sets.get_mut(&name)
            && keys.get(&key) == Some(&value)
        {
            keys.remove(&key);
        }
    }
    table
}

/// Whether an element could not be added because the set has an element with the same key and another value.
pub(super) fn is_occupied(error: &Error) -> bool {
    error.is_exists() || error.errno() == Some(Errno::EBUSY)
}

/// The sets and maps that exist for each address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Map of the host ports of all addresses of the host.
    Anywhere,
    /// Map of the host ports of single addresses of the host.
    Bound,
    /// Set of the pods that can reach themselves through a host port, as pairs of source and destination.
    Hairpin,
}

impl Kind {
    const ALL: [Kind; 3] = [Kind::Anywhere, Kind::Bound, Kind::Hairpin];

    fn of(port: &HostPort) -> Self {
        if port.host.is_unspecified() { Self::Anywhere } else { Self::Bound }
    }

    fn name(self, family: Family) -> String {
        let kind = match self {
            Self::Anywhere => "ports",
            Self::Bound => "bound-ports",
            Self::Hairpin => "hairpins",
        };
        match family {
            Family::V4 => format!("{kind}-ipv4"),
            Family::V6 => format!("{kind}-ipv6"),
        }
    }

    fn form(self, family: Family) -> Set {
        let address = match family {
            Family::V4 => Field::Ipv4Address,
            Family::V6 => Field::Ipv6Address,
        };
        let pod = [address, Field::Port];
        match self {
            Self::Anywhere => Set::map([Field::Protocol, Field::Port], pod, []),
            Self::Bound => Set::map([address, Field::Protocol, Field::Port], pod, []),
            Self::Hairpin => Set { key: vec![address, address], target: Target::Nothing, elements: nothing() },
        }
    }
}

/// The elements of a record, each with the name of its set.
fn elements(record: &Record) -> Vec<(String, (Key, Value))> {
    let mut elements = Vec::new();
    for port in &record.host_ports {
        let Some(pod) = record.destination(port) else { continue };
        let kind = Kind::of(port);
        let key = match kind {
            Kind::Bound => with_address(Key::new(), port.host),
            Kind::Anywhere | Kind::Hairpin => Key::new(),
        };
        let key = key.protocol(port.transport.number()).port(port.host_port);
        let value = Value::Fields(with_address(Key::new(), pod).port(port.pod_port));
        elements.push((kind.name(port.family()), (key, value)));
    }
    let families: BTreeSet<Family> = record.host_ports.iter().map(HostPort::family).collect();
    for pod in record.addresses.iter().filter(|pod| families.contains(&Family::from(**pod))) {
        let pair = with_address(with_address(Key::new(), *pod), *pod);
        elements.push((Kind::Hairpin.name((*pod).into()), (pair, Value::Nothing)));
    }
    elements
}

fn changes(record: &Record, change: impl Fn(Elements) -> ElementChange) -> Batch {
    let mut by_set: BTreeMap<String, BTreeMap<Key, Value>> = BTreeMap::new();
    for (name, (key, value)) in elements(record) {
        by_set.entry(name).or_default().insert(key, value);
    }
    let forms: BTreeMap<String, Set> = Family::BOTH
        .into_iter()
        .flat_map(|family| Kind::ALL.map(|kind| (kind.name(family), kind.form(family))))
        .collect();
    by_set.into_iter().fold(Batch::new(), |batch, (name, keys)| match forms.get(&name) {
        Some(form) => batch.change_elements(&table_name(), &name, form, &change(Elements::Keys(keys))),
        None => batch,
    })
}

/// The check does not depend on the host's `rp_filter`: for that setting, the greater value of host and device counts, and IPv6 has
/// none.
fn source_rules() -> Vec<Rule> {
    let of_pods = || Rule::new().input_interface(InterfaceMatch::StartsWith(POD_DEVICE_PREFIX));
    vec![
        of_pods()
            .version(Family::V4)
            .destination(Family::V4, AddressMatch::In(LOOPBACK))
            .drop()
            .comment("pods must not reach the host's loopback"),
        of_pods().version(Family::V6).icmpv6_type(ROUTER_ADVERTISEMENT).drop().comment("pods are no routers"),
        of_pods().version(Family::V6).icmpv6_type(REDIRECT).drop().comment("pods are no routers"),
        // All neighbours at both ends are permanent, so that a pod has nothing to ask for.
        of_pods()
            .version(Family::V6)
            .icmpv6_type(ROUTER_SOLICITATION)
            .drop()
            .comment("pods make no neighbours of the host"),
        of_pods()
            .version(Family::V6)
            .icmpv6_type(NEIGHBOUR_SOLICITATION)
            .drop()
            .comment("pods make no neighbours of the host"),
        of_pods().reverse_path_missing().drop().comment("source address is not the pod's"),
    ]
}

fn translation_rules() -> Vec<Rule> {
    let to_host = |version| Rule::new().version(version).destination_is_local();
    let of_family = |family| {
        [
            to_host(family).destination_nat_by_address(family, &Kind::Bound.name(family)),
            to_host(family).destination_nat_by_port(family, &Kind::Anywhere.name(family)),
        ]
    };
    Family::BOTH.map(of_family).concat()
}

fn masquerade_rules() -> Vec<Rule> {
    let translated = |version| Rule::new().version(version).destination_was_translated();
    vec![
        translated(Family::V4).address_pair_in(Family::V4, &Kind::Hairpin.name(Family::V4)).masquerade(),
        translated(Family::V6).address_pair_in(Family::V6, &Kind::Hairpin.name(Family::V6)).masquerade(),
        translated(Family::V4)
            .output_interface(InterfaceMatch::StartsWith(POD_DEVICE_PREFIX))
            .source(Family::V4, AddressMatch::In(LOOPBACK))
            .masquerade(),
    ]
}

fn with_address(key: Key, address: IpAddr) -> Key {
    match address {
        IpAddr::V4(address) => key.ipv4(address),
        IpAddr::V6(address) => key.ipv6(address),
    }
}

fn nothing() -> Elements {
    Elements::Keys(BTreeMap::new())
}
