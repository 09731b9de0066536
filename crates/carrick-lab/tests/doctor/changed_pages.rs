//! A proxy in front of an agent that changes the agent's pages.

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use carrick_lab::node::Node;
use serde_json::Value;

/// The end of the head of an HTTP request or answer.
const END_OF_HEAD: &str = "\r\n\r\n";

/// A server at the path of an agent's socket. It forwards requests to the agent and changes the answers. Dropping it restores the socket.
pub struct ChangedPages {
    socket: PathBuf,
    agent: PathBuf,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl ChangedPages {
    /// Starts the server for a node's agent. `change` returns the changed page, or `None` for HTTP status 404.
    pub fn install(node: &Node, change: impl Fn(Value) -> Option<Value> + Send + 'static) -> Self {
        let socket = node.path("/run/carrick/agent.sock").unwrap();
        let agent = socket.with_extension("real");
        std::fs::rename(&socket, &agent).unwrap();
        let listener = UnixListener::bind(&socket).unwrap();
        let ended = Arc::new(AtomicBool::new(false));
        let (behind, is_over) = (agent.clone(), Arc::clone(&ended));
        let thread = std::thread::spawn(move || {
            for client in listener.incoming() {
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
                answer(&mut client.unwrap(), &behind, &change);
            }
        });
        Self { socket, agent, ended, thread: Some(thread) }
    }
}

impl Drop for ChangedPages {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // The thread waits for a connection.
        drop(UnixStream::connect(&self.socket));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
        // If the test removed the node, there is no socket to restore.
        drop(std::fs::rename(&self.agent, &self.socket));
    }
}

fn answer(client: &mut UnixStream, agent: &Path, change: impl Fn(Value) -> Option<Value>) {
    let mut request = Vec::new();
    while !request.ends_with(END_OF_HEAD.as_bytes()) {
        let mut byte = [0];
        client.read_exact(&mut byte).unwrap();
        request.extend(byte);
    }
    let mut stream = UnixStream::connect(agent).unwrap();
    stream.write_all(&request).unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    let (_, body) = page.split_once(END_OF_HEAD).unwrap();
    let answer = match change(serde_json::from_str(body).unwrap()) {
        Some(page) => format!("HTTP/1.0 200 OK{END_OF_HEAD}{page}"),
        None => format!("HTTP/1.0 404 Not Found{END_OF_HEAD}"),
    };
    // The client may have closed the connection.
    drop(client.write_all(answer.as_bytes()));
}
