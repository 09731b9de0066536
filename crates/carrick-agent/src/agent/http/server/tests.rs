use std::net::SocketAddr;

use axum::routing::get;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::agent::metrics::Metrics;

const REQUEST: &[u8] = b"GET /small HTTP/1.1\r\nhost: node\r\n\r\n";
/// A page that no socket buffers as a whole.
const LARGE_BYTES: usize = 64 << 20;

/// A server with the pages `/small`, `/slow` and `/large`.
struct Server {
    address: SocketAddr,
    metrics: Metrics,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    async fn start(limits: Limits) -> Self {
        let pages = Router::new()
            .route("/small", get(async || "small"))
            .route(
                "/slow",
                get(async || {
                    tokio::time::sleep(Duration::from_millis(500)).await;
                    "slow"
                }),
            )
            .route("/large", get(async || vec![b'x'; LARGE_BYTES]));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let metrics = Metrics::default();
        let task = tokio::spawn(serve(listener, pages, limits, HttpListener::Internal, metrics.http().clone()));
        Self { address, metrics, task }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn send(&self, request: &str) -> TcpStream {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    /// How many connections the server has closed for this reason.
    fn closed(&self, reason: &str) -> u64 {
        let text = self.metrics.encode().unwrap();
        let name = format!("carrick_http_connections_closed_total{{listener=\"internal\",reason=\"{reason}\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&name)).map_or(0, |count| count.parse().unwrap())
    }
}

/// Waits until the server has closed the connection. A connection that is aborted may end with an error.
async fn answer(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    let _reset = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

fn is_open(stream: &TcpStream) -> bool {
    let would_block = |error: std::io::Error| error.kind() == std::io::ErrorKind::WouldBlock;
    stream.try_read(&mut [0]).is_err_and(would_block)
}

#[tokio::test]
async fn a_client_that_asks_is_served_while_others_hold_all_connections() {
    let server = Server::start(Limits::TCP).await;
    let limit = Limits::TCP.connections;
    let mut silent = Vec::new();
    for _ in 0..3 * limit {
        silent.push(server.connect().await);
    }
    let mut asking = server.connect().await;
    asking.write_all(REQUEST).await.unwrap();
    let text = answer(asking).await;
    assert!(text.starts_with("HTTP/1.1 200 OK") && text.ends_with("small"), "{text}");
    // The server has accepted all of them: those that it closed are the oldest ones.
    let open = silent.iter().filter(|stream| is_open(stream)).count();
    assert_eq!(open, limit - 1);
    assert!(silent[2 * limit + 1..].iter().all(is_open));
    assert_eq!(server.closed("full"), 2 * u64::try_from(limit).unwrap() + 1);
}

#[tokio::test]
async fn silent_connections_do_not_push_out_a_request_in_progress() {
    let limits = Limits { connections: 4, ..Limits::TCP };
    let server = Server::start(limits).await;
    let slow = server.send("GET /slow HTTP/1.1\r\nhost: node\r\n\r\n").await;
    // The server has read the request before it accepts the others.
    assert!(answer(server.send(std::str::from_utf8(REQUEST).unwrap()).await).await.ends_with("small"));
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(server.connect().await);
    }
    assert!(answer(slow).await.ends_with("slow"));
    assert!(server.closed("full") >= 16);
}

#[tokio::test]
async fn requests_that_do_not_end_leave_room_for_others() {
    let limits = Limits { connections: 4, ..Limits::TCP };
    let server = Server::start(limits).await;
    let mut busy = Vec::new();
    for _ in 0..8 {
        busy.push(server.send("GET /large HTTP/1.1\r\nhost: node\r\n\r\n").await);
    }
    assert!(answer(server.send(std::str::from_utf8(REQUEST).unwrap()).await).await.ends_with("small"));
}

#[tokio::test]
async fn a_client_that_sends_its_request_too_slowly_is_closed() {
    let limits = Limits { head: Duration::from_millis(200), ..Limits::TCP };
    let server = Server::start(limits).await;
    let silent = server.connect().await;
    let mut slow = server.connect().await;
    let began = Instant::now();
    let mut sent = 0;
    for byte in REQUEST.iter().cycle().skip(1) {
        if slow.write_all(&[*byte]).await.is_err() {
            break;
        }
        sent += 1;
        assert!(began.elapsed() < Duration::from_secs(20), "the connection stays open");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(sent > 1);
    assert_eq!(answer(silent).await, "");
    assert_eq!(server.closed("head-timeout"), 2);
}

#[tokio::test]
async fn a_client_that_does_not_read_the_answer_is_closed() {
    let limits = Limits { connection: Duration::from_millis(300), ..Limits::TCP };
    let server = Server::start(limits).await;
    let reader = server.send("GET /large HTTP/1.1\r\nhost: node\r\n\r\n").await;
    while server.closed("connection-timeout") == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(answer(reader).await.len() < LARGE_BYTES);
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused() {
    let server = Server::start(Limits::TCP).await;
    let long = server.send(&format!("GET /small HTTP/1.1\r\nhost: {}\r\n\r\n", "x".repeat(MAX_HEAD_BYTES))).await;
    let text = answer(long).await;
    assert!(text.is_empty() || text.starts_with("HTTP/1.1 431"), "{text}");
}

#[tokio::test]
async fn a_connection_carries_one_request() {
    let server = Server::start(Limits::TCP).await;
    let text = answer(server.send(&std::str::from_utf8(REQUEST).unwrap().repeat(2)).await).await;
    assert_eq!(text.matches("HTTP/1.1 200").count(), 1, "{text}");
    assert!(text.contains("connection: close"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn connections_are_accepted_at_a_limited_rate() {
    let mut pace = Pace::new(100);
    let began = Instant::now();
    for _ in 0..100 {
        pace.wait().await;
    }
    assert_eq!(began.elapsed(), Duration::ZERO, "a burst of one second's worth");
    for _ in 0..100 {
        pace.wait().await;
    }
    assert_eq!(began.elapsed().as_millis(), 1000);
    tokio::time::sleep(Duration::from_secs(60)).await;
    let began = Instant::now();
    for _ in 0..101 {
        pace.wait().await;
    }
    assert_eq!(began.elapsed().as_millis(), 10, "a pause permits no more than one burst");
}
