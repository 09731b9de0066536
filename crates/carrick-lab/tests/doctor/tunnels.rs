//! Findings about tunnels and probes between nodes.

use carrick_lab::topology::Location;
use carrick_lab::wait;
use serde_json::{Value, json};

use crate::changed_pages::ChangedPages;
use crate::ctl::ask;
use crate::diagnosed_mesh::{DiagnosedMesh, data_path, run};
use crate::mesh::Mesh;

/// Adds firewall rules to a node, and ends its WireGuard sessions.
fn block(mesh: &Mesh, node: &str, rules: &str) {
    run(mesh, node, &format!("nft -f - <<'END'\n{rules}\nEND"));
    let killed = data_path(mesh, node);
    run(mesh, node, &format!("kill -9 {killed}"));
}

/// Removes the rules of [`block`].
fn unblock(mesh: &Mesh, node: &str) {
    run(mesh, node, "nft delete table inet blocked");
}

/// Restarts all agents, and waits until they have measured the path MTUs. A running agent measures only from time to time.
fn search_again(mesh: &Mesh) {
    for node in mesh.nodes() {
        node.stop_agent().unwrap();
        node.start_agent().unwrap();
    }
    mesh.await_agents();
    wait::until("the path MTUs", || {
        let found = |path: &Value| path["mtu"].is_u64();
        let all = mesh.nodes().all(|node| mesh.status(node.name())["paths"].as_array().unwrap().iter().all(found));
        Ok(all.then_some(()))
    })
    .unwrap();
}

#[test]
fn blocked_udp_packets_are_a_problem_by_direction() {
    let diagnosed = DiagnosedMesh::without_findings();

    let text = diagnosed.reports(
        "problem udp-reachability b1",
        |mesh| {
            let drop =
                "table inet blocked { chain input { type filter hook input priority -10; udp dport 51820 drop; }; }";
            block(mesh, "b1", drop);
        },
        |mesh| unblock(mesh, "b1"),
    );
    assert!(text.contains("no UDP packet arrives from a1"), "{text}");

    let text = diagnosed.reports(
        "problem udp-reachability b1",
        |mesh| {
            let drop =
                "table inet blocked { chain output { type filter hook output priority -10; udp sport 51820 drop; }; }";
            block(mesh, "b1", drop);
        },
        |mesh| unblock(mesh, "b1"),
    );
    assert!(text.contains("no UDP packet from this node arrives"), "{text}");
}

#[test]
fn a_tunnel_in_use_without_a_recent_handshake_is_a_problem() {
    let diagnosed = DiagnosedMesh::without_findings();
    let key = diagnosed.0.kubernetes().node("a1").unwrap()["metadata"]["annotations"]["carrick.dev/public-key"].clone();
    let key = key.as_str().unwrap().to_owned();
    // A tunnel that carries packets without handshakes does not last long enough for a test. So the test changes the handshake's age in
    // the agent's page. The counted bytes are real.
    let with_age = |age: Value| {
        let pointer = format!("/wireguard/present/peers/{}/seconds_since_handshake", key.replace('/', "~1"));
        let changed = ChangedPages::install(diagnosed.0.node("b1").unwrap(), move |mut page| {
            if let Some(shown) = page.pointer_mut(&pointer) {
                *shown = age.clone();
            }
            Some(page)
        });
        let text = diagnosed.await_findings(&["problem handshakes a1"]);
        drop(changed);
        diagnosed.await_findings(&[]);
        text
    };
    let text = with_age(Value::Null);
    assert!(
        text.contains("no session with b1") && text.contains("never at b1, although packets arrive in both directions"),
        "{text}"
    );
    let text = with_age(json!(200));
    assert!(text.contains("200 s ago at b1, although packets arrive in both directions"), "{text}");
}

#[test]
fn blocked_probes_and_narrow_paths_are_reported() {
    let diagnosed = DiagnosedMesh::without_findings();
    diagnosed.reports_with(
        "problem probe-port b1",
        "a1, h1",
        |mesh| {
            run(
                mesh,
                "b1",
                "nft 'table inet blocked { chain input { type filter hook input priority -10; udp dport 51821 drop; }; }'",
            );
        },
        |mesh| unblock(mesh, "b1"),
    );

    diagnosed.reports_with(
        "warning path-mtu b1",
        "in the tunnels between this node and a1, h1",
        |mesh| {
            let rule =
                "table inet blocked { chain forward { type filter hook forward priority 0; udp length > 1380 drop; }; }";
            mesh.site("b").unwrap().router().exec(&["nft", rule]).unwrap();
            search_again(mesh);
        },
        |mesh| {
            mesh.site("b").unwrap().router().exec(&["nft", "delete table inet blocked"]).unwrap();
            search_again(mesh);
        },
    );
}

#[test]
fn the_kind_of_nat_is_reported() {
    let mut diagnosed = DiagnosedMesh::without_findings();
    let findings = ask(&diagnosed.0, &["doctor", "-o", "json"]).json();
    let of_home = |finding: &&Value| finding["check"] == "nat-kind" && finding["node"] == "h1";
    let home = findings["findings"].as_array().unwrap().iter().find(of_home).unwrap();
    assert!(home["severity"] == "ok" && home["text"].as_str().unwrap().contains("endpoint-independent"), "{home}");

    let cafe = json!({
        "name": "cafe",
        "router": "symmetric",
        "nodes": [{ "name": "c1", "annotations": { "carrick.dev/persistent-keepalive": "25" } }],
    });
    let cafe: Location = serde_json::from_value(cafe).unwrap();
    diagnosed.0.add_location(&cafe).unwrap();
    diagnosed.0.start("c1").unwrap();
    diagnosed.0.await_agents();
    let text = diagnosed.await_findings(&["warning nat-kind c1"]);
    assert!(text.contains("address-dependent"), "{text}");
    diagnosed.0.remove_node("c1").unwrap();
    diagnosed.await_findings(&[]);
}
