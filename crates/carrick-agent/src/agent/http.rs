//! The agent's pages over HTTP: where they are served, and to whom.

mod limits;
mod pages;
mod server;
mod socket;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;

use super::AgentError;
use super::checks::Checks;
use super::metrics::HttpListener;
use super::status::Status;
use crate::cli::{AgentOptions, Listen};
use limits::Limits;

pub use socket::SOCKET;

/// The time between two attempts to listen on the node's internal address.
const RETRY_INTERVAL: Duration = Duration::from_secs(10);

/// Serves the pages on the socket and on the addresses of `--listen`, but for the node's internal address, which is not known yet.
///
/// # Errors
/// The agent cannot listen on an address.
pub(super) async fn start(options: &AgentOptions, status: Status, checks: Checks) -> Result<(), AgentError> {
    for listen in &options.listen {
        let (name, address) = match listen {
            Listen::Loopback => (HttpListener::Loopback, Listen::LOOPBACK_ADDRESS),
            Listen::Address(address) => (HttpListener::Address, *address),
            Listen::Internal => continue,
        };
        let listener = bind(address).await?;
        let pages = pages::public_pages(status.clone());
        let metrics = status.metrics().http().clone();
        tokio::spawn(server::serve(listener, pages, Limits::TCP, name, metrics));
    }
    match socket::listen(&options.run_dir) {
        Ok(listener) => {
            let (metrics, pages) = (status.metrics().http().clone(), pages::all_pages(status, checks));
            tokio::spawn(server::serve(listener, pages, Limits::SOCKET, HttpListener::Socket, metrics));
        }
        // The mesh does not need the socket.
        Err(error) => tracing::warn!(event = "socket_not_served", directory = %options.run_dir.display(), %error),
    }
    Ok(())
}

/// Serves the pages for monitoring on the node's internal address, as soon as the agent can listen on it.
pub(super) async fn serve_on_internal_address(address: SocketAddr, status: Status) {
    let mut has_warned = false;
    let listener = loop {
        match TcpListener::bind(address).await {
            Ok(listener) => break listener,
            Err(error) if !has_warned => {
                has_warned = true;
                tracing::warn!(event = "pages_not_served", %address, %error, "the agent tries again; see --listen");
            }
            Err(error) => tracing::debug!(event = "pages_not_served", %address, %error),
        }
        tokio::time::sleep(RETRY_INTERVAL).await;
    };
    tracing::info!(event = "pages_served", %address);
    let metrics = status.metrics().http().clone();
    server::serve(listener, pages::public_pages(status), Limits::TCP, HttpListener::Internal, metrics).await;
}

async fn bind(address: SocketAddr) -> Result<TcpListener, AgentError> {
    let refused = |error: io::Error| {
        AgentError::Configuration(format!("--listen {address}: {error} (does another agent run on this node?)"))
    };
    TcpListener::bind(address).await.map_err(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_in_use_is_named_with_its_flag() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = taken.local_addr().unwrap();
        let error = bind(address).await.unwrap_err().to_string();
        assert!(error.contains(&address.to_string()) && error.contains("--listen"), "{error}");
    }
}
