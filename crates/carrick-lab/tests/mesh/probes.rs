//! Measurements of the paths between nodes.

use std::ops::Range;
use std::time::Duration;

use carrick_lab::address::Family;
use carrick_lab::delay::Delay;
use carrick_lab::{network, transfer, wait};
use serde_json::Value;

use crate::mesh::Mesh;

/// Three clouds.
const CLOUDS: &str = "
locations:
  - {name: a, nodes: [{name: a1}, {name: a2}, {name: a3}]}
  - {name: b, nodes: [{name: b1}]}
  - {name: c, nodes: [{name: c1}]}
";

fn path(mesh: &Mesh, from: &str, to: &str) -> Value {
    let paths = mesh.status(from)["paths"].as_array().cloned().unwrap_or_default();
    paths.into_iter().find(|path| path["to"] == to).unwrap_or(Value::Null)
}

/// Waits until this number of probes on the path has been answered.
fn await_answers(mesh: &Mesh, from: &str, to: &str, answers: u64) {
    wait::until(&format!("{answers} answers from {to} to {from}"), || {
        Ok((path(mesh, from, to)["answered"].as_u64().unwrap_or(0) >= answers).then_some(()))
    })
    .unwrap();
}

/// Waits until the shortest round trip, in milliseconds, is in a range. A busy machine answers some probes late, but not hundreds.
fn await_least(mesh: &Mesh, from: &str, to: &str, expected: Range<f64>) {
    for answers in (20..=400).step_by(20) {
        await_answers(mesh, from, to, answers);
        let least = path(mesh, from, to)["round_trip"]["min_us"].as_f64().unwrap() / 1000.0;
        if expected.contains(&least) {
            return;
        }
        assert!(answers < 400, "{from} to {to}: {least} ms, not {expected:?}");
    }
}

