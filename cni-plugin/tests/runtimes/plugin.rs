//! Fixture of an installed plugin: installed as the agent does it, with a script in front that records the calls of the runtime.

use std::fs::{self, Permissions};
use std::io::{Write as _, stderr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use carrick_pods::call_log::CallLog;
use carrick_pods::installation::{CONFIGURATION_FILE, Installation};
use serde::Deserialize;
use serde_json::Value;

use crate::node::Node;

/// The default directories of the runtimes. `ctr` of containerd uses no others.
pub const CONFIGURATION_DIRECTORY: &str = "/etc/cni/net.d";
pub const PLUGIN_DIRECTORY: &str = "/opt/cni/bin";
/// The name of the image in `CARRICK_RUNTIMES_IMAGE`: busybox with links for its commands.
pub const IMAGE: &str = "localhost/box:runtimes";
/// The parent of the containers' control groups. `scripts/test-runtimes.sh` removes what the runtimes leave there.
pub const CONTROL_GROUP: &str = "/carrick-runtimes";

/// The script between runtime and plugin.
const RECORDER: &str = r#"#!/bin/sh
configuration=$(cat)
printf '{"command":"%s","container":"%s","namespace":"%s","configuration":%s}\n' \
  "$CNI_COMMAND" "$CNI_CONTAINERID" "$CNI_NETNS" "$configuration" >>RECORD
printf %s "$configuration" | BINARY
"#;

/// An installed plugin.
pub struct Plugin<'a> {
    node: &'a Node,
    record: PathBuf,
    log: CallLog,
}

/// A recorded call of a runtime.
#[derive(Debug, Deserialize)]
pub struct Call {
    pub command: String,
    pub container: String,
    pub namespace: String,
    pub configuration: Value,
}

impl<'a> Plugin<'a> {
    pub fn install(node: &'a Node) -> Self {
        let installation = Installation {
            configuration_directory: CONFIGURATION_DIRECTORY.into(),
            binary_directory: node.run_directory().join("bin"),
            run_directory: node.run_directory().into(),
            binary: env!("CARGO_BIN_EXE_carrick-cni").into(),
        };
        installation.install().unwrap();
        let record = node.run_directory().join("record");
        let binary = installation.binary_directory.join("carrick-cni");
        let recorder = RECORDER.replace("RECORD", record.to_str().unwrap()).replace("BINARY", binary.to_str().unwrap());
        fs::create_dir_all(PLUGIN_DIRECTORY).unwrap();
        let path = Path::new(PLUGIN_DIRECTORY).join("carrick-cni");
        fs::write(&path, recorder).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        Self { node, record, log: CallLog::follow(node.run_directory()) }
    }

    /// The plugin list that the agent writes.
    pub fn configuration(&self) -> Value {
        let path = Path::new(CONFIGURATION_DIRECTORY).join(CONFIGURATION_FILE);
        serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
    }

    pub fn calls(&self) -> Vec<Call> {
        let record = fs::read_to_string(&self.record).unwrap();
        record.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The commands for the container whose ID ends with `container`, in order.
    pub fn commands(&self, container: &str) -> Vec<String> {
        let calls = self.calls().into_iter().filter(|call| call.container.ends_with(container));
        calls.map(|call| call.command).collect()
    }

    /// Checks that every call succeeded and that nothing of the containers remains.
    #[track_caller]
    pub fn assert_clean(&mut self) {
        let records = self.log.take_new().unwrap();
        assert!(!records.is_empty(), "the plugin was never called");
        assert!(records.iter().all(|record| record.code == 0), "{records:?}");
        self.node.assert_nothing_left();
    }
}

/// The program of a runtime; `None` if it is not installed. The message goes directly to standard error, because the test harness
/// captures what tests print.
pub fn program(name: &str) -> Option<PathBuf> {
    let directories = std::env::var_os("PATH").unwrap();
    let found = std::env::split_paths(&directories).map(|directory| directory.join(name)).find(|path| path.exists());
    if found.is_none() {
        skip(name, "it is not installed; scripts/test-runtimes.sh installs it");
    }
    found
}

/// Reports a runtime that is not tested. Fails if all runtimes are required.
pub fn skip(runtime: &str, why: &str) {
    assert!(std::env::var_os("CARRICK_REQUIRE_ALL").is_none(), "{runtime}: {why}");
    say(&format!("SKIPPED {runtime}: {why}"));
}

pub fn say(line: &str) {
    stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// The archive of [`IMAGE`].
pub fn image() -> PathBuf {
    std::env::var_os("CARRICK_RUNTIMES_IMAGE").expect("these tests are run by scripts/test-runtimes.sh").into()
}
