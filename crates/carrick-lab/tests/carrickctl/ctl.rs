//! Runs the program `carrickctl`.

use std::process::Command;

use carrick_lab::binaries;
use serde_json::Value;

use crate::mesh::Mesh;

/// The output and the exit status of the program.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Said {
    /// The output of a command with `-o json`.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Runs `carrickctl` with arguments.
pub fn run<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Said {
    let program = binaries::find("carrickctl").unwrap();
    let output = Command::new(program).args(arguments).env_remove("KUBECONFIG").output().unwrap();
    Said {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs `carrickctl` with the agents' sockets of all nodes of a mesh. A node that is off has no socket.
pub fn ask(mesh: &Mesh, arguments: &[&str]) -> Said {
    let sockets = mesh.nodes().map(|node| {
        let path =
            node.path("/run/carrick/agent.sock").unwrap_or_else(|_| format!("/nonexistent/{}", node.name()).into());
        path.to_str().unwrap().to_owned()
    });
    let sockets: Vec<String> = sockets.flat_map(|socket| ["--socket".to_owned(), socket]).collect();
    run(arguments.iter().copied().chain(sockets.iter().map(String::as_str)))
}
