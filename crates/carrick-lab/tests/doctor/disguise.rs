//! An agent whose pages are changed on their way.

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use carrick_lab::node::Node;
use serde_json::Value;

/// What ends the head of a request and of an answer.
const END_OF_HEAD: &str = "\r\n\r\n";

/// A server at the path of an agent's socket that forwards requests to the agent and changes the answers, until this is dropped.
pub struct Disguise {
    place: PathBuf,
    agent: PathBuf,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Disguise {
    /// Stands before a node's agent and changes the pages that it gives; a page that becomes none is not found.
    pub fn put_on(node: &Node, change: impl Fn(Value) -> Option<Value> + Send + 'static) -> Self {
        let place = node.path("/run/carrick/agent.sock").unwrap();
        let agent = place.with_extension("real");
        std::fs::rename(&place, &agent).unwrap();
        let listener = UnixListener::bind(&place).unwrap();
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
        Self { place, agent, ended, thread: Some(thread) }
    }
}

impl Drop for Disguise {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // It wakes up for this.
        drop(UnixStream::connect(&self.place));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
        // A node that is gone has no socket either.
        drop(std::fs::rename(&self.agent, &self.place));
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
