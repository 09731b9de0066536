//! The agent's pages over HTTP: where they are served, and to whom.

mod bind;
mod limits;
mod pages;
mod server;
mod socket;
mod thread;

use super::AgentError;
use super::checks::Checks;
use super::metrics::HttpListener;
use super::status::Status;
use crate::cli::{AgentOptions, Listen};
use bind::{BindError, bind};
use limits::Limits;

pub use socket::SOCKET;
pub(super) use thread::PagesThread;

/// Serves the pages on the socket and on the addresses of `--listen`, but for the node's internal address, which is not known yet.
///
/// # Errors
/// The agent can never listen on an address.
pub(super) async fn start(
    options: &AgentOptions,
    status: Status,
    checks: Checks,
    thread: &PagesThread,
) -> Result<(), AgentError> {
    for listen in &options.listen {
        match listen {
            Listen::Loopback => {
                let listener = bind(Listen::LOOPBACK_ADDRESS).await?;
                let pages = pages::public_pages(status.clone());
                let metrics = status.metrics().http().clone();
                tokio::spawn(server::serve(listener, pages, Limits::TCP, HttpListener::Loopback, metrics));
            }
            // The agent ends before it changes anything, if it can never listen there. The thread listens again.
            Listen::Address(address) => match bind(*address).await {
                Ok(_) | Err(BindError::NotYet(_)) => thread.serve(*address, status.clone(), HttpListener::Address),
                Err(error) => return Err(error.into()),
            },
            Listen::Internal => {}
        }
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
