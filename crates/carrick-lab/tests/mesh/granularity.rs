//! All endpoints reach each other with each granularity and each encapsulation, in each address family alone and in both.

use carrick_lab::address::Families;
use carrick_topology::{Encapsulation, Granularity};
use serde_json::json;

use crate::mesh::Mesh;

/// Two clouds and a home. The second cloud has a subnet for each of its nodes, where encapsulation can cross subnets.
fn topology(granularity: Granularity, encapsulation: Encapsulation, families: Families) -> String {
    let (subnets, second) = match encapsulation {
        Encapsulation::Always | Encapsulation::CrossSubnet => (vec![json!({}), json!({})], 1),
        Encapsulation::Never => (Vec::new(), 0),
    };
    // JSON is YAML.
    json!({
        "families": families,
        // A standby gateway carries its own traffic: so each cloud has a node that needs its gateway.
        "agent": { "granularity": granularity, "encapsulation": encapsulation, "flags": ["--standby-gateways=0"] },
        "locations": [
            { "name": "a", "families": families, "nodes": [{ "name": "a1" }, { "name": "a2" }] },
            { "name": "b", "families": families, "subnets": subnets,
              "nodes": [{ "name": "b1" }, { "name": "b2", "subnet": second }] },
            { "name": "home", "families": families, "router": "nat",
              "nodes": [{ "name": "h1", "annotations": { "carrick.dev/persistent-keepalive": "25" } }] },
        ],
    })
    .to_string()
}

macro_rules! all_endpoints_reach_each_other {
    ($($name:ident: $granularity:ident, $encapsulation:ident, $families:ident;)*) => {$(
        #[test]
        fn $name() {
            let topology = topology(Granularity::$granularity, Encapsulation::$encapsulation, Families::$families);
            Mesh::up(&topology).all_endpoints_reach_each_other();
        }
    )*};
}

all_endpoints_reach_each_other! {
    location_always_dual: Location, Always, Dual;
    location_always_v4: Location, Always, V4;
    location_always_v6: Location, Always, V6;
    location_cross_subnet_dual: Location, CrossSubnet, Dual;
    location_cross_subnet_v4: Location, CrossSubnet, V4;
    location_cross_subnet_v6: Location, CrossSubnet, V6;
    location_never_dual: Location, Never, Dual;
    location_never_v4: Location, Never, V4;
    location_never_v6: Location, Never, V6;
    cross_always_dual: Cross, Always, Dual;
    cross_always_v4: Cross, Always, V4;
    cross_always_v6: Cross, Always, V6;
    cross_cross_subnet_dual: Cross, CrossSubnet, Dual;
    cross_cross_subnet_v4: Cross, CrossSubnet, V4;
    cross_cross_subnet_v6: Cross, CrossSubnet, V6;
    cross_never_dual: Cross, Never, Dual;
    cross_never_v4: Cross, Never, V4;
    cross_never_v6: Cross, Never, V6;
    full_always_dual: Full, Always, Dual;
    full_always_v4: Full, Always, V4;
    full_always_v6: Full, Always, V6;
    full_cross_subnet_dual: Full, CrossSubnet, Dual;
    full_cross_subnet_v4: Full, CrossSubnet, V4;
    full_cross_subnet_v6: Full, CrossSubnet, V6;
    full_never_dual: Full, Never, Dual;
    full_never_v4: Full, Never, V4;
    full_never_v6: Full, Never, V6;
}
