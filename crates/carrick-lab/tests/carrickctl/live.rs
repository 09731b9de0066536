//! `carrickctl trace --live`: which nodes answer on the path.

use carrick_lab::address::Family;
use carrick_lab::wait;
use serde_json::Value;

use crate::changed_pages::ChangedPages;
use crate::ctl::{Said, ask, run};
use crate::mesh::Mesh;
use crate::saved;

/// Two clouds with a gateway and an inner node each.
const CLOUDS: &str = "
agent: {flags: ['--standby-gateways=0']}
locations:
  - {name: a, nodes: [{name: a1}, {name: a2}]}
  - {name: b, nodes: [{name: b1}, {name: b2}]}
";

fn trace(mesh: &Mesh, family: Family, options: &[&str]) -> Said {
    let ends = ["a2-pod1", "b2-pod1"].map(|pod| mesh.pod_address(pod, family).to_string());
    ask(mesh, &[&["trace", &ends[0], &ends[1], "--live"], options].concat())
}

/// The nodes that answered, hop by hop, in each direction.
fn answered(said: &Said) -> Vec<Vec<String>> {
    let paths = said.json()["paths"].as_array().unwrap().clone();
    let by = |row: &Value| row["by"].as_str().unwrap_or("-").to_owned();
    paths.iter().map(|path| path["live"]["hops"].as_array().unwrap().iter().map(by).collect()).collect()
}

/// Waits until `carrickctl trace` finds no fault on the path. Agents read their devices every few seconds.
fn well(mesh: &Mesh, family: Family) -> Said {
    wait::until("a path without faults", || {
        let said = trace(mesh, family, &["-o", "json"]);
        Ok((said.code == 0).then_some(said))
    })
    .unwrap()
}

#[test]
fn probes_show_each_hop_and_where_the_path_ends() {
    let mesh = Mesh::up(CLOUDS);
    mesh.all_reach();
    for family in [Family::V4, Family::V6] {
        let said = well(&mesh, family);
        assert_eq!(
            answered(&said),
            [["a1", "b1", "b2", "pod on b2"], ["b1", "a1", "a2", "pod on a2"]],
            "{family:?}: {said:?}"
        );
        for path in said.json()["paths"].as_array().unwrap() {
            assert_eq!((&path["arrives"], &path["live"]["arrives"]), (&true.into(), &true.into()), "{path}");
            assert!(path["live"]["hops"].as_array().unwrap().iter().all(|row| row["round_trip_us"].is_u64()), "{path}");
        }
    }
    let said = trace(&mesh, Family::V4, &[]);
    assert!(said.out.contains("live, from node a2 (10.4.") && said.out.contains("REPLY FROM"), "{said:?}");
    let inside = ask(&mesh, &["trace", "a1", "a2", "--live"]);
    assert!(inside.code == 0 && inside.out.contains("probes arrive"), "{inside:?}");

    // One gateway forwards nothing to its location, but it still answers for itself. The agent lets packets pass where forward chains drop them.
    let harm = "table inet harm { chain out { type filter hook postrouting priority 0; iifname carrick0 oifname carrick-vx drop; }; }";
    mesh.node("b1").unwrap().exec(&["nft", harm]).unwrap();
    for family in [Family::V4, Family::V6] {
        let said = trace(&mesh, family, &["-o", "json"]);
        assert_eq!(said.code, 1, "{said:?}");
        assert_eq!(answered(&said)[0], ["a1", "b1", "-"], "{family:?}: {said:?}");
        let there = &said.json()["paths"][0];
        assert_eq!(there["arrives"], true, "the plans know nothing of it");
        assert_eq!(there["live"]["end"], "probes end after b1: b2 does not reply", "{there}");
    }
    mesh.node("b1").unwrap().exec(&["nft", "delete table inet harm"]).unwrap();
    well(&mesh, Family::V4);

    // A pod that does not exist: its node reports that.
    let missing = mesh.pod_address("b2-pod1", Family::V4).to_string();
    let missing = format!("{}.200", missing.rsplit_once('.').unwrap().0);
    let said = ask(&mesh, &["trace", "a2", &missing, "--live"]);
    assert!(said.code == 1 && said.out.contains("probes end"), "{said:?}");
}

#[test]
fn paths_that_cannot_be_probed_are_reported() {
    let mesh = Mesh::up(CLOUDS);
    let objects = saved::file(&saved::objects(&mesh, &[]));
    let said = run(["trace", "a2", "b2", "--live", "-f", objects.path().to_str().unwrap()]);
    assert!(said.code == 2 && said.err.contains("not saved objects"), "{said:?}");

    // The agent of a2 does not know the page. The agent of b2 probes the path back.
    let changed = ChangedPages::install(mesh.node("a2").unwrap(), |page| page.get("version").is_some().then_some(page));
    let said = ask(&mesh, &["trace", "a2", "b2", "--live"]);
    assert!(
        said.code == 1 && said.out.contains("the agent of a2, version 0.1.0, cannot send probes; upgrade it"),
        "{said:?}"
    );
    assert!(said.out.contains("live, from node b2"), "{said:?}");
    drop(changed);

    let page = mesh.node("a2").unwrap().agent_page("/trace?to=192.0.2.1").unwrap();
    assert!(page.status == 403 && page.body.contains("192.0.2.1 is not an address of the mesh"), "{page:?}");
}
