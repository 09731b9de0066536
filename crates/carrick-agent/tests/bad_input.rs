//! What a person gets wrong is told by name, ends with the exit code of its kind, and leaves nothing behind.
#![expect(clippy::unwrap_used, reason = "all of this is tests")]

use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

/// A command line in a network namespace of its own.
struct Attempt {
    folder: TempDir,
    command: Vec<String>,
}

impl Attempt {
    fn new(arguments: &[&str]) -> Self {
        let mut command = vec!["agent".to_owned()];
        command.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        Self { folder: TempDir::new().unwrap(), command }
    }

    fn with_kubeconfig(mut self) -> Self {
        let file = self.folder.path().join("kubeconfig");
        std::fs::write(&file, include_str!("bad_input/kubeconfig.yaml")).unwrap();
        self.command.extend(["--kubeconfig".to_owned(), file.to_str().unwrap().to_owned()]);
        self
    }

    fn state(&self) -> std::path::PathBuf {
        self.folder.path().join("state")
    }

    /// Runs it after `before`, and then shows the namespace's links on stdout.
    fn run(&self, before: &str, through: &str) -> Output {
        let run = self.folder.path().join("run");
        let script = format!("{before}\n{through} \"$@\"; code=$?; ip -oneline link; exit $code");
        Command::new("unshare")
            .args(["--net", "--mount", "sh", "-c", &script, "sh", env!("CARGO_BIN_EXE_carrick")])
            .args(&self.command)
            .args([Path::new("--state-dir"), &self.state(), Path::new("--run-dir"), &run])
            .env_remove("KUBECONFIG")
            .output()
            .unwrap()
    }
}

#[track_caller]
fn assert_refused(output: &Output, code: i32, says: &[&str]) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    for text in says {
        assert!(stderr.contains(text), "`{text}` is not in: {stderr}");
    }
    let links = String::from_utf8_lossy(&output.stdout);
    assert!(links.contains("lo:") && links.lines().count() == 1, "left behind: {links}");
}

#[test]
fn a_wrong_flag_is_named_with_its_value() {
    let cases: [(&[&str], &[&str]); 5] = [
        (&["--granularity", "big"], &["`big`", "location, cross, full"]),
        (&["--mesh-cidr", "10.4.0.0/40"], &["10.4.0.0/40", "--mesh-cidr", "not a CIDR"]),
        (&["--interface", "a-very-long-device-name"], &["a-very-long-device-name", "15 bytes"]),
        (&["--port", "0"], &["--port", "0 is not in 1..="]),
        (&["--wireguard", "magic"], &["magic", "auto, kernel, userspace"]),
    ];
    for (arguments, says) in cases {
        assert_refused(&Attempt::new(arguments).with_kubeconfig().run("", ""), 2, says);
    }
}

#[test]
fn a_name_that_no_node_can_have_is_named() {
    let output = Attempt::new(&["--node-name", "A_B"]).with_kubeconfig().run("", "");
    assert_refused(&output, 78, &["--node-name", "`A_B`"]);
}

#[test]
fn a_missing_kubeconfig_is_named_before_anything_is_made() {
    let attempt = Attempt::new(&["--node-name", "a", "--kubeconfig", "/nowhere/kubeconfig"]);
    assert_refused(&attempt.run("", ""), 78, &["/nowhere/kubeconfig", "No such file"]);
    assert!(!attempt.state().exists(), "a state directory was made");
    let none = Attempt::new(&["--node-name", "a"]);
    assert_refused(&none.run("", ""), 78, &["no API server is known", "--kubeconfig"]);
}

#[test]
fn a_damaged_key_is_named_and_kept() {
    let attempt = Attempt::new(&["--node-name", "a"]).with_kubeconfig();
    let key = attempt.state().join("private-key");
    let damage =
        format!("install -m 700 -d {0}; echo damaged > {1}; chmod 600 {1}", attempt.state().display(), key.display());
    assert_refused(&attempt.run(&damage, ""), 78, &[key.to_str().unwrap()]);
    assert_eq!(std::fs::read_to_string(&key).unwrap(), "damaged\n");
}

#[test]
fn without_permission_it_says_which_is_missing() {
    let attempt = Attempt::new(&["--node-name", "a", "--wireguard", "userspace"]).with_kubeconfig();
    let open = format!("chmod 777 {0}; chmod 644 {0}/kubeconfig", attempt.folder.path().display());
    let output = attempt.run(&open, "setpriv --reuid 65534 --clear-groups --bounding-set=-all --inh-caps=-all");
    assert_refused(&output, 77, &["CAP_NET_ADMIN"]);
}

#[test]
fn without_a_tunnel_device_it_says_how_to_get_one() {
    let attempt = Attempt::new(&["--node-name", "a", "--wireguard", "userspace"]).with_kubeconfig();
    let output = attempt.run("mount -t tmpfs none /dev/net; mount -t tmpfs none /run", "");
    assert_refused(&output, 77, &["/dev/net/tun", "modprobe tun"]);
}
