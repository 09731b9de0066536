//! What is between nodes.

use carrick_lab::topology::Location;
use carrick_lab::wait;
use serde_json::{Value, json};

use crate::ctl::ask;
use crate::disguise::Disguise;
use crate::mesh::Mesh;
use crate::patient::{Patient, data_path, run};

/// Lets rules loose on a node, and has it forget its sessions.
fn harm(mesh: &Mesh, node: &str, rules: &str) {
    run(mesh, node, &format!("nft -f - <<'END'\n{rules}\nEND"));
    let killed = data_path(mesh, node);
    run(mesh, node, &format!("kill -9 {killed}"));
}

fn cure(mesh: &Mesh, node: &str) {
    run(mesh, node, "nft delete table inet harm");
}

/// What agents have found of path MTUs they look at again from time to time; one that starts knows nothing, and searches.
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
fn ways() {
    let patient = Patient::in_good_health();

    let text = patient.suffers(
        "problem udp-reachability b1",
        |mesh| {
            let drop =
                "table inet harm { chain input { type filter hook input priority -10; udp dport 51820 drop; }; }";
            harm(mesh, "b1", drop);
        },
        |mesh| cure(mesh, "b1"),
    );
    assert!(text.contains("no UDP packet arrives from a1"), "{text}");

    let text = patient.suffers(
        "problem udp-reachability b1",
        |mesh| {
            let drop =
                "table inet harm { chain output { type filter hook output priority -10; udp sport 51820 drop; }; }";
            harm(mesh, "b1", drop);
        },
        |mesh| cure(mesh, "b1"),
    );
    assert!(text.contains("no UDP packet from this node arrives"), "{text}");
}

#[test]
fn handshakes() {
    let patient = Patient::in_good_health();
    let key = patient.0.kubernetes().node("a1").unwrap()["metadata"]["annotations"]["carrick.dev/public-key"].clone();
    let key = key.as_str().unwrap().to_owned();
    // A way that carries something and no handshake does not last: the data path counts those that it answers, and sends on keys that
    // the other end never got. So the age is changed on its way; what moves in the tunnel is real.
    let with_age = |age: Value| {
        let pointer = format!("/wireguard/present/peers/{}/seconds_since_handshake", key.replace('/', "~1"));
        let disguise = Disguise::put_on(patient.0.node("b1").unwrap(), move |mut page| {
            if let Some(told) = page.pointer_mut(&pointer) {
                *told = age.clone();
            }
            Some(page)
        });
        let text = patient.is_told(&["problem handshakes a1"]);
        drop(disguise);
        patient.is_told(&[]);
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
fn probes() {
    let patient = Patient::in_good_health();
    let text = patient.suffers(
        "problem probe-port b1",
        |mesh| {
            run(
                mesh,
                "b1",
                "nft 'table inet harm { chain input { type filter hook input priority -10; udp dport 51821 drop; }; }'",
            );
        },
        |mesh| cure(mesh, "b1"),
    );
    assert!(text.contains("a1"), "{text}");

    let text = patient.suffers(
        "warning path-mtu b1",
        |mesh| {
            let rule =
                "table inet harm { chain forward { type filter hook forward priority 0; udp length > 1380 drop; }; }";
            mesh.site("b").unwrap().router().exec(&["nft", rule]).unwrap();
            search_again(mesh);
        },
        |mesh| {
            mesh.site("b").unwrap().router().exec(&["nft", "delete table inet harm"]).unwrap();
            search_again(mesh);
        },
    );
    assert!(text.contains("in the tunnels between this node and a1, h1"), "{text}");
}

#[test]
fn translation() {
    let mut patient = Patient::in_good_health();
    let findings = ask(&patient.0, &["doctor", "-o", "json"]).json();
    let of_home = |finding: &&Value| finding["check"] == "nat-kind" && finding["node"] == "h1";
    let home = findings["findings"].as_array().unwrap().iter().find(of_home).unwrap();
    assert!(home["severity"] == "ok" && home["text"].as_str().unwrap().contains("endpoint-independent"), "{home}");

    let cafe = json!({
        "name": "cafe",
        "router": "symmetric",
        "nodes": [{ "name": "c1", "annotations": { "carrick.dev/persistent-keepalive": "25" } }],
    });
    let cafe: Location = serde_json::from_value(cafe).unwrap();
    patient.0.add_location(&cafe).unwrap();
    patient.0.start("c1").unwrap();
    patient.0.await_agents();
    let text = patient.is_told(&["warning nat-kind c1"]);
    assert!(text.contains("address-dependent"), "{text}");
    patient.0.remove_node("c1").unwrap();
    patient.is_told(&[]);
}
