//! The README's picture.
#![expect(clippy::unwrap_used, reason = "a failed expectation ends the test")]

use std::path::Path;

use carrick_lab::Topology;
use carrick_lab::drawing::draw;
use carrick_lab::topology::DEMO;

fn drawn(yaml: &str) -> String {
    draw(&Topology::parse(yaml).unwrap()).unwrap()
}

fn count(text: &str, part: &str) -> usize {
    text.matches(part).count()
}

/// The text below a node's name.
fn role<'a>(picture: &'a str, node: &str) -> &'a str {
    let (_, below) = picture.split_once(&format!(">{node}</text>\n")).unwrap();
    below.split(['>', '<']).nth(2).unwrap()
}

#[test]
fn the_readme_s_picture_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/topology.svg");
    let kept = std::fs::read_to_string(path).unwrap();
    assert!(kept == drawn(DEMO), "docs/topology.svg is stale: run scripts/draw-topology.sh and commit it");
}

#[test]
fn it_needs_nothing_from_elsewhere() {
    let picture = drawn(DEMO).replace("http://www.w3.org/2000/svg", "");
    for foreign in ["http", "script", "href", "url(", "@import"] {
        assert!(!picture.contains(foreign), "{foreign}");
    }
}

#[test]
fn it_shows_what_the_plan_decides() {
    let demo = drawn(DEMO);
    assert_eq!(count(&demo, ">active gateway<"), 3);
    assert_eq!(count(&demo, ">standby gateway<"), 2);
    // Each pair of the three locations, between active gateways; one more of each line is in the legend.
    assert_eq!(count(&demo, "<path class=\"carrying\""), 3 + 1);
    assert_eq!(count(&demo, "<path class=\"warm\""), 5 + 1);

    let preferred = drawn(
        "locations:
          - {name: a, nodes: [{name: a1}, {name: a2, annotations: {carrick.dev/gateway: preferred}}]}
          - {name: b, nodes: [{name: b1, annotations: {carrick.dev/gateway: never}}, {name: b2}]}",
    );
    assert_eq!([role(&preferred, "a2"), role(&preferred, "b1")], ["active gateway", "node"]);
}

#[test]
fn two_homes_meet_at_a_relay() {
    let relayed = drawn(
        "locations:
          - {name: x, router: symmetric, nodes: [{name: x1, annotations: {carrick.dev/persistent-keepalive: '25'}}]}
          - {name: y, router: symmetric, nodes: [{name: y1, annotations: {carrick.dev/persistent-keepalive: '25'}}]}
          - {name: z, nodes: [{name: z1}]}",
    );
    assert_eq!(count(&relayed, "<path class=\"carrying\""), 2 + 1);
    assert_eq!(count(&relayed, "behind symmetric NAT"), 2);
}

#[test]
fn a_crowd_makes_it_wider() {
    let nodes: Vec<String> = (0..9).map(|number| format!("{{name: n{number}}}")).collect();
    let wide = drawn(&format!("locations: [{{name: a, nodes: [{}]}}]", nodes.join(", ")));
    assert!(!wide.contains("width=\"900\""));
    assert!(drawn(DEMO).contains("width=\"900\""));
}
