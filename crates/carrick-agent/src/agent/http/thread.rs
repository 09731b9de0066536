//! The thread that serves pages to other hosts and to pods.
//!
//! However many requests they send, the kernel gives the agent's main thread its share of the processor: the main thread carries out plans and serves
//! the kubelet on the loopback address.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle};

use super::bind::bind;
use super::limits::Limits;
use super::{pages, server};
use crate::agent::metrics::HttpListener;
use crate::agent::status::Status;

/// The time between two attempts to listen on an address that the host does not have yet.
const RETRY_INTERVAL: Duration = Duration::from_secs(2);

/// The thread. It ends with the process.
pub(in crate::agent) struct PagesThread(Handle);

impl PagesThread {
    /// Starts the thread.
    ///
    /// # Errors
    /// The kernel refuses a thread.
    pub(in crate::agent) fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let run = move || runtime.block_on(std::future::pending::<()>());
        std::thread::Builder::new().name("pages".to_owned()).spawn(run)?;
        Ok(Self(handle))
    }

    /// Serves the pages for monitoring on an address, as soon as the agent can listen on it.
    pub(in crate::agent) fn serve(&self, address: SocketAddr, status: Status, name: HttpListener) {
        self.0.spawn(async move {
            let listener = listen(address, RETRY_INTERVAL).await;
            tracing::info!(event = "pages_served", %address);
            let metrics = status.metrics().http().clone();
            server::serve(listener, pages::public_pages(status), Limits::TCP, name, metrics).await;
        });
    }
}

async fn listen(address: SocketAddr, interval: Duration) -> TcpListener {
    let mut has_warned = false;
    loop {
        match bind(address).await {
            Ok(listener) => return listener,
            Err(error) if !has_warned => {
                has_warned = true;
                tracing::warn!(event = "pages_not_served", %address, %error, "the agent tries again");
            }
            Err(error) => tracing::debug!(event = "pages_not_served", %address, %error),
        }
        tokio::time::sleep(interval).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, mpsc};

    use axum::Router;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::*;
    use crate::agent::metrics::HttpMetrics;

    async fn request(address: SocketAddr) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /page HTTP/1.0\r\n\r\n").await.unwrap();
        stream
    }

    async fn answer(mut stream: TcpStream) -> String {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    /// A server on the loopback address with one page, whose future this function returns with the address.
    async fn server(page: Router) -> (SocketAddr, impl Future<Output = ()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (address, server::serve(listener, page, Limits::TCP, HttpListener::Internal, HttpMetrics::default()))
    }

    #[tokio::test]
    async fn a_busy_page_for_other_hosts_does_not_delay_the_main_thread() {
        let (release, released) = mpsc::channel::<()>();
        let (began, has_begun) = mpsc::channel::<()>();
        let held = Arc::new(Mutex::new((began, released)));
        let busy = get(async move || {
            let (began, released) = &*held.lock().unwrap();
            began.send(()).unwrap();
            released.recv_timeout(Duration::from_secs(60)).map_or("not released", |()| "busy")
        });
        let thread = PagesThread::start().unwrap();
        let std_listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        std_listener.set_nonblocking(true).unwrap();
        let busy_address = std_listener.local_addr().unwrap();
        thread.0.spawn(async move {
            let listener = TcpListener::from_std(std_listener).unwrap();
            let pages = Router::new().route("/page", busy);
            server::serve(listener, pages, Limits::TCP, HttpListener::Internal, HttpMetrics::default()).await;
        });
        let (address, own) = server(Router::new().route("/page", get(async || "own"))).await;
        let own = tokio::spawn(own);

        let busy = request(busy_address).await;
        has_begun.recv_timeout(Duration::from_secs(60)).unwrap();
        assert!(answer(request(address).await).await.ends_with("own"));
        release.send(()).unwrap();
        assert!(answer(busy).await.ends_with("busy"), "the busy page was released after the other answer");
        own.abort();
    }

    #[tokio::test]
    async fn the_agent_listens_when_another_program_leaves_the_port() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = taken.local_addr().unwrap();
        let listening = tokio::spawn(listen(address, Duration::from_millis(10)));
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(!listening.is_finished());
        drop(taken);
        assert_eq!(listening.await.unwrap().local_addr().unwrap(), address);
    }
}
