//! The tables of constants in `docs/architecture.md`, of ports in `docs/operations.md` and of warnings in
//! `docs/annotations.md`, against the code.

#![expect(clippy::unwrap_used, reason = "a test may fail wherever it likes")]

use std::collections::{BTreeMap, BTreeSet};

use carrick_topology::constants::{self, default_mesh_cidrs, default_permitted_location_cidrs};

const PAGE: &str = include_str!("../../../docs/architecture.md");
const SOURCE: &str = include_str!("../src/constants.rs");
const OPERATIONS: &str = include_str!("../../../docs/operations.md");
const ANNOTATIONS: &str = include_str!("../../../docs/annotations.md");
const WARNINGS: &str = include_str!("../src/model/warning.rs");

/// A constant's value, comparable with what the page says.
#[derive(Debug, PartialEq, Eq)]
enum Value {
    Number(u64),
    Text(String),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl Value {
    fn number(number: impl Into<u64>) -> Self {
        Self::Number(number.into())
    }

    /// What the page says: decimal, hexadecimal with `0x`, or a text.
    fn documented(text: &str) -> Self {
        let number = match text.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16),
            None => text.parse(),
        };
        number.map_or_else(|_| text.into(), Self::Number)
    }
}

/// The constants by name, with their values.
fn values() -> BTreeMap<&'static str, Value> {
    macro_rules! named {
        ($($kind:path: $($name:ident),+;)+) => { [$($((stringify!($name), $kind(constants::$name)),)+)+] };
    }
    named! {
        Value::from: WIREGUARD_DEVICE, VXLAN_DEVICE, POD_DEVICE_PREFIX, HANDOVER_DEVICE, LOOPBACK_DEVICE;
        Value::number: WIREGUARD_PORT, PROBE_PORT, VXLAN_PORT, VXLAN_IDENTIFIER, HANDOVER_PORT, HANDOVER_IDENTIFIER,
            HANDOVER_TABLE, HANDOVER_RULE_PRIORITY, HANDOVER_OUTER_TABLE, HANDOVER_OUTER_RULE_PRIORITY,
            HANDOVER_ROUTE_PROTOCOL, LOCATION_TABLE, LOCATION_RULE_PRIORITY, LOCATION_ROUTE_PROTOCOL, FIREWALL_MARK, MAIN_TABLE, OWN_PODS_RULE_PRIORITY,
            ROUTING_TABLE, RULE_PRIORITY, ROUTE_PROTOCOL, POD_ROUTE_PROTOCOL,
            ROUTE_METRIC, UNREACHABLE_METRIC, WIREGUARD_OVERHEAD_V4, WIREGUARD_OVERHEAD_V6, VXLAN_OVERHEAD_V4,
            VXLAN_OVERHEAD_V6, LEAST_DEVICE_MTU, DEFAULT_UPLINK_MTU, WARM_KEEPALIVE_SECONDS;
    }
    .into()
}

/// The texts in backquotes of a cell.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// The cells of the first table below a heading, without the head.
fn table<'t>(page: &'t str, heading: &str) -> Vec<Vec<&'t str>> {
    let (_, section) = page.split_once(&format!("\n{heading}\n")).unwrap();
    let rows = section.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    rows.skip(2).map(|row| row.split('|').map(str::trim).collect()).collect()
}

/// The page's values by constant: the last cell names the constant, the cell before it has the values.
fn documented() -> BTreeMap<&'static str, Vec<&'static str>> {
    table(PAGE, "## Names and numbers").iter().map(|cells| (quoted(cells[3])[0], quoted(cells[2]))).collect()
}

#[test]
fn the_page_gives_every_constant_its_value() {
    let mut rows = documented();
    let cidrs = rows.remove("default_mesh_cidrs()").unwrap();
    assert_eq!(cidrs, default_mesh_cidrs().map(|cidr| cidr.to_string()));
    let permitted = rows.remove("default_permitted_location_cidrs()").unwrap();
    assert_eq!(permitted, default_permitted_location_cidrs().map(|cidr| cidr.to_string()));
    let documented: BTreeMap<&str, Value> =
        rows.into_iter().map(|(name, values)| (name, Value::documented(values[0]))).collect();
    assert_eq!(documented, values());
}

#[test]
fn the_page_of_operations_lists_the_udp_ports() {
    let ports =
        table(OPERATIONS, "### Ports").into_iter().filter_map(|cells| cells[1].strip_prefix("UDP ")?.parse().ok());
    let expected =
        [constants::WIREGUARD_PORT, constants::PROBE_PORT, constants::VXLAN_PORT, constants::HANDOVER_PORT].into();
    assert_eq!(ports.collect::<BTreeSet<u16>>(), expected);
}

#[test]
fn no_public_constant_is_forgotten() {
    let declared = SOURCE.lines().filter_map(|line| line.strip_prefix("pub const "));
    let declared: BTreeSet<&str> = declared.filter_map(|rest| Some(rest.split_once(':')?.0)).collect();
    assert_eq!(declared, values().into_keys().collect());
}

#[test]
fn the_page_explains_every_kind_of_warning() {
    let kinds: BTreeSet<&str> =
        WARNINGS.lines().filter_map(|line| line.trim().split_once("=> \"")?.1.strip_suffix("\",")).collect();
    assert!(kinds.contains("Unreadable"), "{kinds:?}");
    let explained: BTreeSet<&str> = table(ANNOTATIONS, "## Warnings").iter().map(|cells| quoted(cells[1])[0]).collect();
    assert_eq!(explained, kinds);
}
