//! A lab leaves nothing behind, whichever of its processes ends first. The command line finds running labs.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Output};

use carrick_lab::daemon::LabDaemon;
use carrick_lab::description::Description;
use carrick_lab::{Topology, state, wait};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const TOPOLOGY: &str = "
    agent: {start: false}
    locations:
      - {name: a, nodes: [{name: a1}, {name: a2}], devices: [{name: printer}]}
      - {name: home, router: nat, nodes: [{name: h1}]}";

fn program(lab: &str, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_carrick-lab")).args(["--name", lab]).args(arguments).output().unwrap()
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The namespaces of a lab's supervisors and of their children, except the machine's own.
fn namespaces(description: &Description) -> BTreeSet<String> {
    let supervisors = description.nodes.values().map(|node| node.supervisor).chain([description.supervisor]);
    let of = |pid: String| ["net", "mnt", "uts", "pid_for_children"].map(|kind| format!("/proc/{pid}/ns/{kind}"));
    let read = |path: String| std::fs::read_link(path).unwrap().to_string_lossy().into_owned();
    let machines: BTreeSet<String> = of("self".to_owned()).map(read).into_iter().collect();
    let all: BTreeSet<String> = supervisors.flat_map(|pid| of(pid.to_string())).map(read).collect();
    all.difference(&machines).cloned().collect()
}

/// The processes of this machine that are in one of the namespaces.
fn inside(namespaces: &BTreeSet<String>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for process in std::fs::read_dir("/proc").unwrap().flatten() {
        let links = ["net", "mnt", "uts", "pid"].map(|kind| process.path().join("ns").join(kind));
        let mut links = links.iter().filter_map(|link| std::fs::read_link(link).ok());
        if links.any(|link| namespaces.contains(&*link.to_string_lossy())) {
            found.insert(process.file_name().to_string_lossy().into_owned());
        }
    }
    found
}

/// Objects outside a lab's namespaces that a lab may create on the machine.
fn on_the_machine() -> [String; 3] {
    let print = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    [print("ip", &["netns"]), print("ip", &["-brief", "link"]), std::fs::read_to_string("/proc/mounts").unwrap()]
}

fn nothing_is_left(name: &str, namespaces: &BTreeSet<String>, before: &[String; 3]) {
    wait::until("the end of all processes", || Ok(inside(namespaces).is_empty().then_some(()))).unwrap();
    assert_eq!(&on_the_machine(), before);
    // The process that holds the lab is in none of its namespaces, and ends after them.
    wait::until("the end of the lab's holder", || Ok((!state::clear()?.contains(&name.to_owned())).then_some(())))
        .unwrap();
    assert!(!state::path_of(name).unwrap().exists());
}

fn after_the_end_by(name: &str, end: impl FnOnce(&LabDaemon, &Description)) {
    let before = on_the_machine();
    let daemon = LabDaemon::up(name, &Topology::parse(TOPOLOGY).unwrap()).unwrap();
    let description = daemon.description().unwrap();
    let namespaces = namespaces(&description);
    assert!(inside(&namespaces).len() >= 8, "a supervisor and a first process each for the internet and three nodes");
    end(&daemon, &description);
    nothing_is_left(name, &namespaces, &before);
}

fn kill_hard(pid: u32) {
    kill(Pid::from_raw(i32::try_from(pid).unwrap()), Signal::SIGKILL).unwrap();
}

fn child_of(pid: u32) -> u32 {
    std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap().trim().parse().unwrap()
}

#[test]
fn killing_the_holder_leaves_nothing() {
    after_the_end_by("kill-holder", |daemon, _| kill_hard(daemon.pid()));
}

#[test]
fn killing_the_first_process_leaves_nothing() {
    after_the_end_by("kill-first", |_, description| kill_hard(child_of(description.supervisor)));
}

#[test]
fn killing_the_supervisor_leaves_nothing() {
    after_the_end_by("kill-supervisor", |_, description| kill_hard(description.supervisor));
}

#[test]
fn ending_the_command_in_front_leaves_nothing() {
    let before = on_the_machine();
    let daemon = LabDaemon::up("end-front", &Topology::parse(TOPOLOGY).unwrap()).unwrap();
    let namespaces = namespaces(&daemon.description().unwrap());
    drop(daemon);
    nothing_is_left("end-front", &namespaces, &before);
}

/// Removes a lab when it is dropped, so also when its test fails.
struct TakenDown<'a>(&'a str);

impl Drop for TakenDown<'_> {
    fn drop(&mut self) {
        program(self.0, &["down"]);
    }
}

#[test]
fn a_lab_stays_up_until_it_is_taken_down() {
    let before = on_the_machine();
    let name = &format!("up-and-down-{}", std::process::id());
    let _end = TakenDown(name);
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(TOPOLOGY.as_bytes()).unwrap();
    let up = text(&program(name, &["up", file.path().to_str().unwrap()]));
    assert!(up.contains("h1") && up.contains("10.20.0.11"), "{up}");
    let namespaces = namespaces(&Description::read(name).unwrap());

    let second = program(name, &["up", file.path().to_str().unwrap()]);
    assert!(String::from_utf8_lossy(&second.stderr).contains("is running"));

    assert!(text(&program(name, &["status"])).contains("a2"));
    assert_eq!(text(&program(name, &["exec", "a2", "uname", "-n"])), "a2\n");
    assert!(text(&program(name, &["exec", "home", "ip", "-brief", "link"])).contains("wan0"));
    assert!(text(&program(name, &["exec", "printer", "ip", "-brief", "link"])).contains("eth0"));
    assert!(text(&program(name, &["exec", "internet", "ip", "-brief", "link"])).contains("home"));
    assert_eq!(program(name, &["exec", "a1", "sh", "-c", "exit 7"]).status.code(), Some(7));
    assert!(!program(name, &["exec", "missing", "true"]).status.success());

    text(&program(name, &["down"]));
    nothing_is_left(name, &namespaces, &before);
    assert!(!program(name, &["down"]).status.success());
}
