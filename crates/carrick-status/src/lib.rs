//! What an agent tells of itself: the page `/status`, as JSON.
//!
//! The agent writes it, `carrickctl` reads it. Fields are only ever added, each with a default, so that agents and `carrickctl` of
//! different versions understand each other. Nothing in it is secret.

#![forbid(unsafe_code)]

mod happening;
mod page;
mod peer;
mod traffic;

pub use happening::{Happening, HappeningKind};
pub use page::{ApiHearing, StatusPage};
pub use peer::PeerState;
pub use traffic::Traffic;
