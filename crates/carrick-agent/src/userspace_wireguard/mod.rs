//! The WireGuard data path for kernels without WireGuard: a separate process, so that restarts of the agent do not
//! cut it.
//!
//! It makes a persistent TUN device, listens at `/run/wireguard/INTERFACE.sock`, and gets everything else (keys, port,
//! peers) over that socket from the agent or from `wg`. It keeps no state on disk: after its own restart the interface
//! is still there with addresses and routes, and the agent programs the device again.

mod allowed_ips;
mod detached;
pub mod engine;
mod gotatun_engine;
mod steady_udp;
mod tun;
pub mod uapi;

use std::io;
use std::panic;
use std::process;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};

use carrick_dataplane::wireguard::KernelWireGuard;
use carrick_topology::DeviceName;
pub use detached::{DetachError, Detached, start_detached, stop};

use crate::exit::Exit;
use gotatun_engine::GotatunEngine;
use tun::{Tun, TunError};
use uapi::{Server, SocketError, UapiSocket};

/// The nodes on which the data path carries the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nodes {
    /// All nodes.
    All,
    /// Nodes whose kernel has no WireGuard. On other nodes the process only waits for its end.
    WithoutKernelWireGuard,
}

/// Why the data path could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The TUN device cannot be had.
    #[error(transparent)]
    Tun(#[from] TunError),
    /// The socket of the userspace API cannot be had.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The engine does not start.
    #[error(transparent)]
    Engine(#[from] engine::ConfigureError),
    /// It cannot be found out whether the kernel has WireGuard.
    #[error("cannot find out whether the kernel has WireGuard: {0}")]
    Kernel(#[source] carrick_netlink::Error),
    /// Signals cannot be received.
    #[error("cannot wait for signals: {0}")]
    Signal(#[source] io::Error),
}

impl StartError {
    /// The exit status of the process.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Tun(TunError::NoDriver | TunError::NoPermission { .. }) => Exit::Permission,
            Self::Kernel(error) if error.is_not_permitted() => Exit::Permission,
            Self::Tun(TunError::NameTaken { .. }) | Self::Socket(SocketError::NotASocket { .. }) => Exit::Configuration,
            Self::Tun(TunError::Busy { .. } | TunError::Io { .. })
            | Self::Socket(SocketError::AlreadyServed { .. } | SocketError::File(_))
            | Self::Engine(_)
            | Self::Kernel(_)
            | Self::Signal(_) => Exit::Failure,
        }
    }
}

/// Carries the interface until SIGTERM or SIGINT. The TUN device stays.
///
/// # Errors
/// [`StartError`]; once started it runs until it is told to stop.
pub async fn run(interface: DeviceName, nodes: Nodes) -> Result<(), StartError> {
    let termination = wait_for_termination();
    if nodes == Nodes::WithoutKernelWireGuard && KernelWireGuard::find().map_err(StartError::Kernel)?.is_some() {
        tracing::info!(event = "userspace_wireguard_idle", "the kernel has WireGuard: this process carries nothing");
        termination.await.map_err(StartError::Signal)?;
        return Ok(());
    }
    abort_on_panic();
    UapiSocket::ensure_free(&interface)?;
    // Opening the TUN device is what only one process can do, so it decides between two that start at once.
    let tun = Tun::open(interface.clone())?;
    let engine = Arc::new(GotatunEngine::start(tun.clone()).await?);
    let socket = UapiSocket::bind(&interface)?;
    tracing::info!(event = "userspace_wireguard_started", %interface);
    let server = Server::new(Arc::clone(&engine));
    let signal = tokio::select! {
        never = server.serve(&socket) => match never {},
        never = engine.look_after_peers() => match never {},
        never = tun.follow_mtu() => match never {},
        signal = termination => signal.map_err(StartError::Signal)?,
    };
    tracing::info!(event = "userspace_wireguard_stopped", %interface, signal);
    Ok(())
}

/// Waits for SIGTERM or SIGINT, and returns its name. Must be called in a runtime.
///
/// # Errors
/// Signals cannot be received.
pub fn wait_for_termination() -> impl Future<Output = io::Result<&'static str>> {
    // From now on, and not only from the first poll on, the signals do not end the process.
    let signals =
        signal(SignalKind::terminate()).and_then(|terminate| Ok((terminate, signal(SignalKind::interrupt())?)));
    async move {
        let (mut terminate, mut interrupt) = signals?;
        Ok(tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        })
    }
}

/// A panic in one of the engine's tasks would leave a device that answers and forwards nothing. If the process ends
/// instead, its supervisor starts it again.
fn abort_on_panic() {
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |information| {
        report(information);
        process::abort();
    }));
}