#[test]
fn a_long_path_shows_for_exactly_the_pairs_that_take_it() {
    let mesh = Mesh::up(CLOUDS);
    mesh.all_reach();
    let _delay = Delay::start(mesh.site("b").unwrap().router(), Duration::from_millis(40)).unwrap();
    // What was measured before is forgotten with the agents that measured it.
    for node in ["a1", "b1", "c1"] {
        mesh.node(node).unwrap().kill_agent().unwrap();
        mesh.node(node).unwrap().start_agent().unwrap();
        mesh.node(node).unwrap().await_agent().unwrap();
    }
    for (from, to) in [("a1", "b1"), ("b1", "a1"), ("b1", "c1"), ("c1", "b1")] {
        await_least(&mesh, from, to, 40.0..43.0);
    }
    for (from, to) in [("a1", "c1"), ("c1", "a1"), ("a1", "a2")] {
        await_least(&mesh, from, to, 0.0..3.0);
    }
    let slow = r#"carrick_path_round_trip_seconds_bucket{le="0.04",from="a",to="b",kind="tunnel"}"#;
    assert_eq!(mesh.metric("a1", slow), Some(0.0));
    assert!(mesh.metric("a1", &slow.replace(r#"to="b""#, r#"to="c""#)).unwrap() > 0.0);
    assert_eq!(mesh.status("a1")["liveness"]["down"], serde_json::json!([]));
}

/// The largest inner packet in an outer packet of 1,300 bytes over IPv4: WireGuard adds 60 bytes, and pads to a multiple of 16.
const FITS: std::ops::RangeInclusive<u64> = 1224..=1240;

#[test]
fn a_router_that_drops_large_packets_silently_is_found_and_tcp_passes() {
    let mesh = Mesh::up(CLOUDS);
    mesh.all_reach();
    // Only tunnels: probes do not measure the path to the API server.
    let drop_large = "table inet narrow { chain forward { type filter hook forward priority -10; \
        meta l4proto udp meta length > 1300 drop; }; }";
    network::nft(mesh.site("b").unwrap().router(), drop_large).unwrap();
    // Agents find a path's size when they begin to probe it, and look again every half minute.
    for node in ["a1", "b1"] {
        mesh.node(node).unwrap().kill_agent().unwrap();
        mesh.node(node).unwrap().start_agent().unwrap();
        mesh.node(node).unwrap().await_agent().unwrap();
    }
    for (from, to) in [("a1", "b1"), ("b1", "a1")] {
        wait::until(&format!("the size of the path from {from} to {to}"), || {
            Ok(path(&mesh, from, to)["mtu"].as_u64().filter(|mtu| FITS.contains(mtu)))
        })
        .unwrap();
        assert!(path(&mesh, from, to)["loss"].as_f64().unwrap() < 0.5, "plain probes pass");
    }
    wait::until("routes of that size", || {
        let of_node = |node: &str| mesh.node(node).unwrap().exec(&["ip", "-4", "route", "show", "table", "1107"]);
        let narrow = |routes: &str| routes.lines().any(|line| line.contains("carrick0") && line.contains("mtu 12"));
        Ok((narrow(&of_node("a1")?) && narrow(&of_node("b1")?)).then_some(()))
    })
    .unwrap();
    let wide = path(&mesh, "a1", "c1")["mtu"].as_u64().unwrap();
    assert!(wide > 1300, "{wide}");

    // From a gateway's own pod and from a pod behind it, in both directions.
    for (from, to) in [("a1-pod1", "b1-pod1"), ("a3-pod1", "b1-pod1"), ("b1-pod1", "a3-pod1")] {
        for family in [Family::V4, Family::V6] {
            let target = mesh.pod_address(to, family);
            let server = transfer::HashServer::start(mesh.pod(to).unwrap().namespaces(), target).unwrap();
            transfer::send(mesh.pod(from).unwrap().namespaces(), server.address(), 10_000_000)
                .unwrap_or_else(|error| panic!("{from} to {to} ({target}): {error:#}"));
        }
    }
}

/// The bytes that the gateways of the two locations count as sent to each other.
fn sent(mesh: &Mesh) -> Vec<((&'static str, &'static str), f64)> {
    let pairs =
        [("a1", "a", "b"), ("a1", "a", "c"), ("b1", "b", "a"), ("b1", "b", "c"), ("c1", "c", "a"), ("c1", "c", "b")];
    let of = |(node, from, to): (&str, &'static str, &'static str)| {
        let name = format!(r#"carrick_tunnel_sent_bytes_total{{from="{from}",to="{to}"}}"#);
        ((from, to), mesh.metric(node, &name).unwrap_or_else(|| panic!("{node} has no {name}")))
    };
    pairs.into_iter().map(of).collect()
}

/// Waits for two reads of WireGuard's counters, which agents read every 5 s.
fn await_polls(mesh: &Mesh) {
    for node in ["a1", "b1", "c1"] {
        let polls = |mesh: &Mesh| mesh.metric(node, r#"carrick_applies_total{result="Unchanged"}"#).unwrap_or(0.0);
        let before = polls(mesh);
        wait::until("two polls", || Ok((polls(mesh) >= before + 2.0).then_some(()))).unwrap();
    }
}

#[test]
fn a_hundred_megabytes_are_counted_for_exactly_the_pair_that_they_took() {
    const BYTES: usize = 100_000_000;
    let mesh = Mesh::up(CLOUDS);
    mesh.all_reach();
    await_polls(&mesh);
    let before = sent(&mesh);
    let target = mesh.pod("b1-pod1").unwrap();
    let server = transfer::HashServer::start(target.namespaces(), target.addresses().of(Family::V4).unwrap()).unwrap();
    transfer::send(mesh.pod("a3-pod1").unwrap().namespaces(), server.address(), BYTES).unwrap();
    await_polls(&mesh);
    for ((pair, before), (_, after)) in before.into_iter().zip(sent(&mesh)) {
        let megabytes = (after - before) / 1e6;
        let expected = match pair {
            ("a", "b") => 100.0..110.0,
            // Acknowledgements.
            ("b", "a") => 0.0..10.0,
            _ => 0.0..0.5,
        };
        assert!(expected.contains(&megabytes), "{pair:?}: {megabytes} MB");
    }
}
