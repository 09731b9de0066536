//! A mesh in which a test causes faults, and the findings of `carrickctl doctor` about it.

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

/// How long to wait for findings. Agents repeat a failed operation after half a minute at the latest.
const TIMEOUT: Duration = Duration::from_secs(180);
/// The time between two runs of `carrickctl doctor`.
const PAUSE: Duration = Duration::from_millis(200);

/// A mesh without findings at the start of a test.
pub struct DiagnosedMesh(pub Mesh);

/// Severity, check and node of each finding that is not "ok", and the texts.
type Diagnosis = (Vec<String>, String);

impl DiagnosedMesh {
    pub fn without_findings() -> Self {
        let diagnosed = Self(Mesh::up(CLOUDS));
        diagnosed.0.all_reach();
        diagnosed.await_findings(&[]);
        diagnosed
    }

    /// Causes a fault, waits until it is the only finding, repairs it, and waits until there is none. Returns the finding's text.
    pub fn reports(&self, finding: &str, cause: impl FnOnce(&Mesh), repair: impl FnOnce(&Mesh)) -> String {
        cause(&self.0);
        let text = self.await_findings(&[finding]);
        repair(&self.0);
        self.await_findings(&[]);
        text
    }

    /// As [`DiagnosedMesh::reports`], and waits until the finding's text has these words: nodes find a fault one after the other.
    pub fn reports_with(&self, finding: &str, words: &str, cause: impl FnOnce(&Mesh), repair: impl FnOnce(&Mesh)) {
        cause(&self.0);
        let is_found = |diagnosis: &Diagnosis| diagnosis.0 == [finding] && diagnosis.1.contains(words);
        self.diagnose_until(&format!("{finding} with `{words}`"), is_found, || ());
        repair(&self.0);
        self.await_findings(&[]);
    }

    /// Causes a fault, waits until it is among the findings, repairs it, and waits until there is none. For a fault that breaks tunnels or not,
    /// depending on which packet comes first. Returns the texts.
    pub fn reports_among(&self, finding: &str, cause: impl FnOnce(&Mesh), repair: impl FnOnce(&Mesh)) -> String {
        cause(&self.0);
        let is_found = |diagnosis: &Diagnosis| diagnosis.0.iter().any(|found| found == finding);
        let text = self.diagnose_until(finding, is_found, || ());
        repair(&self.0);
        self.await_findings(&[]);
        text
    }

    /// Causes a fault that the agent repairs until it is among the findings, and returns the texts. Then the agent of the node starts anew, because
    /// it says for ten minutes that another program undoes what it writes.
    pub fn reports_before_the_repair(&self, finding: &str, node: &str, cause: impl Fn(&Mesh)) -> String {
        let is_found = |diagnosis: &Diagnosis| diagnosis.0.iter().any(|found| found == finding);
        let text = self.diagnose_until(finding, is_found, || cause(&self.0));
        let node = self.0.node(node).unwrap();
        node.kill_agent().unwrap();
        node.start_agent().unwrap();
        node.await_agent().unwrap();
        self.await_findings(&[]);
        text
    }

    /// Waits until these are the only findings. Returns their texts.
    pub fn await_findings(&self, findings: &[&str]) -> String {
        self.diagnose_until(&format!("{findings:?}"), |diagnosis| diagnosis.0 == findings, || ())
    }

    fn diagnose_until(&self, wanted: &str, is_found: impl Fn(&Diagnosis) -> bool, before: impl Fn()) -> String {
        let mut last = (Vec::new(), String::new());
        let began = Instant::now();
        while began.elapsed() < TIMEOUT {
            before();
            let diagnosis = self.diagnose();
            if diagnosis != last {
                eprintln!("found {:?}: {}", diagnosis.0, diagnosis.1);
            }
            last = diagnosis;
            if is_found(&last) {
                return last.1;
            }
            std::thread::sleep(PAUSE);
        }
        panic!("found {:#?} instead of {wanted}:\n{}", last.0, last.1);
    }

    /// Severity, check and node of each warning and problem, and the texts.
    fn diagnose(&self) -> Diagnosis {
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

/// An `nft` that owns a table, as firewalld does: no other process can change the table, and the kernel removes it when the owner ends.
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
