//! `carrickctl graph`: the labels of its lines.

use std::time::Duration;

use carrick_lab::address::Family;
use carrick_lab::delay::Delay;
use carrick_lab::{transfer, wait};

use crate::ctl::ask;
use crate::mesh::Mesh;

/// Three clouds.
const CLOUDS: &str = "
locations:
  - {name: a, nodes: [{name: a1}]}
  - {name: b, nodes: [{name: b1}]}
  - {name: c, nodes: [{name: c1}]}
";

/// The delay of the path to one cloud, in milliseconds.
const FAR: f64 = 40.0;

/// The size of the transfer between two pods, in bytes. Rates are averages over a minute.
const MOVED: usize = 120_000_000;

/// A tunnel's round trip in milliseconds and its rate in bytes a second, as `-o json` has them.
fn tunnels(mesh: &Mesh) -> Vec<(String, f64, f64)> {
    let graph = ask(mesh, &["graph", "-o", "json"]).json();
    let tunnels = graph["tunnels"].as_array().unwrap().iter();
    let number = |tunnel: &serde_json::Value, key: &str| tunnel[key].as_f64().unwrap_or_default();
    tunnels
        .map(|tunnel| {
            let pair = format!("{} {}", tunnel["from"].as_str().unwrap(), tunnel["to"].as_str().unwrap());
            (pair, number(tunnel, "round_trip_us") / 1000.0, number(tunnel, "bytes_per_second"))
        })
        .collect()
}

/// Waits until the lines of all pairs satisfy a condition.
fn await_lines(mesh: &Mesh, what: &str, is_so: impl Fn(&str, f64, f64) -> bool) {
    wait::until(what, || {
        let tunnels = tunnels(mesh);
        assert_eq!(tunnels.len(), 3, "{tunnels:?}");
        Ok(tunnels.iter().all(|(pair, round_trip, rate)| is_so(pair, *round_trip, *rate)).then_some(()))
    })
    .unwrap();
}

/// The labels that end in a unit, in the lines of a picture that contain a text.
fn labels<'a>(picture: &'a str, within: &str, unit: &str) -> Vec<&'a str> {
    let lines = picture.lines().filter(|line| line.contains(within));
    let words = lines.flat_map(|line| line.split(['"', '>', '<', '|', ',']));
    words.map(str::trim).filter(|word| word.ends_with(unit)).collect()
}

#[test]
fn a_long_path_and_a_rate_show_on_exactly_the_lines_that_have_them() {
    let mesh = Mesh::up(CLOUDS);
    mesh.all_reach();
    let _delay = Delay::start(mesh.site("b").unwrap().router(), Duration::from_secs_f64(FAR / 1000.0)).unwrap();
    // A median is of the last hundred probes: it follows when the half of them were late. How precise it is, the tests of the mesh say.
    await_lines(&mesh, "b is far", |pair, round_trip, _| {
        round_trip > 0.0 && pair.contains("b1") == (round_trip >= FAR)
    });
    for (format, within) in [("dot", " -- "), ("mermaid", "---"), ("svg", "</text>")] {
        let picture = ask(&mesh, &["graph", "-o", format]).out;
        let milliseconds = labels(&picture, within, " ms");
        let far = milliseconds.iter().filter(|label| label.trim_end_matches(" ms").parse::<f64>().unwrap() >= FAR);
        assert_eq!((milliseconds.len(), far.count()), (3, 2), "{picture}");
    }

    let target = mesh.pod("c1-pod1").unwrap();
    let server = transfer::HashServer::start(target.namespaces(), target.addresses().of(Family::V4).unwrap()).unwrap();
    transfer::send(mesh.pod("a1-pod1").unwrap().namespaces(), server.address(), MOVED).unwrap();
    await_lines(&mesh, "a to c carries something", |pair, _, rate| (pair == "a1 c1") == (rate > 1_000_000.0));
    for (format, within) in [("dot", " -- "), ("mermaid", "---"), ("svg", "</text>")] {
        let picture = ask(&mesh, &["graph", "-o", format]).out;
        let rates = labels(&picture, within, "B/s");
        let fast = rates.iter().filter(|label| label.ends_with(" MB/s"));
        assert_eq!(fast.count(), 1, "{rates:?}: {picture}");
    }
    let dot = ask(&mesh, &["graph", "-o", "dot"]).out;
    assert_eq!(labels(&dot, "\"a1\" -- \"c1\"", " MB/s").len(), 1, "{dot}");
}
