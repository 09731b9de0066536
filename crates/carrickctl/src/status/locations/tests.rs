use carrick_probe::{PathState, ProbedPath};
use carrick_topology::{NodeName, NodePlan};

use super::*;
use crate::fixtures::{change, set_unreachable, snapshot, text};
use crate::status::Status;

fn names(texts: &[&str]) -> BTreeSet<NodeName> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn set(texts: &[&str]) -> BTreeSet<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn a_node_is_down_if_most_agents_see_it_down_and_single_views_are_told_apart() {
    let mut snapshot = snapshot();
    // a1 is cut off: it sees b1 down, and the others see a1 down. It remains the active gateway only in its own view.
    change(&mut snapshot, "a1", |page| page.liveness.down = names(&["b1"]));
    change(&mut snapshot, "a2", |page| {
        page.liveness.down = names(&["a1"]);
        let mut plan = NodePlan::clone(page.plan.as_ref().unwrap());
        plan.location.active = names(&["a2"]);
        page.plan = Some(plan.into());
    });
    change(&mut snapshot, "b1", |page| page.liveness.down = names(&["a1"]));

    let status = Status::of(&snapshot);
    let [basel, zurich] = status.locations.as_slice() else { panic!("{:?}", status.locations) };
    assert_eq!((&basel.gateways.active, &basel.down), (&set(&["a2"]), &set(&["a1"])));
    assert_eq!(basel.other_views[0].by, set(&["a1"]));
    assert_eq!(basel.other_views[0].gateways.active, set(&["a1"]));
    assert_eq!((&zurich.down, &zurich.seen_down["b1"].by), (&set(&[]), &set(&["a1"])));

    let shown = text(&status);
    assert!(shown.contains("basel         2  a2      -        a1 (seen down by 2 of 2, returning)\n"), "{shown}");
    assert!(shown.contains("zürich        1  b1      -        -\n"), "{shown}");
    assert!(shown.contains("location basel, as a1 sees it: active a1, standby none\n"), "{shown}");
    assert!(shown.contains("location zürich: b1 is seen down only by a1 (1 of 2 agents)\n"), "{shown}");
}

#[test]
fn a_node_behind_one_broken_tunnel_is_not_down() {
    let mut snapshot = snapshot();
    change(&mut snapshot, "b1", |page| {
        page.liveness.down = names(&["a1"]);
        page.liveness.bypassed = names(&["a1"]);
    });
    let status = Status::of(&snapshot);
    assert_eq!((&status.locations[0].down, status.locations[0].seen_down.len()), (&set(&[]), 0));
    let shown = text(&status);
    let view = "location basel: the tunnel between a1 and b1 is broken; packets take another gateway\n";
    assert!(shown.contains(view), "{shown}");
}

#[test]
fn a_detour_is_shown_at_the_location_that_it_leads_to() {
    let mut snapshot = snapshot();
    change(&mut snapshot, "b1", |page| {
        page.liveness.detours = [("basel".parse().unwrap(), "c1".parse().unwrap())].into();
    });
    let status = Status::of(&snapshot);
    let [basel, zurich] = status.locations.as_slice() else { panic!("{:?}", status.locations) };
    assert_eq!(basel.detours, [("c1".to_owned(), set(&["b1"]))].into());
    assert!(zurich.detours.is_empty());
    let shown = text(&status);
    let view = "location basel: no tunnel to it works from b1; packets take a detour through c1\n";
    assert!(shown.contains(view), "{shown}");
}

#[test]
fn most_agents_of_the_location_suffice() {
    let mut snapshot = snapshot();
    change(&mut snapshot, "a1", |page| page.liveness.down = names(&["a2"]));
    // b1 does not probe the inner node a2.
    assert_eq!(Status::of(&snapshot).locations[0].down, set(&["a2"]));
}

