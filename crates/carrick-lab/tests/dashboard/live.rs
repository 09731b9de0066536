//! The page while a test cuts links and stops agents.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use carrick_lab::address::Family;
use carrick_lab::delay::Delay;
use carrick_lab::{network, wait};
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::mesh::Mesh;
use crate::server::Dashboard;

/// The time within which the page shows a cut link in red.
const PROMISE: Duration = Duration::from_secs(5);
/// The Enter key in the WebDriver protocol.
const ENTER: char = '\u{e007}';
/// The environment variable with the file for a picture of the page; see `scripts/draw-dashboard.sh`.
const PICTURE_VARIABLE: &str = "CARRICK_DASHBOARD_PICTURE";

/// The page in a browser.
struct Page(Browser);

impl Page {
    /// The result of a script, which is the body of a function.
    fn get(&self, script: &str) -> Value {
        self.0.run(script).unwrap()
    }

    /// Waits until a script returns this value.
    fn awaits(&self, what: &str, script: &str, wanted: &Value) {
        wait::until(what, || Ok((self.0.run(script)? == *wanted).then_some(()))).unwrap();
    }

    /// The lines of the map that are in a state.
    fn links_in(state: &str) -> String {
        let all = format!("[...document.querySelectorAll('[data-link][data-state={state}]')]");
        format!("return {all}.map((link) => link.dataset.link).sort()")
    }

    /// The names and states of the nodes on the map.
    const NODES: &str = "return Object.fromEntries([...document.querySelectorAll('[data-node]')].map((node) => [node.dataset.node, node.dataset.state]))";
}

/// The paths of the demo: inside clouds, and between all gateways of different locations.
fn all_links() -> [&'static str; 10] {
    ["a1 a2", "a1 b1", "a1 b2", "a1 h1", "a2 b1", "a2 b2", "a2 h1", "b1 b2", "b1 h1", "b2 h1"]
}

/// Drops all packets between a router and an address.
fn cut(mesh: &Mesh, site: &str, node: &str) {
    let public = mesh.node(node).unwrap().layout().public;
    let mut rules = "table inet cut {\n chain forward {\n  type filter hook forward priority -10\n".to_owned();
    for (family, word) in [(Family::V4, "ip"), (Family::V6, "ip6")] {
        if let Some(address) = public.of(family) {
            let _ = writeln!(rules, "  {word} saddr {address} drop\n  {word} daddr {address} drop");
        }
    }
    network::nft(mesh.site(site).unwrap().router(), &(rules + " }\n}\n")).unwrap();
}

fn mend(mesh: &Mesh, site: &str) {
    network::nft(mesh.site(site).unwrap().router(), "delete table inet cut\n").unwrap();
}

#[test]
fn the_page_shows_the_mesh_and_a_cut_link_turns_red() {
    let mesh = Mesh::up(include_str!("../../topologies/demo.yaml"));
    mesh.all_reach();
    let dashboard = Dashboard::of(&mesh);
    let page = Page(Browser::start().unwrap());
    page.0.open(dashboard.address()).unwrap();

    let all_well = ["a1", "a2", "b1", "b2", "h1"].map(|name| (name.to_owned(), json!("healthy")));
    page.awaits("five nodes that are well", Page::NODES, &Value::Object(all_well.into_iter().collect()));
    page.awaits("every way up", &Page::links_in("up"), &json!(all_links()));
    assert_eq!(page.get("return document.querySelectorAll('#matrix tbody tr').length"), 3);

    let picture = std::env::var_os(PICTURE_VARIABLE);
    if picture.is_some() {
        // The picture shows a mesh without loss, and a loss counts for a hundred probes.
        page.awaits("paths without loss", "return document.querySelectorAll('.link:not(.near)').length", &json!(0));
    }
    cut(&mesh, "home", "a1");
    let cut_at = Instant::now();
    page.awaits("the cut link", &Page::links_in("down"), &json!(["a1 h1"]));
    let took = cut_at.elapsed();
    eprintln!("the cut link was red after {} ms", took.as_millis());
    assert!(took < PROMISE, "{took:?}");
    assert_is_red(&page);
    page.awaits(
        "the event",
        "return [...document.querySelectorAll('#stream [data-kind=path]')].some((event) => event.textContent.includes('h1'))",
        &json!(true),
    );

    look_by_keyboard(&page);
    if let Some(file) = picture {
        std::fs::write(file, page.0.screenshot().unwrap()).unwrap();
    }
    mend(&mesh, "home");
    page.awaits("the mended link", &Page::links_in("down"), &json!([]));

    mesh.node("b2").unwrap().kill_agent().unwrap();
    page.awaits(
        "a silent agent",
        "return document.querySelector('[data-node=b2]').dataset.state",
        &json!("unreachable"),
    );

    assert_eq!(page.0.complaints().unwrap(), Vec::<String>::new());
    page.get("console.error('seen')");
    assert_eq!(page.0.complaints().unwrap().len(), 1, "the console is read");
}

