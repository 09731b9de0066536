//! `carrickctl dashboard`: a live page of the mesh for a browser.
//!
//! ```text
//! Access ──collector, repeatedly──▶ Snapshot ──DashboardData::of──▶ /data.json ──page/script.js──▶ map, matrix, events
//! ```

mod collector;
mod data;
mod events;
mod links;
mod memory;
mod pairs;
mod server;

#[cfg(test)]
mod tests;

use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use tokio::net::TcpListener;

pub use data::{DashboardData, LocationData, NodeData, NodeState};
pub use events::{Event, merge};
pub use links::{Link, LinkKind, Measured};
pub use memory::Memory;
pub use pairs::{Pair, PairState};

use crate::access::Access;
use crate::failure::Failure;

/// Options of `carrickctl dashboard`.
#[derive(Args, Clone, Debug)]
pub struct DashboardOptions {
    /// The address and port of the page. Port 0 selects a free port.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:1108")]
    pub listen: SocketAddr,
    /// Allow an address that other machines can reach. The page has no password and no encryption.
    #[arg(long)]
    pub allow_remote: bool,
    /// The time between two requests to the agents, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = crate::access::seconds)]
    pub interval: Duration,
}

/// Serves the page until the program ends. Prints the address of the page as soon as it can be opened.
///
/// # Errors
/// Other machines can reach the address and this is not allowed, or the address cannot be used.
pub async fn serve(options: &DashboardOptions, access: Access) -> Result<(), Failure> {
    if !options.listen.ip().is_loopback() && !options.allow_remote {
        return Err(Failure::Usage(format!(
            "--listen {}: other machines could read the page there without a password; use --allow-remote to allow it",
            options.listen
        )));
    }
    let refused =
        |error| Failure::Usage(format!("--listen {}: {error} (is another dashboard running?)", options.listen));
    let listener = TcpListener::bind(options.listen).await.map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    let _closed = writeln!(anstream::stdout(), "http://{address}/");
    let latest = collector::start(access, options.interval);
    axum::serve(listener, server::pages(latest)).await.map_err(refused)
}