#[test]
fn a_location_of_which_no_agent_was_asked_is_unknown_and_not_isolated() {
    let mut snapshot = snapshot();
    change(&mut snapshot, "a1", |page| page.liveness.down = names(&["b2"]));
    change(&mut snapshot, "a1", |page| {
        let b2 = ProbedPath { to: "b2".parse().unwrap(), ..page.paths[1].clone() };
        page.paths.push(b2);
    });
    snapshot.agents.retain(|agent| agent.name == "a1");
    let status = Status::of(&snapshot);
    let zurich = &status.locations[1];
    assert_eq!((&zurich.gateways.active, zurich.unknown.as_deref()), (&set(&["b1"]), Some("only a1 was asked")));
    let shown = text(&status);
    assert!(shown.contains("zürich        -  b1      -        b2 (seen down by 1 of 1)\n"), "{shown}");
    let line = "location zürich is unknown: only a1 was asked; the gateways are those of other plans\n";
    assert!(shown.contains(line) && !shown.contains("isolated"), "{shown}");

    // The tunnel is gone from the plan too.
    change(&mut snapshot, "a1", |page| {
        let mut plan = NodePlan::clone(page.plan.as_ref().unwrap());
        plan.wireguard.peers.clear();
        page.plan = Some(plan.into());
    });
    let shown = text(&Status::of(&snapshot));
    assert!(shown.contains("zürich        -  unknown  -        b2"), "{shown}");
    assert!(shown.contains("location zürich is unknown: only a1 was asked\n"), "{shown}");
}

#[test]
fn a_location_whose_agents_do_not_answer_is_unknown() {
    let mut snapshot = snapshot();
    change(&mut snapshot, "a1", |page| page.liveness.down = names(&["b1"]));
    set_unreachable(&mut snapshot, "b1");
    let shown = text(&Status::of(&snapshot));
    assert!(shown.contains("location zürich is unknown: no agent there answers with a plan"), "{shown}");
}

#[test]
fn a_location_that_its_own_agents_see_without_gateways_is_isolated() {
    let mut snapshot = snapshot();
    change(&mut snapshot, "b1", |page| {
        let mut plan = NodePlan::clone(page.plan.as_ref().unwrap());
        plan.location.active.clear();
        page.plan = Some(plan.into());
    });
    let shown = text(&Status::of(&snapshot));
    assert!(shown.contains("zürich        1  none: isolated  -        -\n"), "{shown}");
}

#[test]
fn a_node_that_is_well_and_answers_all_that_see_it_down_returns() {
    let line = "location zürich: b1 answers again and returns after its stable time\n";
    let shown = |edit: &dyn Fn(&mut Snapshot)| {
        let mut snapshot = snapshot();
        change(&mut snapshot, "a1", |page| page.liveness.down = names(&["b1"]));
        edit(&mut snapshot);
        text(&Status::of(&snapshot))
    };
    let recovering = shown(&|_| ());
    assert!(recovering.contains(line) && recovering.contains("all nodes are healthy"), "{recovering}");
    let edits: [&dyn Fn(&mut Snapshot); 4] = [
        &|snapshot| change(snapshot, "a1", |page| page.paths[1].state = PathState::Down),
        &|snapshot| change(snapshot, "a1", |page| drop(page.paths.pop())),
        &|snapshot| change(snapshot, "b1", |page| page.paths[0].state = PathState::Down),
        &|snapshot| set_unreachable(snapshot, "b1"),
    ];
    for edit in edits {
        let shown = shown(edit);
        assert!(!shown.contains("answers again"), "{shown}");
    }
}

#[test]
fn a_node_whose_agent_does_not_answer_still_counts_in_its_location() {
    let mut snapshot = snapshot();
    set_unreachable(&mut snapshot, "a2");
    let status = Status::of(&snapshot);
    let counted: Vec<_> = status.locations.iter().map(|location| (location.name.as_str(), location.nodes)).collect();
    assert_eq!(counted, [("basel", 2), ("zürich", 1)]);
}
