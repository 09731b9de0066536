//! Synchronous, batched netlink: links, addresses, routes, rules, neighbours, WireGuard, nftables and tracked connections.
//!
//! Everything goes through one [`Socket`]: requests are sent many at a time, every one of them is
//! answered by name ([`Error`] says which operation on which object failed and why), and every
//! message that can change the kernel is counted ([`Socket::writes`], [`process_writes`]).
#![forbid(unsafe_code)]

pub mod address;
mod attribute;
pub mod conntrack;
pub mod error;
mod family;
pub mod frame;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod generic;
pub mod link;
pub mod monitor;
pub mod neighbour;
pub mod nftables;
pub mod queue;
pub mod request;
pub mod route;
pub mod rule;
pub mod socket;
pub mod wireguard;

pub use carrick_types::{Family, MacAddress};
pub use error::{Cause, Error, Kind};
pub use request::{Access, Request};
pub use socket::{Protocol, Socket, process_writes};
