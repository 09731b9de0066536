//! An HTTP server whose clients cannot use up the agent: few connections at a time, one request for each, and a time limit for all.
//!
//! When all places are taken, a new connection gets the place of the oldest one that has sent no request yet. A client that sends its request
//! at once is therefore served while others hold connections open and say nothing.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;
use tower::ServiceExt as _;

use super::limits::Limits;
use crate::agent::metrics::{HttpClosed, HttpListener, HttpMetrics};

/// The longest head of a request, in bytes. It is the least that hyper allows.
const MAX_HEAD_BYTES: usize = 8192;

/// Serves pages to the clients of a listener, within limits. It never returns.
pub(super) async fn serve(
    mut listener: impl Listener,
    pages: Router,
    limits: Limits,
    name: HttpListener,
    metrics: HttpMetrics,
) {
    let mut connections = Connections { limits, name, metrics, tasks: JoinSet::new(), open: VecDeque::new() };
    let mut pace = Pace::new(limits.accepts_per_second);
    loop {
        pace.wait().await;
        let (stream, _) = listener.accept().await;
        connections.make_room().await;
        connections.add(stream, pages.clone());
    }
}

/// The open connections of a listener.
struct Connections {
    limits: Limits,
    name: HttpListener,
    metrics: HttpMetrics,
    tasks: JoinSet<()>,
    /// The connections in the order in which they were accepted.
    open: VecDeque<Connection>,
}

struct Connection {
    task: AbortHandle,
    has_sent_request: Arc<AtomicBool>,
}

impl Connections {
    /// Closes a connection if there are too many: the oldest one without a request, or else the oldest one. Waits until its descriptor is
    /// closed.
    async fn make_room(&mut self) {
        self.forget_ended();
        if self.open.len() < self.limits.connections {
            return;
        }
        let is_silent = |connection: &Connection| !connection.has_sent_request.load(Ordering::Relaxed);
        let oldest = self.open.iter().position(is_silent).unwrap_or_default();
        if let Some(connection) = self.open.remove(oldest) {
            connection.task.abort();
            self.metrics.closed(self.name, HttpClosed::Full);
        }
        while self.tasks.len() >= self.limits.connections && self.tasks.join_next().await.is_some() {}
    }

    fn forget_ended(&mut self) {
        while self.tasks.try_join_next().is_some() {}
        self.open.retain(|connection| !connection.task.is_finished());
    }

    fn add<S>(&mut self, stream: S, pages: Router)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let has_sent_request = Arc::new(AtomicBool::new(false));
        let (limits, name, metrics) = (self.limits, self.name, self.metrics.clone());
        let request_came = Arc::clone(&has_sent_request);
        let task = self.tasks.spawn(async move {
            if let Err(reason) = answer(stream, pages, limits, &request_came).await {
                metrics.closed(name, reason);
            }
        });
        self.open.push_back(Connection { task, has_sent_request });
    }
}

/// Answers the one request of a connection, and closes the connection.
///
/// # Errors
/// A time limit ended the connection. That the client breaks the connection is no error.
async fn answer<S>(stream: S, pages: Router, limits: Limits, has_sent_request: &AtomicBool) -> Result<(), HttpClosed>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|request: hyper::Request<Incoming>| {
        has_sent_request.store(true, Ordering::Relaxed);
        pages.clone().oneshot(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(MAX_HEAD_BYTES)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    match tokio::time::timeout(limits.connection, connection).await {
        Ok(Err(error)) if error.is_timeout() => Err(HttpClosed::HeadTimeout),
        Ok(Ok(()) | Err(_)) => Ok(()),
        Err(_) => Err(HttpClosed::ConnectionTimeout),
    }
}

/// Limits how often something happens: a number of times at once, and then as often in a second.
struct Pace {
    interval: Duration,
    burst: Duration,
    /// When the next one would be due if they came evenly.
    due: Instant,
}

impl Pace {
    fn new(per_second: u32) -> Self {
        Self {
            interval: Duration::from_secs(1) / per_second.max(1),
            burst: Duration::from_secs(1),
            due: Instant::now(),
        }
    }

    async fn wait(&mut self) {
        let now = Instant::now();
        self.due = self.due.max(now) + self.interval;
        if self.due > now + self.burst {
            tokio::time::sleep_until(self.due - self.burst).await;
        }
    }
}

#[cfg(test)]
mod tests;
