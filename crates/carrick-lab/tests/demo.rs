//! The demo's command line, with the real agents and plugins.
#![expect(clippy::unwrap_used, reason = "a failed expectation ends the test")]

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

fn demo(options: &[&str]) -> Value {
    let output =
        Command::new(env!("CARGO_BIN_EXE_carrick-lab")).args(["demo", "--json"]).args(options).output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}\n{stderr}");
    // Fails also if there is anything besides one object.
    serde_json::from_str(&stdout).unwrap()
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn all_endpoints_reach_each_other_and_the_json_report_says_so() {
    let report = demo(&["--granularity", "cross"]);
    assert_eq!(keys(&report), BTreeSet::from(["granularity", "kubernetes", "nodes", "pairs", "ok"]));
    assert_eq!(report["granularity"], "cross");
    assert_eq!(report["kubernetes"], "embedded");
    assert_eq!(report["ok"], true);

    let nodes = report["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), 5);
    let locations: BTreeSet<_> = nodes.iter().map(|node| node["location"].as_str().unwrap()).collect();
    assert_eq!(locations.len(), 3);
    for node in nodes {
        assert_eq!(keys(node), BTreeSet::from(["name", "location", "ready"]));
        assert_eq!(node["ready"], true);
    }

    // Five pods ask four others, and five nodes ask five pods, in two families.
    let pairs = report["pairs"].as_array().unwrap();
    assert_eq!(pairs.len(), (5 * 4 + 5 * 5) * 2);
    let distinct: BTreeSet<_> =
        pairs.iter().map(|pair| ["from", "to", "family"].map(|key| pair[key].as_str())).collect();
    assert_eq!(distinct.len(), pairs.len());
    for pair in pairs {
        assert_eq!(keys(pair), BTreeSet::from(["from", "to", "family", "reachable", "rtt_ms", "tcp_ok"]));
        assert_eq!((&pair["reachable"], &pair["tcp_ok"]), (&true.into(), &true.into()), "{pair}");
        assert!(pair["rtt_ms"].as_f64().unwrap() > 0.0, "{pair}");
    }
}

#[test]
fn nothing_but_wireguard_passes_between_locations() {
    let proof = &demo(&["--prove"])["proof"];
    assert!(proof["wireguard_packets"].as_u64().unwrap() > 1000, "{proof}");
    assert_eq!(proof["other_packets"], 0, "{proof}");
    assert_eq!(proof["crossing_pairs"], 64, "{proof}");
    assert_eq!(proof["reaching_without_wireguard"], 0, "{proof}");
}
