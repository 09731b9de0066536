//! A TCP proxy for an API server that breaks connections on demand.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use std::{io, thread};

use socket2::{Domain, SockRef, Socket, Type};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};

use crate::namespace::within;

/// What a proxy does with open and new connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Forwards all bytes.
    Pass,
    /// Resets the connections.
    Cut,
    /// Accepts bytes and forwards none. The proxy forwards them when the mode changes.
    Hang,
    /// Forwards every byte after this delay, in both directions.
    Delay(Duration),
}

/// The server that a proxy connects to.
#[derive(Debug)]
pub struct Backend {
    address: SocketAddr,
    namespace: Option<OwnedFd>,
}

impl Backend {
    /// An address in the network namespace of the thread that starts the proxy.
    #[must_use]
    pub const fn new(address: SocketAddr) -> Self {
        Self { address, namespace: None }
    }

    /// An address in the network namespace that `namespace` refers to (an open `/proc/PID/ns/net` or `/run/netns/NAME`).
    #[must_use]
    pub const fn in_namespace(address: SocketAddr, namespace: OwnedFd) -> Self {
        Self { address, namespace: Some(namespace) }
    }

    async fn connect(&self) -> io::Result<TcpStream> {
        // A socket stays in the namespace in which it is made.
        let socket = within(self.namespace.as_ref(), || self.socket())??;
        socket.set_nonblocking(true)?;
        let stream = TcpSocket::from_std_stream(socket.into()).connect(self.address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    fn socket(&self) -> io::Result<Socket> {
        Socket::new(Domain::for_address(self.address), Type::STREAM, None)
    }
}

/// How many bytes a proxy forwarded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// From clients to the backend.
    pub to_backend: u64,
    /// From the backend to clients.
    pub to_clients: u64,
}

#[derive(Debug, Default)]
struct Counters {
    to_backend: AtomicU64,
    to_clients: AtomicU64,
}

/// A running proxy. Dropping it closes its connections and its listener.
pub struct Proxy {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
    counters: Arc<Counters>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Proxy {
    /// Forwards the connections of `listener`, which may belong to any network namespace.
    ///
    /// # Errors
    /// The listener cannot be used, or no thread can be started.
    pub fn start(listener: TcpListener, backend: Backend) -> io::Result<Self> {
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let (mode, modes) = watch::channel(Mode::Pass);
        let (stop, stopped) = oneshot::channel::<()>();
        let counters = Arc::new(Counters::default());
        let front = Front { backend: Arc::new(backend), modes, counters: counters.clone() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = thread::Builder::new().name("proxy".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    outcome = front.serve(listener) => if let Err(error) = outcome {
                        tracing::error!(event = "proxy_failed", %error);
                    },
                    _ = stopped => {}
                }
            });
        })?;
        Ok(Self { address, mode, counters, stop: Some(stop), thread: Some(thread) })
    }

    /// The address that the proxy listens at.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sets the mode.
    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// The bytes forwarded so far.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        Traffic {
            to_backend: self.counters.to_backend.load(Ordering::Relaxed),
            to_clients: self.counters.to_clients.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!(event = "proxy_panicked");
        }
    }
}

/// The state that all connections of a proxy share.
#[derive(Clone)]
struct Front {
    backend: Arc<Backend>,
    modes: watch::Receiver<Mode>,
    counters: Arc<Counters>,
}

impl Front {
    async fn serve(&self, listener: TcpListener) -> io::Result<()> {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            let (client, _) = listener.accept().await?;
            tokio::spawn(self.clone().handle(client));
        }
    }

    async fn handle(self, mut client: TcpStream) {
        let mut modes = self.modes.clone();
        let forwarded = tokio::select! {
            biased;
            _ = modes.wait_for(|mode| *mode == Mode::Cut) => Err(io::ErrorKind::ConnectionReset.into()),
            outcome = self.forward(&mut client) => outcome,
        };
        if let Err(error) = forwarded {
            tracing::trace!(event = "proxy_connection_failed", %error);
            // With a linger time of zero, the kernel resets the connection when it is closed (socket(7)).
            drop(SockRef::from(&client).set_linger(Some(Duration::ZERO)));
        }
    }

    async fn forward(&self, client: &mut TcpStream) -> io::Result<()> {
        client.set_nodelay(true)?;
        wait_while_hanging(&mut self.modes.clone()).await?;
        let mut backend = self.backend.connect().await?;
        let (from_client, to_client) = client.split();
        let (from_backend, to_backend) = backend.split();
        let Counters { to_backend: up, to_clients: down } = &*self.counters;
        tokio::try_join!(
            pump(from_client, to_backend, self.modes.clone(), up),
            pump(from_backend, to_client, self.modes.clone(), down),
        )?;
        Ok(())
    }
}

async fn wait_while_hanging(modes: &mut watch::Receiver<Mode>) -> io::Result<()> {
    modes.wait_for(|mode| *mode != Mode::Hang).await.map_err(io::Error::other)?;
    Ok(())
}

/// Forwards the bytes of one direction, each at its time, until `from` ends.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut modes: watch::Receiver<Mode>,
    counter: &AtomicU64,
) -> io::Result<()> {
    let (queue, mut due) = mpsc::channel::<(Instant, Vec<u8>)>(1024);
    let delays = modes.clone();
    let read = async move {
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let length = from.read(&mut buffer).await?;
            let delay = match *delays.borrow() {
                Mode::Delay(delay) => delay,
                Mode::Pass | Mode::Cut | Mode::Hang => Duration::ZERO,
            };
            let chunk = buffer[..length].to_vec();
            let taken = queue.send((Instant::now() + delay, chunk)).await;
            if length == 0 || taken.is_err() {
                return Ok(());
            }
        }
    };
    let write = async move {
        while let Some((time, chunk)) = due.recv().await {
            sleep_until(time).await;
            wait_while_hanging(&mut modes).await?;
            if chunk.is_empty() {
                return to.shutdown().await;
            }
            // A reader that has the bytes must find them counted.
            counter.fetch_add(chunk.len() as u64, Ordering::Relaxed);
            to.write_all(&chunk).await?;
        }
        Ok(())
    };
    tokio::try_join!(read, write).map(|_| ())
}
