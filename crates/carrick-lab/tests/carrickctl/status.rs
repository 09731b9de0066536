//! `carrickctl status`.

use crate::ctl::{ask, run};
use crate::mesh::{CLOUDS, Mesh};

#[test]
fn a_mesh_is_healthy_until_an_agent_is_killed() {
    let mesh = Mesh::up(CLOUDS);
    mesh.all_reach();
    // The page has what was last read of the device, which is every 5 s.
    let healthy = carrick_lab::wait::until("every tunnel's handshake on the pages", || {
        let said = ask(&mesh, &["status"]);
        Ok((said.code == 0).then_some(said))
    })
    .unwrap();
    for line in ["a1    a         active", "h1    home      active", "all nodes are healthy"] {
        assert!(healthy.out.contains(line), "{line} in {}", healthy.out);
    }
    let nodes = ask(&mesh, &["status", "-o", "json"]).json()["nodes"].clone();
    let names: Vec<_> =
        nodes.as_array().unwrap().iter().map(|node| node["name"].as_str().unwrap().to_owned()).collect();
    assert_eq!(names, ["a1", "a2", "b1", "b2", "h1"]);
    assert_eq!(nodes[0]["tunnels"], serde_json::json!({"up": 2, "planned": 2}));

    mesh.node("b2").unwrap().kill_agent().unwrap();
    let unwell = ask(&mesh, &["status"]);
    assert_eq!(unwell.code, 1, "{unwell:?}");
    assert!(
        unwell.out.contains("no process listens on") && unwell.out.contains("1 of 5 nodes not healthy"),
        "{}",
        unwell.out
    );
}

#[test]
fn an_unreachable_agent_or_cluster_is_reported() {
    let silent = run(["status", "--socket", "/nonexistent/agent.sock"]);
    assert_eq!(silent.code, 3, "{silent:?}");
    assert!(silent.out.contains("there is no /nonexistent/agent.sock"), "{}", silent.out);
    let lost = run(["status", "--kubeconfig", "/nonexistent/config"]);
    assert!(lost.code == 3 && lost.err.contains("/nonexistent/config"), "{lost:?}");
    assert_eq!(run(["status", "--no-such-flag"]).code, 2);
}
