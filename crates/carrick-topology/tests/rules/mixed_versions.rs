//! The plan while agents of two releases run: all of them must compute the same.

use carrick_topology::model::{AgentVersion, Node, Preference};
use carrick_topology::plan::SilentLocations;

use crate::fixtures::*;

fn speaks(protocol: u32) -> impl Fn(&mut Node) {
    move |node| {
        node.agent = Some(AgentVersion {
            version: "1".to_owned(),
            protocol,
            settings: String::new(),
            outside_mesh: Default::default(),
        })
    }
}

fn all_speak_3(names: &[&str]) -> Mesh {
    mesh(names.iter().map(|name| node(name).with(speaks(3))))
}

/// Active, standby and down gateways of location `a`, as one node sees them.
fn gateways(mesh: &Mesh, down: &[&str], from: &str) -> [String; 3] {
    let location = mesh.clone().down(down).plan(from).location;
    let join = |names: Vec<&str>| names.join(" ");
    let down = location.down.iter().map(|name| name.as_str()).collect();
    let [active, standby] =
        [&location.active, &location.standby].map(|names| names.iter().map(|name| name.as_str()).collect());
    [join(active), join(standby), join(down)]
}

const NODES: [&str; 6] = ["a1", "a2", "a3", "a4", "a5", "a6"];

/// What the release with protocol 2 chooses: gateways that are down, then active, standby and down gateways.
const OF_PROTOCOL_2: [(&[&str], [&str; 3]); 6] = [
    (&[], ["a1", "a2", ""]),
    (&["a1"], ["a2", "a3", "a1"]),
    (&["a2"], ["a1", "a3", "a2"]),
    (&["a1", "a2"], ["a3", "a4", "a1 a2"]),
    (&["a1", "a3"], ["a2", "a4", "a1"]),
    (&NODES, ["a1", "a2", ""]),
];

#[test]
fn while_one_member_has_protocol_2_all_nodes_replace_each_gateway_that_is_down() {
    for old in NODES {
        let mesh = all_speak_3(&NODES).change(old, speaks(2));
        for (down, expected) in OF_PROTOCOL_2 {
            for from in NODES {
                assert_eq!(gateways(&mesh, down, from), expected, "{old} is old, {down:?} are down, on {from}");
            }
        }
    }
}

#[test]
fn while_one_member_has_protocol_2_several_active_gateways_are_replaced_each() {
    let mesh = all_speak_3(&NODES).active_gateways(2).change("a6", speaks(2));
    assert_eq!(gateways(&mesh, &["a1"], "a5"), ["a2 a3", "a4", "a1"]);
    assert_eq!(gateways(&mesh, &["a1", "a2"], "a5"), ["a3 a4", "a5", "a1 a2"]);
    let new = all_speak_3(&NODES).active_gateways(2);
    assert_eq!(gateways(&new, &["a1"], "a5"), ["a2 a3", "", "a1"]);
}

#[test]
fn once_all_members_have_protocol_3_no_further_node_replaces_a_gateway_while_another_one_is_live() {
    for mesh in [all_speak_3(&NODES), all_speak_3(&NODES).change("a6", speaks(4))] {
        for from in NODES {
            assert_eq!(gateways(&mesh, &["a1"], from), ["a2", "", "a1"]);
            assert_eq!(gateways(&mesh, &["a2"], from), ["a1", "", "a2"]);
        }
    }
}

#[test]
fn a_node_without_a_protocol_or_without_a_key_does_not_hold_the_mesh_at_the_former_rule() {
    let unreadable = all_speak_3(&NODES).change("a6", |node| node.agent = None);
    let no_member = all_speak_3(&NODES).change("a6", speaks(2)).change("a6", |node| node.public_key = None);
    for mesh in [unreadable, no_member] {
        assert_eq!(gateways(&mesh, &["a1"], "a5"), ["a2", "", "a1"]);
    }
}

#[test]
fn silent_locations_keep_their_gateways_while_one_member_has_protocol_2() {
    let new = all_speak_3(&["a1", "b1"]);
    assert_eq!(new.plan("a1").probes.silent_locations, SilentLocations::TryNextGateways);
    let mixed = new.change("b1", speaks(2));
    for name in ["a1", "b1"] {
        assert_eq!(mixed.plan(name).probes.silent_locations, SilentLocations::KeepGateways);
    }
}

#[test]
fn relays_are_chosen_by_the_former_rule_while_one_member_has_protocol_2() {
    let nat = ["a1", "b1"].map(nat_node);
    let relays = ["c1", "c2", "c3", "d1"].map(node).map(|node| match node.name.as_str() {
        "c3" => node.with(|node| node.relay = Preference::Preferred),
        _ => node,
    });
    let new = mesh(nat.into_iter().chain(relays).map(|node| node.with(|node| speaks(3)(node))));
    let mixed = new.clone().change("d1", speaks(2));
    let relay = |mesh: &Mesh, down: &[&str], from: &str, to: &str| {
        let plan = mesh.clone().down(down).plan(from);
        let carries = |name: &&&str| tunnel(&plan, name).is_some_and(|tunnel| tunnel.allowed_ips.contains(&net(to)));
        ["c1", "c2", "c3", "d1"].iter().find(carries).map(|name| (*name).to_owned())
    };
    for (from, to) in [("a1", "10.42.21.0/24"), ("b1", "10.42.11.0/24")] {
        let others_are_down = |mesh| relay(mesh, &["c1", "c2"], from, to);
        assert_eq!((others_are_down(&mixed).as_deref(), others_are_down(&new).as_deref()), (Some("c3"), Some("d1")));
        let all_are_down = |mesh| relay(mesh, &["c1", "c2", "c3", "d1"], from, to);
        assert_eq!((all_are_down(&mixed), all_are_down(&new).is_some()), (None, true), "a relay that is down is none");
    }
}
