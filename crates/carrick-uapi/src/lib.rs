//! The text protocol of userspace WireGuard (<https://www.wireguard.com/xplatform/>), both ends.
//!
//! | message | client | server |
//! |---|---|---|
//! | request | [`GET`], [`write_request`] | [`parse_request`] |
//! | answer to `get` | [`read_status`] | [`format_status`] |
//! | `errno=` line | [`error_number`] | [`format_error`] |
//!
//! A message is a sequence of `key=value` lines and ends with an empty line. Both ends use the types of
//! [`carrick_netlink::wireguard`], so that a device in the kernel and a device in a process are configured alike. Errors name keys and never
//! values, which may be secret. Texts that hold keys are wiped from memory on drop.
//!
//! ```
//! use carrick_netlink::wireguard::{DeviceChange, PeerChange, PeerVerb, PublicKey};
//! use carrick_uapi::{Request, parse_request, write_request};
//!
//! let peer = PeerChange { persistent_keepalive: Some(25), ..PeerChange::new(PublicKey([7; 32]), PeerVerb::Set) };
//! let change = DeviceChange { port: Some(51820), peers: vec![peer], ..DeviceChange::default() };
//! let text = write_request(&change);
//! assert!(text.starts_with("set=1\nlisten_port=51820\npublic_key=0707"));
//! assert_eq!(parse_request(&text), Ok(Request::Set(Box::new(change))));
//! ```

#![forbid(unsafe_code)]

#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod key_text;
mod request;
mod status;
#[cfg(test)]
mod tests;

pub use request::{GET, ProtocolError, Request, parse_request, write_request};
pub use status::{MalformedStatus, error_number, format_error, format_status, read_status};

/// Appends one `key=value` line.
fn push_line(text: &mut String, key: &str, value: impl std::fmt::Display) {
    use std::fmt::Write as _;
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{key}={value}");
}
