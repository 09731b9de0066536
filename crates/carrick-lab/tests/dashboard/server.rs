//! The server of the dashboard, and the requests that it refuses.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use carrick_lab::binaries;

use crate::browser::{bound, exchange_whole};
use crate::mesh::Mesh;

/// A running `carrickctl dashboard`. Dropping it ends it.
pub struct Dashboard {
    program: Child,
    address: String,
}

impl Dashboard {
    /// Starts the dashboard on a free port, with the sockets of agents.
    pub fn start(sockets: impl IntoIterator<Item = String>) -> Self {
        let sockets = sockets.into_iter().flat_map(|socket| ["--socket".to_owned(), socket]);
        let mut program = bound(binaries::find("carrickctl").unwrap())
            .args(["dashboard", "--listen", "127.0.0.1:0"])
            .args(sockets)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut address = String::new();
        BufReader::new(program.stdout.take().unwrap()).read_line(&mut address).unwrap();
        Self { program, address: address.trim().to_owned() }
    }

    /// Starts the dashboard for all nodes of a mesh.
    pub fn of(mesh: &Mesh) -> Self {
        let socket = |path: std::path::PathBuf| path.to_str().unwrap().to_owned();
        Self::start(mesh.nodes().map(|node| socket(node.path("/run/carrick/agent.sock").unwrap())))
    }

    /// The address of the page.
    pub fn address(&self) -> &str {
        &self.address
    }

    fn port(&self) -> u16 {
        self.address.trim_end_matches('/').rsplit(':').next().unwrap().parse().unwrap()
    }
}

impl Drop for Dashboard {
    fn drop(&mut self) {
        let _ended = self.program.kill().and_then(|()| self.program.wait());
    }
}

#[test]
fn a_foreign_name_is_refused_and_nothing_foreign_is_let_in() {
    let dashboard = Dashboard::start(["/nonexistent/agent.sock".to_owned()]);
    let port = dashboard.port();
    let get = |host: &str, path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        exchange_whole(port, &request).unwrap()
    };
    for path in ["/", "/data.json"] {
        let (status, _, body) = get("rebound.example", path);
        assert_eq!(status, 421, "{body}");
    }
    for host in [&format!("127.0.0.1:{port}"), &format!("localhost:{port}")] {
        let (status, head, body) = get(host, "/");
        assert_eq!(status, 200);
        assert!(head.contains("content-security-policy: default-src 'none'; script-src 'self'"), "{head}");
        assert!(body.contains("script.js") && !body.contains("://"), "{body}");
    }
    let (status, head, body) = get("localhost", "/data.json");
    assert_eq!((status, head.contains("content-security-policy")), (200, true));
    assert!(body.contains("there is no /nonexistent/agent.sock"), "{body}");
}
