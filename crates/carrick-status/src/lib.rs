//! The agent's pages `/status`, `/checks` and `/trace`, which are JSON.
//!
//! The agent writes the pages and `carrickctl` reads them. A new field needs a default, and no field is removed, so that agents and
//! `carrickctl` of different versions work together. The pages contain no secrets.

#![forbid(unsafe_code)]

mod checks;
mod event;
mod fault;
mod fault_kind;
mod live_trace;
mod page;
mod peer;
mod repeated_drift;
mod time;
mod traffic;

pub use checks::{
    ApiAnswer, ChecksPage, CniDirectory, ConntrackTable, PodGatewayFault, WireGuardDevice, WireGuardState,
};
pub use event::{AgentEvent, AgentEventKind};
pub use fault::{FaultReport, FaultSeverity};
pub use fault_kind::FaultKind;
pub use live_trace::{LiveHop, LiveReply, LiveTracePage, ReplyKind};
pub use page::{ApiConnection, StatusPage};
pub use peer::{PeerState, SESSION_SECONDS};
pub use repeated_drift::{REPEATED_DRIFT_REMEDY, describe_repeated_drift};
pub use time::unix_ms;
pub use traffic::Traffic;
