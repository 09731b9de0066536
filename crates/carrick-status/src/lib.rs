//! What an agent tells of itself: the pages `/status`, `/checks` and `/trace`, as JSON.
//!
//! The agent writes them, `carrickctl` reads them. Fields are only ever added, each with a default, so that agents and `carrickctl` of
//! different versions understand each other. Nothing in them is secret.

#![forbid(unsafe_code)]

mod checks;
mod happening;
mod live_trace;
mod page;
mod peer;
mod time;
mod traffic;

pub use checks::{ApiAnswer, ChecksPage, CniDirectory, PodGatewayFault, WireGuardDevice, WireGuardState};
pub use happening::{Happening, HappeningKind};
pub use live_trace::{HopSaid, LiveAnswer, LiveHop, LiveTracePage};
pub use page::{ApiHearing, StatusPage};
pub use peer::{PeerState, SESSION_SECONDS};
pub use time::unix_ms;
pub use traffic::Traffic;
