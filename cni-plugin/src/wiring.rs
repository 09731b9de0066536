//! The veth pair of one pod.
//!
//! ```text
//!   pod                                          host
//!   lo up
//!   eth0: 10.42.0.5/32, fd42::5/128 ──────────── crk…: fe80::1/64
//!   169.254.1.1 on eth0                          10.42.0.5, fd42::5 on crk… (table main, protocol 108)
//!   default via 169.254.1.1, via fe80::1
//!   neighbours: both gateways at crk…'s MAC      neighbours: both addresses at eth0's MAC
//! ```
//!
//! All neighbours are permanent. Neither end resolves the other: there is no proxy ARP, no lost first packet, and no pod can
//! answer for another address. Every packet's reverse path is the device on which the packet arrived, so strict reverse path
//! filters (RFC 3704) work at both ends.

mod connect;
mod inspect;
mod settle;
mod veth;

pub(crate) use connect::disconnect;
pub(crate) use veth::{Sockets, Wiring, default_network};
