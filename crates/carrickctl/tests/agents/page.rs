//! The pages of a fake agent.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::UnixListener;
use tokio::sync::watch;

/// The number of agents that are asked at the same time. The first agents answer only when this number is reached.
pub const MAX_CONCURRENT: usize = 32;

/// The current and the greatest number of agents that are asked at the same time.
#[derive(Debug)]
pub struct Load {
    /// The number that must be reached before any agent answers.
    threshold: usize,
    now: AtomicUsize,
    most: watch::Sender<usize>,
}

impl Default for Load {
    fn default() -> Self {
        Self::of(MAX_CONCURRENT)
    }
}

impl Load {
    pub fn of(threshold: usize) -> Self {
        Self { threshold, now: AtomicUsize::default(), most: watch::Sender::default() }
    }

    pub fn most(&self) -> usize {
        *self.most.borrow()
    }

    async fn carry(&self, delay: Duration) {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.send_modify(|most| *most = now.max(*most));
        self.most.subscribe().wait_for(|most| *most >= self.threshold).await.unwrap();
        tokio::time::sleep(delay).await;
        self.now.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Answers one request as the agent of this node.
pub async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, node: &str, delay: Duration, load: &Load) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => request.push(byte),
            Err(_) => return,
        }
    }
    let path = String::from_utf8_lossy(&request).split(' ').nth(1).unwrap().to_owned();
    let answer = response(&path, node, delay, load).await;
    // The client may close the connection as soon as it has read the body.
    let _closed = stream.write_all(answer.as_bytes()).await;
    let _closed = stream.shutdown().await;
}

/// The answer to a request for a page, with its head.
pub async fn response(path: &str, node: &str, delay: Duration, load: &Load) -> String {
    load.carry(delay).await;
    let body = if path == "/status" { page(node) } else { "# EOF\n".to_owned() };
    format!("HTTP/1.0 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// A page of the size that a node of a mesh of some hundred nodes has.
fn page(node: &str) -> String {
    let peers: Vec<String> = (0..200u8)
        .map(|number| {
            let key = carrick_topology::PublicKey::from_bytes([number; 32]);
            format!(r#""{key}":{{"endpoint":"192.0.2.1:51820","seconds_since_handshake":5,"allowed_ips":["10.42.{number}.0/24"]}}"#)
        })
        .collect();
    format!(
        r#"{{"version":"0.1.0","node":"{node}","ready":true,"waiting":"","api":"synced","applies":1,"drift_repairs":0,
            "failures":[],"warnings":[],"plan":null,"peers":{{{}}}}}"#,
        peers.join(",")
    )
}

/// An agent that answers on a socket.
pub fn behind_socket(directory: &Path, number: usize, delay: Duration, load: Arc<Load>) -> PathBuf {
    let path = directory.join(format!("{number}.sock"));
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            answer(stream, &format!("n{number:03}"), delay, &load).await;
        }
    });
    path
}
