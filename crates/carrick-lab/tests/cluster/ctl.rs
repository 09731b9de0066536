//! `carrickctl` on an admin's machine, which has a kubeconfig only.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Output, Stdio};

use carrick_lab::binaries;
use carrick_lab::{Lab, wait};

/// The program with an admin's kubeconfig in a temporary directory.
struct Admin<'l> {
    lab: &'l Lab,
    folder: tempfile::TempDir,
}

impl<'l> Admin<'l> {
    fn new(lab: &'l Lab) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("kubeconfig"), lab.kubernetes().admin_kubeconfig().unwrap()).unwrap();
        Self { lab, folder }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binaries::find("carrickctl").unwrap());
        // The agents and their kubelets share two processors with all others here.
        command
            .args(arguments)
            .args(["--timeout", "20s"])
            .arg("--kubeconfig")
            .arg(self.folder.path().join("kubeconfig"));
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.lab.kubernetes().namespaces().output(&mut self.command(arguments)).unwrap()
    }

    /// The output of a command. The command must find no fault.
    fn sees(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{arguments:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
        text
    }
}

pub fn carrickctl_needs_a_kubeconfig_alone(lab: &Lab) {
    let admin = Admin::new(lab);
    let nodes: Vec<&str> = lab.nodes().map(|node| node.name()).collect();
    admin.sees(&["wait", "--within", "60"]);
    assert_eq!(admin.run(&["wait", "a9", "--within", "1"]).status.code(), Some(1), "there is no such node");
    pods_of_a_test_reach_each_other(lab, &admin);
    for command in ["status", "peers", "latency"] {
        let text = admin.sees(&[command, if command == "latency" { "--nodes" } else { "--no-color" }]);
        let missing: Vec<_> = nodes.iter().filter(|node| !text.contains(**node)).collect();
        assert!(missing.is_empty(), "{command} lacks {missing:?}: {text}");
    }
    admin.sees(&["doctor"]);
    let pods = lab.cluster_pods().unwrap();
    for (from, to) in pods.iter().zip(pods.iter().cycle().skip(1)) {
        let names = [from, to].map(|pod| format!("default/{}", pod.name));
        let text = admin.sees(&["trace", &names[0], &names[1]]);
        assert!(text.contains(&from.node) && text.contains(&to.node), "{text}");
    }
    let live = admin.sees(&["trace", "a2", "h1", "--live"]);
    assert!(live.matches("probes arrive").count() >= 2, "there and back: {live}");
    gateways_drain(&admin);
    dashboard(&admin, &nodes);
}

/// `h1` is the only node of its location.
fn gateways_drain(admin: &Admin<'_>) {
    let drained = admin.sees(&["gateway", "drain", "a1", "--reason", "a new disk"]);
    assert!(drained.contains("a1: traffic has left it on"), "{drained}");
    let status = admin.sees(&["status"]);
    assert!(status.contains("a1 drains; other gateways carry its traffic"), "{status}");
    let back = admin.sees(&["gateway", "undrain", "a1"]);
    assert!(back.contains("a1: traffic goes to it again on"), "{back}");
    let alone = admin.run(&["gateway", "drain", "h1"]);
    let text = String::from_utf8_lossy(&alone.stdout).into_owned();
    assert!(alone.status.code() == Some(1) && text.contains("no other gateway of its location"), "{text}");
    admin.sees(&["gateway", "undrain", "h1"]);
    assert_eq!(admin.run(&["gateway", "drain", "a9"]).status.code(), Some(2), "there is no such node");
}

fn dashboard(admin: &Admin<'_>, nodes: &[&str]) {
    let namespaces = admin.lab.kubernetes().namespaces();
    let mut command = admin.command(&["dashboard", "--listen", "127.0.0.1:0"]);
    let mut process = namespaces.spawn(command.stdout(Stdio::piped())).unwrap();
    let mut line = String::new();
    BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address: SocketAddr = line.trim().trim_start_matches("http://").trim_end_matches('/').parse().unwrap();
    let data = wait::until("the dashboard's data", || {
        let text = namespaces.enter(|| get(address, "/data.json"))?;
        Ok(nodes.iter().all(|node| text.contains(*node)).then_some(()))
    });
    process.kill().unwrap();
    process.wait().unwrap();
    data.unwrap();
}

/// The request's `Host` is the address of the page: the dashboard answers no other host.
fn get(address: SocketAddr, page: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET {page} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

/// One node of each of the three locations asks the two others.
fn pods_of_a_test_reach_each_other(lab: &Lab, admin: &Admin<'_>) {
    let text = admin.sees(&["test"]);
    for part in ["LARGEST PACKET", "DNS NAME", "(home)", "questions were answered"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    wait::until("the namespace of the test to be gone", || {
        let namespaces = lab.kubernetes().kubectl(&["get", "namespaces", "--output=name"])?;
        Ok((!namespaces.contains("carrick-test-")).then_some(()))
    })
    .unwrap();
}