/// The lines whose median is at least 40 ms, of those that have one.
const LONG_LINES: &str = "
    const lines = [...document.querySelectorAll('[data-link]')];
    const ms = (line) => Number(/([\\d.]+) ms/.exec(line.getAttribute('aria-label'))?.[1] ?? 0);
    return lines.filter((line) => ms(line) >= 40).map((line) => line.dataset.link).sort()";

#[test]
fn a_long_path_shows_for_exactly_the_lines_that_take_it() {
    let mesh = Mesh::up(include_str!("../../topologies/demo.yaml"));
    mesh.all_reach();
    let dashboard = Dashboard::of(&mesh);
    let page = Page(Browser::start().unwrap());
    page.0.open(dashboard.address()).unwrap();
    page.awaits("every way up", &Page::links_in("up"), &json!(all_links()));
    assert_eq!(page.get(LONG_LINES), json!([]));

    // A median is of the last hundred probes: it follows when the half of them were late.
    let _delay = Delay::start(mesh.site("cloud-b").unwrap().router(), Duration::from_millis(40)).unwrap();
    let cloud_b = ["a1 b1", "a1 b2", "a2 b1", "a2 b2", "b1 h1", "b2 h1"];
    page.awaits("cloud-b is far", LONG_LINES, &json!(cloud_b));
    for (pair, is_long) in [("cloud-a cloud-b", true), ("cloud-b home", true), ("cloud-a home", false)] {
        let cell = page.get(&format!("return document.querySelector('[data-pair=\"{pair}\"] .state').textContent"));
        let ms: f64 = cell.as_str().unwrap().trim_end_matches(" ms").parse().unwrap();
        assert_eq!(ms >= 40.0, is_long, "{pair}: {cell}");
    }
    assert_eq!(page.0.complaints().unwrap(), Vec::<String>::new());
}

/// Checks that the line and the cell of the matrix are red, and show the state as text too.
fn assert_is_red(page: &Page) {
    let colour = page.get("return getComputedStyle(document.querySelector('[data-link=\"a1 h1\"] .stroke')).stroke");
    let parts: Vec<u32> = colour
        .as_str()
        .unwrap()
        .split(|letter: char| !letter.is_ascii_digit())
        .filter_map(|part| part.parse().ok())
        .collect();
    assert!(parts[0] > 2 * parts[1] && parts[0] > 2 * parts[2], "{colour}");
    let label = page.get("return document.querySelector('[data-link=\"a1 h1\"]').getAttribute('aria-label')");
    assert!(label.as_str().unwrap().contains("tunnel: down"), "{label}");
    let cell = page.get("return document.querySelector('[data-pair=\"home cloud-a\"]').textContent");
    assert!(cell.as_str().unwrap().contains("down"), "{cell}");
}

/// The element that the keyboard selected stays selected and keeps the focus while the page refreshes.
fn look_by_keyboard(page: &Page) {
    page.get("document.querySelector('[data-link=\"a1 h1\"]').focus()");
    page.0.press(ENTER).unwrap();
    let details = page.get("return document.querySelector('#details').textContent");
    assert!(details.as_str().unwrap().contains("h1 → a1"), "{details}");
    let before = page.get("return document.querySelector('#age').textContent");
    wait::until("the next look", || {
        Ok((page.0.run("return document.querySelector('#age').textContent")? != before).then_some(()))
    })
    .unwrap();
    assert_eq!(page.get("return document.activeElement.dataset.link"), "a1 h1");
    assert_eq!(page.get("return document.activeElement.getAttribute('aria-pressed')"), "true");
}
