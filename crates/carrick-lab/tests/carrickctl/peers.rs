//! `carrickctl peers` and `routes`.

use carrick_lab::wait;

use crate::ctl::ask;
use crate::mesh::{CLOUDS, Mesh};
use crate::saved;

#[test]
fn peers_are_those_of_the_devices() {
    let mesh = Mesh::up(CLOUDS);
    mesh.all_reach();
    let file = saved::file(&saved::objects(&mesh, &[]));
    let file = file.path().to_str().unwrap();
    let said = wait::until("every handshake on the pages", || {
        let said = ask(&mesh, &["peers", "-o", "json", "-f", file]);
        Ok((said.code == 0).then_some(said))
    })
    .unwrap()
    .json();
    let peers = said["peers"].as_array().unwrap();
    let names: Vec<_> = peers
        .iter()
        .map(|peer| format!("{}-{}", peer["node"].as_str().unwrap(), peer["peer"].as_str().unwrap()))
        .collect();
    assert_eq!(names, ["a1-b1", "a1-h1", "b1-a1", "b1-h1", "h1-a1", "h1-b1"]);
    for peer in peers {
        let device =
            mesh.node(peer["node"].as_str().unwrap()).unwrap().exec(&["wg", "show", "carrick0", "dump"]).unwrap();
        let line = device.lines().find(|line| line.starts_with(peer["public_key"].as_str().unwrap())).unwrap();
        let columns: Vec<_> = line.split('\t').collect();
        assert_eq!(peer["current_endpoint"].as_str().unwrap(), columns[2], "{peer}");
        let mut allowed: Vec<_> = columns[3].split(',').collect();
        let mut told: Vec<_> =
            peer["allowed_ips"].as_array().unwrap().iter().map(|net| net.as_str().unwrap()).collect();
        allowed.sort_unstable();
        told.sort_unstable();
        assert_eq!(told, allowed, "{peer}");
    }
    // h1 is behind NAT: a1 does not dial it, and learns its endpoint from its packets.
    let nated = &peers[1];
    assert!(nated["planned_endpoint"].is_null() && nated["current_endpoint"].is_string(), "{nated}");
    assert_eq!(peers[0]["discovered_endpoints"][0], peers[0]["planned_endpoint"], "{}", peers[0]);

    let routes = ask(&mesh, &["routes", "a2", "-o", "json"]).json();
    let to_b2 = mesh.node("b2").unwrap().layout().pod_cidrs[0].to_string();
    let route =
        routes["routes"].as_array().unwrap().iter().find(|route| route["destination"] == to_b2.as_str()).unwrap();
    assert_eq!((&route["next"], &route["owner"]), (&"a1".into(), &"pods of b2".into()));
}
