//! `carrickctl dashboard`: the mesh on a page in the browser, live.
//!
//! ```text
//! Access ──collector, again and again──▶ Snapshot ──DashboardData::of──▶ /data.json ──page/script.js──▶ map, matrix, events
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

/// Where the page is served, and how often it is brought up to date.
#[derive(Args, Clone, Debug)]
pub struct DashboardOptions {
    /// Address and port of the page; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:1108")]
    pub listen: SocketAddr,
    /// Serve the page to whoever reaches the address, not to this machine alone: it has no passwords and no encryption.
    #[arg(long)]
    pub allow_remote: bool,
    /// How long to rest before agents are asked again, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = crate::access::seconds)]
    pub interval: Duration,
}

/// Serves the page until the program is ended; says its address on standard output once it can be opened.
///
/// # Errors
/// The address is not of this machine alone, or cannot be listened on.
pub async fn serve(options: &DashboardOptions, access: Access) -> Result<(), Failure> {
    if !options.listen.ip().is_loopback() && !options.allow_remote {
        return Err(Failure::Usage(format!(
            "--listen {}: others could see the mesh there, without a password; add --allow-remote if they may",
            options.listen
        )));
    }
    let refused = |error| Failure::Usage(format!("--listen {}: {error} (does another dashboard run?)", options.listen));
    let listener = TcpListener::bind(options.listen).await.map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    let _closed = writeln!(anstream::stdout(), "http://{address}/");
    let latest = collector::start(access, options.interval);
    axum::serve(listener, server::pages(latest)).await.map_err(refused)
}
