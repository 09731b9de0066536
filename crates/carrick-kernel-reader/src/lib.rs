//! For tests: reads the kernel's network configuration with code that is not Carrick's, so that an error in what Carrick writes cannot hide
//! behind the same error in how Carrick reads.
//!
//! | what | read by |
//! |---|---|
//! | links, addresses, routes, rules, neighbours, forwarding entries | `rtnetlink` ([`Reader`]) |
//! | WireGuard devices and peers, in the kernel or in a process | `wireguard-control` ([`wireguard`]) |
//! | nftables | `nft -j` ([`nftables`]) |
//!
//! Values are plain text, numbers and addresses in the form in which `ip`, `wg` and `nft` print them. Every function reads the network
//! namespace of the calling thread and panics if it cannot be read: a test that cannot look must fail.

#![forbid(unsafe_code)]
#![expect(clippy::panic, clippy::expect_used, reason = "a test that cannot look must fail")]

mod link;
mod neighbour;
pub mod nftables;
mod reader;
mod route;
mod rule;
pub mod wireguard;

pub use link::{Link, Vxlan};
pub use neighbour::{Forwarding, Neighbour};
pub use reader::Reader;
pub use route::Route;
pub use rule::Rule;
