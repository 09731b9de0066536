//! A mesh that is made ill and gets well again.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use carrick_lab::namespace::Namespaces;
use serde_json::Value;

use crate::ctl::ask;
use crate::mesh::Mesh;

/// Two clouds, one with an inner node, and a home behind NAT.
const CLOUDS: &str = "
agent: {flags: ['--standby-gateways=0']}
locations:
  - {name: a, nodes: [{name: a1}, {name: a2}]}
  - {name: b, nodes: [{name: b1}]}
  - {name: home, router: nat, nodes: [{name: h1, annotations: {carrick.dev/persistent-keepalive: '25'}}]}
";

/// What is not told within this time is never told: agents try again within half a minute what failed.
const PATIENCE: Duration = Duration::from_secs(180);
/// Between two visits.
const PAUSE: Duration = Duration::from_millis(200);

/// A mesh of which the doctor says that all is well.
pub struct Patient(pub Mesh);

impl Patient {
    pub fn in_good_health() -> Self {
        let patient = Self(Mesh::up(CLOUDS));
        patient.0.all_reach();
        patient.is_told(&[]);
        patient
    }

    /// Breaks something, sees the one verdict, mends it, and sees none.
    pub fn suffers(&self, verdict: &str, harm: impl FnOnce(&Mesh), cure: impl FnOnce(&Mesh)) -> String {
        harm(&self.0);
        let text = self.is_told(&[verdict]);
        cure(&self.0);
        self.is_told(&[]);
        text
    }

    /// As [`Patient::suffers`], where the agent puts right what it finds, so that it is broken before each look.
    pub fn suffers_again_and_again(&self, verdict: &str, harm: impl Fn(&Mesh)) -> String {
        let text = self.visit_until(&[verdict], || harm(&self.0));
        self.is_told(&[]);
        text
    }

    /// Asks until exactly these are the verdicts; gives their texts.
    pub fn is_told(&self, verdicts: &[&str]) -> String {
        self.visit_until(verdicts, || ())
    }

    fn visit_until(&self, verdicts: &[&str], before: impl Fn()) -> String {
        let mut last = (Vec::new(), String::new());
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            before();
            let visit = self.visit();
            if visit.0 != last.0 {
                eprintln!("told {:?}: {}", visit.0, visit.1);
            }
            last = visit;
            if last.0 == verdicts {
                return last.1;
            }
            std::thread::sleep(PAUSE);
        }
        panic!("told {:#?} instead of {verdicts:?}:\n{}", last.0, last.1);
    }

    /// Check, severity and node of everything that is not well, and the texts.
    fn visit(&self) -> (Vec<String>, String) {
        let said = ask(&self.0, &["doctor", "-o", "json"]);
        let findings = said.json()["findings"].as_array().unwrap().clone();
        let wrong: Vec<&Value> = findings.iter().filter(|finding| finding["severity"] != "ok").collect();
        let is_problem = wrong.iter().any(|finding| finding["severity"] == "problem");
        assert_eq!(said.code, i32::from(is_problem), "{said:?}");
        for finding in &wrong {
            assert_ne!(finding["remedy"], "", "{finding}");
        }
        let text = |finding: &&Value| finding["text"].as_str().unwrap().to_owned();
        let texts = wrong.iter().map(text).collect::<Vec<_>>().join("\n");
        (wrong.into_iter().map(title).collect(), texts)
    }
}

fn title(finding: &Value) -> String {
    let [severity, check, node] = ["severity", "check", "node"].map(|key| finding[key].as_str().unwrap_or("-"));
    format!("{severity} {check} {node}")
}

/// Runs a shell command on a node.
pub fn run(mesh: &Mesh, node: &str, command: &str) -> String {
    mesh.node(node).unwrap().exec(&["sh", "-ec", command]).unwrap()
}

/// An `nft` that has locked a table of its own, as firewalld does: no other process can change it, and the kernel removes it with its owner.
pub struct LockedTable(Child);

impl LockedTable {
    pub fn new(node: &Namespaces, commands: &str) -> Self {
        let mut command = Command::new("nft");
        command.arg("-i").stdin(Stdio::piped()).stdout(Stdio::null());
        let mut child = node.spawn(&mut command).unwrap();
        std::io::Write::write_all(child.stdin.as_mut().unwrap(), commands.as_bytes()).unwrap();
        Self(child)
    }
}

impl Drop for LockedTable {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

/// The process of the node's userspace WireGuard.
pub fn data_path(mesh: &Mesh, node: &str) -> String {
    let list = "for entry in /proc/[0-9]*; do tr '\\0' ' ' < $entry/cmdline | grep -q '[u]serspace-wireguard' && \
        [ $(readlink $entry/ns/net) = $(readlink /proc/self/ns/net) ] && basename $entry; done; true";
    run(mesh, node, list).lines().next().unwrap().to_owned()
}
