//! The limits of one listener.

use std::time::Duration;

/// How many connections a listener serves at a time, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// The greatest number of open connections.
    pub(super) connections: usize,
    /// How many new connections the listener accepts in a second. Others wait in the kernel's queue.
    pub(super) accepts_per_second: u32,
    /// How long a client may take to send the head of its request.
    pub(super) head: Duration,
    /// How long a connection may last, from its acceptance to the last byte of the answer.
    pub(super) connection: Duration,
}

impl Limits {
    /// The limits of an address, which pods and other hosts may reach.
    pub(super) const TCP: Self = Self {
        connections: 64,
        accepts_per_second: 500,
        head: Duration::from_secs(5),
        connection: Duration::from_secs(10),
    };
    /// The limits of the socket, which only root may use. `/trace` and `/checks` take seconds.
    pub(super) const SOCKET: Self = Self { connection: Duration::from_secs(60), ..Self::TCP };
}
