//! Calls of the plugin.

use std::io::Write;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::node::{Node, Pod};

/// A call that has not run yet. Tests change its fields to make it invalid.
#[derive(Clone)]
pub struct Call {
    pub command: &'static str,
    pub container_id: String,
    pub interface: String,
    pub namespace: Option<String>,
    pub arguments: Option<String>,
    pub configuration: String,
}

/// Detaches pods and checks that nothing of them remains.
#[track_caller]
pub fn detach_all(node: &Node, pods: &[(&Pod, &str)]) {
    for (pod, container_id) in pods {
        Call::new("DEL", node, pod, container_id).run().silent();
    }
    node.assert_nothing_left();
}

/// The answer of the plugin.
#[derive(Debug)]
pub struct Reply {
    pub success: bool,
    pub stdout: String,
    pub stderr: String,
}

impl Call {
    /// A call as containerd makes it, with the configuration of `fixtures/configuration.json`.
    pub fn new(command: &'static str, node: &Node, pod: &Pod, container_id: &str) -> Self {
        let run_directory = node.run_directory().to_str().unwrap();
        Self {
            command,
            container_id: container_id.to_owned(),
            interface: "eth0".to_owned(),
            namespace: Some(pod.path().to_str().unwrap().to_owned()),
            arguments: Some(format!("IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=pod-{container_id}")),
            configuration: include_str!("fixtures/configuration.json").replace("RUN_DIRECTORY", run_directory),
        }
    }

    pub fn version(mut self, version: &str) -> Self {
        self.set("cniVersion", version.into());
        self
    }

    pub fn set(&mut self, key: &str, value: Value) {
        let mut configuration: Value = serde_json::from_str(&self.configuration).unwrap();
        configuration[key] = value;
        self.configuration = configuration.to_string();
    }

    /// Adds what the runtime requests through capabilities.
    pub fn asking(mut self, runtime_configuration: Value) -> Self {
        self.set("runtimeConfig", runtime_configuration);
        self
    }

    /// Starts the plugin, which waits for its configuration.
    pub fn spawn(&self) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_carrick-cni"));
        command.env_clear().env("CNI_PATH", "/opt/cni/bin").env("CNI_COMMAND", self.command);
        command.env("CNI_CONTAINERID", &self.container_id).env("CNI_IFNAME", &self.interface);
        command.envs(self.namespace.iter().map(|path| ("CNI_NETNS", path)));
        command.envs(self.arguments.iter().map(|arguments| ("CNI_ARGS", arguments)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    pub fn run(&self) -> Reply {
        let mut child = self.spawn();
        self.feed(&mut child);
        Reply::of(child)
    }

    pub fn feed(&self, child: &mut Child) {
        // The plugin may refuse its environment before it reads standard input.
        let _broken_pipe = child.stdin.take().unwrap().write_all(self.configuration.as_bytes());
    }
}

impl Reply {
    pub fn of(child: Child) -> Self {
        let output = child.wait_with_output().unwrap();
        Self {
            success: output.status.success(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The result of a call that must succeed.
    #[track_caller]
    pub fn result(&self) -> Value {
        assert!(self.success && self.stderr.is_empty(), "{self:?}");
        serde_json::from_str(&self.stdout).expect("nothing but JSON on stdout")
    }

    /// Checks that the call succeeded without output.
    #[track_caller]
    pub fn silent(&self) {
        assert!(self.success && self.stdout.is_empty() && self.stderr.is_empty(), "{self:?}");
    }

    /// The error code and the details of a call that must fail.
    #[track_caller]
    pub fn failure(&self) -> (u64, String) {
        assert!(!self.success && self.stderr.is_empty(), "{self:?}");
        let error: Value = serde_json::from_str(&self.stdout).expect("nothing but JSON on stdout");
        assert!(error["cniVersion"].is_string() && !error["msg"].as_str().unwrap().is_empty(), "{error}");
        (error["code"].as_u64().unwrap(), error["details"].as_str().unwrap().to_owned())
    }

    /// The pod's addresses, without prefix lengths.
    #[track_caller]
    pub fn addresses(&self) -> Vec<String> {
        let result = self.result();
        let ips = result["ips"].as_array().unwrap().iter();
        ips.map(|ip| ip["address"].as_str().unwrap().split('/').next().unwrap().to_owned()).collect()
    }
}
